// Points as pixels: where they lie, in their colours, what stands out over what is faded.

import assert from "node:assert/strict";
import { test } from "node:test";

import { hex } from "../../pages/scatter/colors.js";
import { radius, splat } from "../../pages/scatter/painting.js";
import { scene } from "./scenes.mjs";

const SIZE = 120;

// A picture of a scene, as a function from a pixel to its colour.
function painted([made, camera], limit) {
  const pixels = new Uint32Array(SIZE * SIZE);
  splat(pixels, SIZE, SIZE, 1, made, camera, limit);
  return Object.assign((x, y) => hex(pixels[Math.round(y) * SIZE + Math.round(x)]), { pixels });
}

const CORNERS = Float32Array.of(-1, -1, 1, -1, -1, 1, 1, 1);
// A little inside the plot, as points at its edge are left out.
function small(options) {
  const [made, camera] = scene(CORNERS, SIZE, SIZE, options);
  camera.zoom = 0.7;
  camera.fit(SIZE, SIZE, 1);
  return [made, camera];
}

test("each point has its colour where it lies, between them is the background", () => {
  const [made, camera] = small({ label: [0, 1, 2, 2], colors: [0, 1, 2, 65535] });
  const at = painted([made, camera]);
  const seen = [0, 1, 2, 3].map((i) => at(...camera.toScreen(CORNERS[2 * i], CORNERS[2 * i + 1])));
  assert.deepEqual(seen, ["#ff0000", "#00ff00", "#0000ff", "#8c8c8c"]);
  assert.equal(at(60, 60), "#ffffff");
});

test("what is not selected is faded, what is selected is larger", () => {
  const count = (at, color) => at.pixels.filter((pixel) => hex(pixel) === color).length;
  const plain = painted(small()), picked = painted(small({ selected: [2] }));
  const [made, camera] = small({ selected: [2] });
  assert.equal(picked(...camera.toScreen(-1, 1)), "#ff0000");
  assert.equal(picked(...camera.toScreen(1, 1)), hex(made.ink.faded[0]));
  assert.ok(count(picked, "#ff0000") > count(plain, "#ff0000") / 4);
});

test("a class shown alone leaves the others faded, by class or by colour", () => {
  const options = { label: [0, 1, 1, 0], colors: [2, 2, 3, 3] };
  assert.deepEqual([0, 1, 2, 3].map((i) => small({ ...options, isolated: { by: "label", id: 1 } })[0].isFaded(i)), [true, false, false, true]);
  assert.deepEqual([0, 1, 2, 3].map((i) => small({ ...options, isolated: { by: "color", id: 3 } })[0].isFaded(i)), [true, true, false, false]);
});

test("what is faded never covers what stands out", () => {
  const [made, camera] = scene(Float32Array.of(0, 0, 0, 0, 0, 0), SIZE, SIZE, { label: [0, 1, 2], isolated: { by: "label", id: 1 } });
  assert.equal(painted([made, camera])(60, 60), "#00ff00");
});

test("a part is painted where only a part is asked for", () => {
  const [made, camera] = small();
  const n_painted = (limit) => painted([made, camera], limit).pixels.filter((pixel) => hex(pixel) === "#ff0000").length;
  assert.equal(n_painted(0), 0);
  assert.equal(n_painted(1) * 4, n_painted(4));
});

test("classes have shapes where points are large enough", () => {
  const [made, camera] = small({ label: [0, 1, 2, 3], colors: [0, 0, 0, 0], hasShapes: true });
  const at = painted([made, camera]), size = radius(4, camera.zoom);
  const isFull = (i, dx, dy) => {
    const [x, y] = camera.toScreen(CORNERS[2 * i], CORNERS[2 * i + 1]).map(Math.round);
    return at(x + dx, y + dy) !== "#ffffff";
  };
  const out = Math.round(0.85 * size); // along both axes: outside a circle and a diamond
  assert.deepEqual([0, 1, 2].map((i) => isFull(i, out, out)), [false, true, false], "a square alone has corners");
  assert.ok(isFull(3, 0, -Math.floor(size)) && !isFull(3, 0, Math.ceil(size)), "a triangle points up");
});

test("points shrink as there are more of them", () => {
  const sizes = [500, 2000, 10000, 100000, 1000000].map((n) => radius(n, 1));
  assert.deepEqual(sizes, [...sizes].sort((a, b) => b - a));
  assert.ok(radius(500, 4) > radius(500, 1) && radius(500, 1e6) === 2 * radius(500, 1));
});
