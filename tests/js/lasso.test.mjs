// Which points lie in a loop, compared with the crossing rule for each point.

import assert from "node:assert/strict";
import { test } from "node:test";

import { enclosed, outline } from "../../pages/scatter/lasso.js";
import { cloud, random } from "./random.mjs";
import { scene } from "./scenes.mjs";

const [WIDTH, HEIGHT] = [160, 120];

// Whether a ray to the right crosses the loop's sides an odd number of times.
function isInside(corners, x, y) {
  let is = false;
  corners.forEach(([ax, ay], k) => {
    const [bx, by] = corners[(k + 1) % corners.length];
    if (ay > y !== by > y && x < ax + (y - ay) / (by - ay) * (bx - ax)) is = !is;
  });
  return is;
}

// How far a place is from a loop's sides.
function gap(corners, x, y) {
  return Math.min(...corners.map(([ax, ay], k) => {
    const [bx, by] = corners[(k + 1) % corners.length], [dx, dy] = [bx - ax, by - ay];
    const share = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
    return Math.hypot(ax + share * dx - x, ay + share * dy - y);
  }));
}

// The loop as a canvas fills it: cover of the pixels whose middles lie inside.
function filled(corners) {
  const pixels = new Uint8ClampedArray(4 * WIDTH * HEIGHT);
  for (let y = 0; y < HEIGHT; y++)
    for (let x = 0; x < WIDTH; x++) if (isInside(corners, x + 0.5, y + 0.5)) pixels[4 * (y * WIDTH + x) + 3] = 255;
  return pixels;
}

test("random loops, some of which cross themselves", () => {
  const xy = cloud(800, 4, 3), [made, camera] = scene(xy, WIDTH, HEIGHT), next = random(8);
  let n_sure = 0, n_in = 0;
  for (let turn = 0; turn < 30; turn++) {
    const corners = Array.from({ length: 3 + turn % 8 }, () => [next() * WIDTH, next() * HEIGHT]);
    const within = new Set(enclosed(made, camera, filled(corners), WIDTH, HEIGHT));
    for (let i = 0; i < 800; i++) {
      const [x, y] = camera.toScreen(xy[2 * i], xy[2 * i + 1]);
      if (gap(corners, x, y) <= Math.SQRT1_2) continue; // a pixel's middle may lie on the other side
      assert.equal(within.has(i), isInside(corners, x, y), `point ${i} at ${x}, ${y} of loop ${turn}`);
      n_sure++;
      n_in += within.has(i);
    }
  }
  assert.ok(n_sure > 20000 && n_in > 2000 && n_in < n_sure / 2);
});

test("a part of a space outside the plot is never meant", () => {
  const [made, camera] = scene(Float32Array.of(-1, -1, 0, 0, 1, 1), WIDTH, HEIGHT);
  camera.enlarge(10);
  camera.fit(WIDTH, HEIGHT, 1);
  assert.deepEqual(enclosed(made, camera, new Uint8ClampedArray(4 * WIDTH * HEIGHT).fill(255), WIDTH, HEIGHT), [1]);
});

test("where one class is shown alone, no other is meant", () => {
  const everything = new Uint8ClampedArray(4 * WIDTH * HEIGHT).fill(255), xy = cloud(6, 2), label = [0, 1, 2, 0, 1, 2];
  const within = (isolated) => enclosed(...scene(xy, WIDTH, HEIGHT, { label, isolated }), everything, WIDTH, HEIGHT);
  assert.deepEqual(within({ by: "label", id: 1 }), [1, 4]);
  assert.deepEqual(within({ by: "color", id: 1 }), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(within(null), [0, 1, 2, 3, 4, 5]);
});

test("a box lies between the ends of its path, a loop is its path", () => {
  const path = [[1, 2], [30, 3], [10, 20]];
  assert.deepEqual(outline("box", path), [[1, 2], [10, 2], [10, 20], [1, 20]]);
  assert.equal(outline("lasso", path), path);
});
