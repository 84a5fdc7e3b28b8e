// What one plot shows: points, their colours, and which of them stand out.

export class Scene {
  // colors: category or step a point, of this plot; isolated: a class or category shown alone, or null.
  constructor({ points, side, colors, ink, theme, hasShapes, selected, n_selected, isolated }) {
    Object.assign(this, { ink, theme, hasShapes, colors, selected, n_selected, isolated });
    this.n = points.n;
    this.order = points.order;
    this.label = points.label;
    this.xy = points.sides[side].xy;
  }

  isFaded(i) {
    if (this.n_selected && !this.selected[i]) return true;
    if (!this.isolated) return false;
    return (this.isolated.by === "label" ? this.label[i] : this.colors[i]) !== this.isolated.id;
  }
}
