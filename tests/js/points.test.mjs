// Points: a fair order, rows of the table and back, where classes lie.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Points, centers, shuffled } from "../../pages/scatter/points.js";
import { cloud } from "./random.mjs";

test("the order holds each point once, is always the same, and mixes", () => {
  const order = shuffled(10000);
  assert.deepEqual(order.slice().sort(), Uint32Array.from({ length: 10000 }, (_, i) => i));
  assert.deepEqual(order, shuffled(10000));
  const n_low = order.slice(0, 1000).filter((i) => i < 5000).length;
  assert.ok(n_low > 430 && n_low < 570, `${n_low} of the first thousand are of the first half`);
});

test("rows of the table and back", () => {
  const arrays = { xy0: cloud(4, 1), label: new Uint16Array(4) };
  const all = new Points(arrays, 4, 1), drawn = new Points({ ...arrays, rows: Uint32Array.of(2, 5, 6, 11) }, 4, 1);
  assert.deepEqual([0, 3, 4].map((row) => all.index(row)), [0, 3, -1]);
  assert.deepEqual([0, 2, 5, 6, 7, 11, 12].map((row) => drawn.index(row)), [-1, 0, 1, 2, -1, 3, -1]);
  assert.deepEqual([0, 1, 2, 3].map((i) => drawn.index(drawn.row(i))), [0, 1, 2, 3]);
});

test("both spaces are shown about one middle and at one scale", () => {
  const points = new Points({ xy0: Float32Array.of(0, 0, 2, 2), xy1: Float32Array.of(-4, 0, 0, 1), label: new Uint16Array(2) }, 2, 2);
  assert.deepEqual(points.middle, [-1, 1]);
  assert.ok(Math.abs(points.half - 3 * 1.06) < 1e-9);
});

test("what a plot shows widens with frames and with places of no sample, and is the same again without those", () => {
  const points = new Points({ label: new Uint16Array(2) }, 2, 2);
  assert.deepEqual([points.sides, centers(points, 1)], [[null, null], [[], []]]);
  points.place(0, Float32Array.of(0, 0, 2, 2));
  points.place(0, Float32Array.of(0, 0, 1, 1));
  assert.deepEqual(points.whole(), { middle: [1, 1], half: 1.06 });
  points.place(1, Float32Array.of(0, 0, 4, 1));
  assert.deepEqual(points.middle, [2, 1]);
  assert.deepEqual(points.whole([{ x: 2, y: -7 }, { x: 3, y: 1 }]), { middle: [2, -2.5], half: 4.5 * 1.06 });
  assert.deepEqual(points.whole(), { middle: [2, 1], half: 2 * 1.06 });
});

test("a class lies at the medians of its points, the largest class first", () => {
  const xy0 = Float32Array.of(0, 9, 10, 0, 100, 3, 7, 7, 5, 5), label = Uint16Array.of(1, 1, 1, 0, 9);
  const points = new Points({ xy0, label }, 5, 1);
  assert.deepEqual(centers(points, 3), [[{ label: 1, size: 3, x: 10, y: 3 }, { label: 0, size: 1, x: 7, y: 7 }]]);
});
