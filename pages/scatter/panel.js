// What stands beside two spaces: the selection's images, and the neighbours of one of them in both.

import { button, element, picture } from "./elements.js";

const MOST = 120; // images of a selection at once
const EXPECTED = 5; // empty cells while the neighbours are on their way

const count = (n) => n.toLocaleString("en-US");

export class Panel {
  constructor(box, { clear, focus, ask }) {
    this.focus = focus;
    const head = element("div", "head");
    this.n_selected = element("b", "n-selected");
    this.n_selected.setAttribute("aria-live", "polite");
    this.clear = button("clear", "Clear", clear);
    head.append(this.n_selected, this.clear);
    this.hint = element("p", "hint", "Lasso or click points in either space: their images, clusters and neighbours will be here.");
    this.one = element("div", "focus");
    this.image = element("img");
    this.text = element("div", "about");
    this.text.append(element("b"), element("span"), element("span", "id"));
    this.strips = [0, 1].map((side) => {
      const strip = element("div", "strip");
      strip.dataset.side = side;
      strip.title = "✓ or ✗: has its class or not; ∞: also among the nearest in the other space";
      strip.append(element("p"), element("div", "row"));
      return strip;
    });
    this.images = element("div", "images");
    this.images.addEventListener("scroll", ask);
    this.note = element("p", "hint");
    box.append(head, this.hint, this.one, ...this.strips, this.images, this.note);
  }

  // Rows whose images can be seen.
  rows() {
    const top = this.images.scrollTop, bottom = top + this.images.clientHeight;
    const isVisible = (cell) => cell.offsetTop + cell.offsetHeight >= top && cell.offsetTop <= bottom + 80;
    return [...this.images.children].filter(isVisible).map((cell) => Number(cell.dataset.row));
  }

  // chosen: points that are selected; focused: the row that is looked at closer.
  draw(points, { classes, titles }, chosen, focused) {
    const n = chosen.length;
    this.n_selected.textContent = n ? `${count(n)} selected` : "";
    this.clear.hidden = !n;
    this.hint.hidden = n > 0;
    for (const part of [this.one, ...this.strips, this.images]) part.hidden = !n;
    if (!n) {
      this.note.textContent = "";
      this.shown = "";
      this.images.replaceChildren();
      return;
    }
    this.drawOne(points, classes, focused);
    this.strips.forEach((strip, side) => {
      strip.hidden = side >= titles.length;
      if (!strip.hidden) this.drawStrip(strip, side, points, titles[side], focused);
    });
    this.drawImages(points, classes, chosen, focused);
  }

  drawOne(points, classes, row) {
    const card = points.cards.get(row), i = points.index(row);
    if (!this.image.parentNode) this.one.append(this.image, this.text);
    this.one.dataset.row = row;
    picture(this.image, card);
    const [name, clusters, id] = this.text.children;
    name.textContent = card ? card.label : i >= 0 ? classes[points.label[i]] : "";
    clusters.textContent = card ? card.clusters : "";
    id.textContent = card ? card.id : "";
    this.label = name.textContent;
  }

  drawStrip(strip, side, points, title, row) {
    const [text, line] = strip.children, near = points.near.get(row);
    const rows = near ? near[side] : [];
    const others = near && near.length > 1 ? new Set(near[1 - side]) : new Set();
    const cards = rows.map((item) => points.cards.get(item));
    const n_same = cards.filter((card) => card && card.label === this.label).length;
    const isKnown = near && cards.every(Boolean);
    text.textContent = isKnown ? `${title}: ${n_same} of ${rows.length} nearest have its class` : `${title}: nearest …`;
    const key = `${row}:${rows.join(",")}:${isKnown}`;
    if (line.dataset.key === key) return;
    line.dataset.key = key;
    const n = near ? rows.length : EXPECTED;
    line.replaceChildren(...Array.from({ length: n }, (_, k) => this.neighbor(rows[k], cards[k], others.has(rows[k]))));
  }

  neighbor(row, card, isInBoth) {
    const cell = button("near");
    const mark = element("span", "mark"), image = element("img");
    picture(image, card);
    if (card) {
      const isSame = card.label === this.label;
      cell.dataset.row = row;
      cell.classList.add(isSame ? "right" : "wrong");
      mark.textContent = (isSame ? "✓" : "✗") + (isInBoth ? " ∞" : "");
      cell.title = `${card.label} · ${card.id}`;
      cell.addEventListener("click", () => this.focus(row));
    }
    cell.append(image, mark);
    return cell;
  }

  drawImages(points, classes, chosen, focused) {
    const n = chosen.length, rank = Math.max(0, chosen.indexOf(points.index(focused)));
    const start = Math.floor(rank / MOST) * MOST;
    const rows = chosen.slice(start, start + MOST).map((i) => points.row(i));
    const shown = rows.join(",");
    if (shown !== this.shown) {
      this.shown = shown;
      this.images.replaceChildren(...rows.map((row) => {
        const cell = button("cell", undefined, () => this.focus(row));
        cell.dataset.row = row;
        cell.append(element("img"), element("span", "name", classes[points.label[points.index(row)]]), element("span", "clusters"));
        return cell;
      }));
    }
    for (const cell of this.images.children) {
      const card = points.cards.get(Number(cell.dataset.row));
      picture(cell.firstChild, card);
      cell.lastChild.textContent = card ? card.marks : "";
      cell.title = card ? `${card.label} · ${card.clusters} · ${card.id}` : "";
      const isFocused = Number(cell.dataset.row) === focused;
      if (isFocused && !cell.classList.contains("focused")) this.reveal(cell);
      cell.classList.toggle("focused", isFocused);
    }
    const range = `${count(start + 1)} to ${count(start + rows.length)}`;
    this.note.textContent = n > MOST ? `Images ${range} of ${count(n)}; arrow keys go on.` : "";
  }

  reveal(cell) { // within the panel alone: the page must not move
    const box = this.images, bottom = cell.offsetTop + cell.offsetHeight;
    if (cell.offsetTop < box.scrollTop) box.scrollTop = cell.offsetTop;
    else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
  }
}
