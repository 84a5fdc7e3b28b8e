// What the mouse does on the plots: draw a loop or box, move, enlarge, click, rest on a point.

import { enclosed, mask, outline } from "./lasso.js";

const NEAR = 12; // pixels within which a point is under the mouse

export class Mouse {
  constructor(view) {
    this.view = view;
    this.drag = null;
  }

  watch(field) {
    const { box } = field;
    box.addEventListener("pointerdown", (event) => this.down(field, event));
    box.addEventListener("pointermove", (event) => this.move(field, event));
    box.addEventListener("pointerup", (event) => this.up(field, event));
    box.addEventListener("pointercancel", () => this.cancel());
    box.addEventListener("pointerleave", () => this.drag || this.view.hover(null, null));
    box.addEventListener("dblclick", () => this.view.home([field]));
    box.addEventListener("wheel", (event) => this.wheel(field, event), { passive: false });
    box.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  down(field, event) {
    const { view } = this;
    if (!view.shows(field)) return;
    view.root.focus({ preventScroll: true });
    event.preventDefault();
    field.box.setPointerCapture(event.pointerId);
    const isPan = event.button !== 0 || event.altKey || view.mode === "pan";
    this.drag = { field, kind: isPan ? "pan" : view.mode, path: [field.at(event)], center: [...field.camera.center],
      isAdding: event.shiftKey };
  }

  move(field, event) {
    const { view, drag } = this;
    if (!view.shows(field)) return;
    const at = field.at(event);
    if (!drag) {
      const star = view.starUnder(field, at), i = star === null ? this.under(field, at) : null;
      const isOver = i !== null || field.labels.at(at) !== null;
      field.box.style.cursor = isOver ? "pointer" : star !== null ? "help" : view.mode === "pan" ? "grab" : "crosshair";
      view.hover(i === null ? null : view.points.row(i), field.side, star);
      return;
    }
    if (drag.field !== field) return;
    if (drag.kind === "pan") {
      const [fromX, fromY] = drag.path[0];
      if (Math.hypot(at[0] - fromX, at[1] - fromY) > 3) drag.hasMoved = true;
      field.camera.shift(drag.center, drag.path[0], at);
      view.repaint(true);
    } else {
      const [lastX, lastY] = drag.path[drag.path.length - 1];
      if (Math.hypot(at[0] - lastX, at[1] - lastY) > 2) drag.path.push(at);
      view.hover(null, null);
      view.mark(field);
    }
  }

  up(field, event) {
    const { view, drag } = this;
    this.drag = null;
    if (!drag || drag.field !== field) return;
    const reach = Math.max(...drag.path.map(([x, y]) => Math.hypot(x - drag.path[0][0], y - drag.path[0][1])));
    if (reach < 5 && !drag.hasMoved) this.click(field, field.at(event), event.shiftKey);
    else if (drag.kind !== "pan") view.pick(this.enclosed(field, outline(drag.kind, drag.path)), drag.isAdding);
    else view.repaint();
    view.mark(field);
  }

  cancel() {
    this.drag = null;
    this.view.repaint();
  }

  click(field, at, isAdding) {
    const { view } = this, label = field.labels.at(at);
    if (label !== null) return view.isolate("label", label);
    if (view.starUnder(field, at) !== null) return; // no sample, and what lies under it is not meant
    const i = this.under(field, at);
    if (i === null) return;
    if (isAdding && view.selected[i]) view.unpick(i);
    else view.pick([i], isAdding);
  }

  wheel(field, event) {
    const { view } = this, { camera } = field;
    if (!view.shows(field)) return;
    event.preventDefault();
    const at = field.at(event), under = camera.toSpace(at);
    camera.enlarge(Math.exp(-event.deltaY * 0.0015));
    field.measure(view.whole.half);
    camera.hold(under, at);
    view.repaint(true);
  }

  // The point nearest to a pixel, or null if none is near.
  under(field, at) {
    const { xy, grid } = this.view.points.sides[field.side], [x, y] = field.camera.toSpace(at);
    const [i] = grid.near(xy, x, y, NEAR / field.camera.scale, 1);
    return i === undefined ? null : i;
  }

  enclosed({ side, camera }, corners) {
    const width = Math.ceil(camera.width), height = Math.ceil(camera.height);
    return enclosed(this.view.scene(side), camera, mask(width, height, corners), width, height);
  }

  // Corners of what is being drawn on a plot, or null.
  corners(field) {
    const { drag } = this;
    const isDrawn = drag && drag.field === field && drag.path.length > 1 && drag.kind !== "pan";
    return isDrawn ? outline(drag.kind, drag.path) : null;
  }
}
