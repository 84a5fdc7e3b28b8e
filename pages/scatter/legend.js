// What the colours mean, and what is shown alone.

import { button, element } from "./elements.js";

export class Legend {
  constructor(box, isolate) {
    this.box = box;
    this.isolate = isolate;
  }

  draw({ color, classes }, isolated) {
    const key = JSON.stringify([color.fingerprint, color.names, isolated]);
    if (key === this.key) return;
    this.key = key;
    this.box.replaceChildren();
    if (isolated && isolated.by === "label")
      this.chip(isolated, "label", isolated.id, `only ${classes[isolated.id]} ×`,
        color.is_label ? color.colors[isolated.id] : "transparent");
    else if (color.kind === "numbers") {
      const bar = element("span", "ramp");
      bar.style.background = `linear-gradient(90deg, ${color.colors.filter((_, k) => k % 16 === 0).join(",")})`;
      this.box.append(element("span", "", `${color.title} ${color.low}`), bar, element("span", "", color.high));
    } else if (!color.is_label && color.names.length <= 12)
      color.names.forEach((name, id) => this.chip(isolated, "color", id, name, color.colors[id]));
  }

  chip(isolated, by, id, name, ink) {
    const made = button("chip", name, () => this.isolate(by, id));
    made.style.setProperty("--ink", ink);
    made.setAttribute("aria-pressed", String(Boolean(isolated && isolated.by === by && isolated.id === id)));
    made.title = `Show ${name} alone; again: all`;
    this.box.append(made);
  }
}
