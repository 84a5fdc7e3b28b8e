// The points of one or several spaces, as they are kept for as long as the page is open.

import { Grid } from "./grid.js";

const CENTER_OF = 999; // points of a class that its centre is taken from

export class Points {
  constructor(arrays, n, n_sides) {
    this.n = n;
    this.label = arrays.label;
    this.rows = arrays.rows || null; // of the table, in order, where not all are drawn
    this.sides = new Array(n_sides).fill(null); // null of a space whose first frame is still to come
    this.extent = null;
    this.order = shuffled(n);
    this.cards = new Map();
    this.near = new Map();
    for (let side = 0; side < n_sides; side++) if (arrays[`xy${side}`]) this.place(side, arrays[`xy${side}`]);
  }

  // Puts the points of a space where they lie from now on.
  place(side, xy) {
    this.sides[side] = { xy, grid: new Grid(xy, this.n) };
    this.extent = joined(this.extent, this.sides[side].grid.extent);
  }

  // The part of all spaces that holds every point, and other places too: their middle, and half of what they span.
  whole(others = []) {
    const [left, bottom, right, top] = others.reduce((extent, { x, y }) => joined(extent, [x, y, x, y]), this.extent) || [0, 0, 0, 0];
    return { middle: [(left + right) / 2, (bottom + top) / 2], half: Math.max(right - left, top - bottom, 1e-9) / 2 * 1.06 };
  }

  get middle() {
    return this.whole().middle;
  }

  get half() {
    return this.whole().half;
  }

  row(index) {
    return this.rows ? this.rows[index] : index;
  }

  // Where a row of the table is among the points; -1 if it is not drawn.
  index(row) {
    if (!this.rows) return row < this.n ? row : -1;
    let low = 0, high = this.rows.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1, other = this.rows[middle];
      if (other === row) return middle;
      if (other < row) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}

const joined = (a, b) => (a ? a.map((value, k) => (k < 2 ? Math.min : Math.max)(value, b[k])) : b);

// A fixed shuffle: no class is painted over by the next, and any prefix is a fair sample.
export function shuffled(n) {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  let state = 12345;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 4294967296) * (i + 1));
    const other = order[i];
    order[i] = order[j];
    order[j] = other;
  }
  return order;
}

// Where each class lies in each space, the largest first: the medians of some of its points.
export function centers(points, n_classes) {
  const members = Array.from({ length: n_classes }, () => []);
  const sizes = new Uint32Array(n_classes);
  for (let k = 0; k < points.n; k++) {
    const i = points.order[k], label = points.label[i];
    if (label >= n_classes) continue;
    sizes[label]++;
    if (members[label].length < CENTER_OF) members[label].push(i);
  }
  const median = (values) => values.sort()[values.length >> 1];
  return points.sides.map((placed) => members.map((mine, label) => mine.length && placed ? {
    label, size: sizes[label],
    x: median(Float32Array.from(mine, (i) => placed.xy[2 * i])), y: median(Float32Array.from(mine, (i) => placed.xy[2 * i + 1])),
  } : null).filter(Boolean).sort((a, b) => b.size - a.size));
}
