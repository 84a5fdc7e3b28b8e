// Class names at the classes' centres; those that would lie on another move aside, with a line back.

import { button } from "./elements.js";

const LONGEST = 18; // letters of a name that is written out
const RINGS = 20; // how far aside a name may move before it is left out

// Places for names, the first come first: `names` are { label, text, x, y } with the place they belong to, in pixels;
// `taken` are boxes that none may lie on.
export function placeNames(names, width, height, fontSize, measure, taken = []) {
  const placed = [], leaders = [], tall = fontSize + 5;
  for (const { label, text, x, y } of names) {
    if (x < 0 || y < 0 || x > width || y > height) continue;
    const wide = measure(text) + 8;
    const isInside = (left, top) => left >= 1 && top >= 1 && left + wide <= width - 1 && top + tall <= height - 1;
    const isOver = (left, top, other) => left < other.left + other.width + 1 && other.left < left + wide + 1 &&
      top < other.top + other.height + 1 && other.top < top + tall + 1;
    const isFree = (left, top) => ![placed, taken].some((boxes) => boxes.some((other) => isOver(left, top, other)));
    const spot = spotNear(Math.min(Math.max(x - wide / 2, 1), width - wide - 1), y - tall / 2,
      (left, top) => isInside(left, top) && isFree(left, top));
    if (!spot) continue;
    placed.push({ ...spot, width: wide, height: tall, label, text });
    if (spot.ring > 1) leaders.push([x, y, spot.left + wide / 2, spot.top + tall / 2]);
  }
  return { placed, leaders };
}

// The first place that will do, on wider and wider rings about one; null if none will.
function spotNear(x, y, willDo) {
  for (let ring = 0; ring <= RINGS; ring++) {
    const turns = ring ? 8 + 4 * ring : 1;
    for (let turn = 0; turn < turns; turn++) {
      const angle = (turn / turns) * 2 * Math.PI - Math.PI / 2;
      const left = x + Math.cos(angle) * ring * 15, top = y + Math.sin(angle) * ring * 11;
      if (willDo(left, top)) return { left, top, ring };
    }
  }
  return null;
}

export const shortened = (name) => (name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name);

// The names of one plot, as buttons that show a class alone.
export class Labels {
  constructor(box, isolate) {
    this.box = box;
    this.isolate = isolate;
    this.buttons = new Map();
    this.placed = [];
    this.leaders = [];
    this.fontSize = 11;
  }

  // centers: where the classes lie, the most important first; none where names are switched off. taken: boxes to keep clear of.
  draw(centers, { classes, color }, isolated, camera, pen, fontFamily, taken) {
    this.fontSize = classes.length > 20 ? 10 : 11;
    pen.font = `600 ${this.fontSize}px ${fontFamily}`;
    const only = isolated && isolated.by === "label" ? isolated.id : null;
    const first = (item) => (item.label === only ? -1 : 0);
    const names = [...centers].sort((a, b) => first(a) - first(b)).map(({ label, x, y }) => {
      const [left, top] = camera.toScreen(x, y);
      return { label, text: shortened(classes[label]), x: left, y: top };
    });
    const measure = (text) => pen.measureText(text).width;
    Object.assign(this, placeNames(names, camera.width, camera.height, this.fontSize, measure, taken));
    for (const spot of this.placed) {
      const { label } = spot, made = this.buttonOf(label);
      if (made.textContent !== spot.text) made.textContent = spot.text;
      made.title = classes[label];
      made.style.cssText = `left:${spot.left}px;top:${spot.top}px;font-size:${this.fontSize}px;width:${spot.width}px;` +
        `height:${spot.height}px;--ink:${color.is_label ? color.colors[label] : "transparent"}`;
      made.classList.toggle("away", only !== null && only !== label);
      made.setAttribute("aria-pressed", String(only === label));
    }
    const shown = new Set(this.placed.map((spot) => spot.label));
    for (const [label, made] of this.buttons) if (!shown.has(label)) {
      made.remove();
      this.buttons.delete(label);
    }
  }

  buttonOf(label) {
    let made = this.buttons.get(label);
    if (!made) {
      made = button("label", undefined, () => this.isolate(label));
      made.dataset.label = label;
      this.buttons.set(label, made);
      this.box.append(made);
    }
    return made;
  }

  // The class whose name lies there, or null.
  at([x, y]) {
    const spot = this.placed.find(({ left, top, width, height }) => x >= left && x <= left + width && y >= top && y <= top + height);
    return spot ? spot.label : null;
  }
}
