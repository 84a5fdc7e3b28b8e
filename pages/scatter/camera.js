// Which part of a space a plot shows: from a point's place to a pixel and back.

export class Camera {
  constructor() {
    this.zoom = 1;
    this.center = [0, 0];
    this.width = this.height = this.scale = 0;
  }

  // Shows all of a space whose middle this is.
  home(middle) {
    this.zoom = 1;
    this.center = [...middle];
  }

  // All of a space, { middle, half }, has become wider: one that showed all of it still does, any other stays where it is.
  widen(before, after) {
    const isHome = !before || (this.zoom === 1 && this.center.every((value, axis) => value === before.middle[axis]));
    if (isHome) this.home(after.middle);
    else this.zoom *= after.half / before.half;
  }

  // Takes a plot's size in pixels; `half` is half of what the space spans.
  fit(width, height, half) {
    this.width = width;
    this.height = height;
    this.scale = Math.min(width, height) / (2 * half) * this.zoom;
  }

  toScreen(x, y) {
    return [(x - this.center[0]) * this.scale + this.width / 2, this.height / 2 - (y - this.center[1]) * this.scale];
  }

  toSpace([x, y]) {
    return [(x - this.width / 2) / this.scale + this.center[0], (this.height / 2 - y) / this.scale + this.center[1]];
  }

  enlarge(factor) {
    this.zoom = Math.min(200, Math.max(0.5, this.zoom * factor));
  }

  // Moves so that a place of the space lies on a pixel.
  hold([x, y], at) {
    this.center = [x - (at[0] - this.width / 2) / this.scale, y + (at[1] - this.height / 2) / this.scale];
  }

  // Moves from an earlier centre as far as the mouse went.
  shift(center, from, to) {
    this.center = [center[0] - (to[0] - from[0]) / this.scale, center[1] + (to[1] - from[1]) / this.scale];
  }
}
