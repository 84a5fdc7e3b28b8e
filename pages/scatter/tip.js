// What stands beside the mouse: the image of the sample it rests on, and what is known of it.

import { element, picture } from "./elements.js";

export class Tip {
  constructor(box) {
    this.box = box;
    this.image = element("img");
    this.name = element("b");
    this.text = element("span", "about");
    this.id = element("span", "id");
    box.append(this.image, this.name, this.text, this.id);
  }

  hide() {
    this.box.hidden = true;
  }

  // Shows a row's card at a pixel of a field; `whole` is the element that all of it lies in.
  show(row, card, label, about, field, [x, y], whole) {
    picture(this.image, card);
    this.image.hidden = false;
    this.name.textContent = label;
    this.text.textContent = about;
    this.id.textContent = card ? card.id : "";
    this.box.dataset.row = row;
    this.stand(field, [x, y], whole);
  }

  // Says what is known of a place that is no sample's.
  say(name, about, field, at, whole) {
    this.image.hidden = true;
    this.name.textContent = name;
    this.text.textContent = about;
    this.id.textContent = "";
    delete this.box.dataset.row;
    this.stand(field, at, whole);
  }

  stand(field, [x, y], whole) {
    const { box } = this;
    box.hidden = false;
    const inner = field.box.getBoundingClientRect(), outer = whole.getBoundingClientRect();
    const left = inner.left - outer.left + x, top = inner.top - outer.top + y;
    const width = box.offsetWidth, height = box.offsetHeight;
    box.style.left = `${left + 16 + width > outer.width ? left - 16 - width : left + 16}px`;
    box.style.top = `${Math.max(0, Math.min(top - height / 2, outer.height - height))}px`;
  }
}

// A sample's clusters, and its category where points are coloured by one that is not the class.
export function about(card, color, value) {
  const parts = card ? [card.clusters] : [];
  if (!color.is_label && color.kind === "categories")
    parts.push(`${color.title}: ${value < color.names.length ? color.names[value] : "none"}`);
  return parts.filter(Boolean).join(" · ");
}
