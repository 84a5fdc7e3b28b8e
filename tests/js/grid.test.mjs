// The grid finds what looking at every point finds.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Grid } from "../../pages/scatter/grid.js";
import { cloud, random } from "./random.mjs";

// Every point within a radius, the nearest first.
function bruteForce(xy, x, y, radius) {
  const distances = Array.from({ length: xy.length / 2 }, (_, i) => Math.hypot(xy[2 * i] - x, xy[2 * i + 1] - y));
  return [...distances.keys()].filter((i) => distances[i] <= radius).sort((a, b) => distances[a] - distances[b]);
}

test("points near a place, as by brute force", () => {
  for (const n of [1, 2, 50, 3000]) {
    const xy = cloud(n, n, 5), grid = new Grid(xy, n), next = random(n + 1);
    for (let turn = 0; turn < 200; turn++) {
      const [x, y, radius] = [14 * next() - 7, 14 * next() - 7, next() ** 3 * 8]; // outside of all points too
      const expected = bruteForce(xy, x, y, radius);
      assert.deepEqual(grid.near(xy, x, y, radius, n), expected);
      assert.deepEqual(grid.near(xy, x, y, radius, 1), expected.slice(0, 1));
      assert.deepEqual(grid.near(xy, x, y, radius, 6), expected.slice(0, 6));
    }
  }
});

test("a space far longer than wide", () => {
  const xy = cloud(500, 9).map((value, k) => (k % 2 ? value * 1e-4 : value * 1e3)), grid = new Grid(xy, 500);
  for (let i = 0; i < 500; i += 7) assert.deepEqual(grid.near(xy, xy[2 * i], xy[2 * i + 1], 1e-6, 1), [i]);
});

test("points that all lie on one another, and no points", () => {
  const xy = new Float32Array(40).fill(3);
  assert.deepEqual(new Grid(xy, 20).near(xy, 3, 3, 0, 20).sort((a, b) => a - b), [...Array(20).keys()]);
  assert.deepEqual(new Grid(new Float32Array(0), 0).near(new Float32Array(0), 0, 0, 1, 1), []);
});
