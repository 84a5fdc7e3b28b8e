// From a point's place to a pixel and back.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Camera } from "../../pages/scatter/camera.js";

const isNear = (a, b) => a.forEach((value, k) => assert.ok(Math.abs(value - b[k]) < 1e-9, `${a} is not ${b}`));

function camera() {
  const made = new Camera();
  made.home([2, -1]);
  made.fit(400, 300, 5);
  return made;
}

test("the middle lies in the middle, up is up, and the shorter side shows all", () => {
  const made = camera();
  isNear(made.toScreen(2, -1), [200, 150]);
  isNear(made.toScreen(2, 4), [200, 0]);
  isNear(made.toScreen(7, -1), [350, 150]);
});

test("there and back", () => {
  const made = camera();
  made.enlarge(3);
  made.fit(400, 300, 5);
  isNear(made.toSpace(made.toScreen(0.3, 7)), [0.3, 7]);
});

test("what is under the mouse stays there when it is enlarged", () => {
  const made = camera(), at = [37, 290], under = made.toSpace(at);
  made.enlarge(2.5);
  made.fit(400, 300, 5);
  made.hold(under, at);
  isNear(made.toScreen(...under), at);
});

test("what is under the mouse moves with it", () => {
  const made = camera(), under = made.toSpace([10, 20]);
  made.shift(made.center, [10, 20], [110, 5]);
  isNear(made.toScreen(...under), [110, 5]);
});

test("zoom has ends", () => {
  const made = camera();
  made.enlarge(1e9);
  assert.equal(made.zoom, 200);
  made.enlarge(1e-9);
  assert.equal(made.zoom, 0.5);
  made.home([0, 0]);
  assert.equal(made.zoom, 1);
});

test("a camera that shows all goes on showing all of what has become wider; one that was moved stays where it is", () => {
  const before = { middle: [0, 0], half: 1 }, after = { middle: [1, 0], half: 2 };
  const home = new Camera(), moved = new Camera();
  for (const camera of [home, moved]) camera.widen(null, before);
  moved.enlarge(3);
  moved.center = [0.25, 0.5];
  moved.fit(100, 100, before.half);
  const place = moved.toScreen(0.3, 0.4);
  for (const camera of [home, moved]) camera.widen(before, after);
  assert.deepEqual([home.zoom, home.center], [1, [1, 0]]);
  moved.fit(100, 100, after.half);
  moved.toScreen(0.3, 0.4).forEach((value, axis) => assert.ok(Math.abs(value - place[axis]) < 1e-9));
});
