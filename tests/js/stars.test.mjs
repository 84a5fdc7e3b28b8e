// Stars: where one's own images land. Drawn, named when hovered, never picked.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Mouse } from "../../pages/scatter/mouse.js";
import { boxesOf, corners, drawStars, starUnder, starsOf } from "../../pages/scatter/stars.js";
import { View } from "../../pages/scatter/view.js";
import { scene, THEME } from "./scenes.mjs";

const star = (x, y, mark = "A", near = []) => ({ x, y, mark, near, name: `${mark}.png` });

// A plot of three points and a view of it, without a page; what is picked, looked at and said is noted.
function plot(stars, { label = [0, 0, 0] } = {}) {
  const [made, camera] = scene(Float32Array.of(-1, -1, 0, 0, 1, 1), 200, 200, { label });
  const field = { side: 0, camera, labels: { at: () => null }, box: { style: {} }, at: (event) => event.at };
  const view = Object.assign(Object.create(View.prototype), { stars: [stars], fields: [field], hovered: null, hoveredStar: null,
    selected: new Uint8Array(3), header: { stars: { words: "your image" }, classes: ["cat"], color: { is_label: true } }, said: [],
    points: { n: 3, label, sides: [{ xy: made.xy, grid: { near: (xy, x, y, reach) => [0, 1, 2].filter((i) =>
      Math.hypot(xy[2 * i] - x, xy[2 * i + 1] - y) <= reach) } }], row: (i) => i, index: (row) => row, cards: new Map() },
    tip: { hide: () => view.said.push(null), say: (...words) => view.said.push(words.slice(0, 2)), show: (row) => view.said.push(row) },
    colors: [[0, 0, 0]], mark: () => {}, markAll: () => {}, flush: () => {}, repaint: () => {}, scene: () => made, picks: [],
    isolate: () => assert.fail("nothing is isolated"), pick: (indices) => view.picks.push(indices) });
  view.mouse = new Mouse(view);
  return { view, field, camera, made };
}

test("a message's stars, of each plot; none without any", () => {
  const header = { titles: ["a", "b"], stars: { names: ["x.png", "y.png"], marks: ["A", "B"], near: [[[1], [2]], [[3], [4]]] },
    arrays: { star0: Float32Array.of(1, 2, 3, 4), star1: Float32Array.of(5, 6, 7, 8) } };
  const [a, b] = starsOf(header);
  assert.deepEqual(a[1], { name: "y.png", mark: "B", near: [2], x: 3, y: 4 });
  assert.deepEqual(b[0], { name: "x.png", mark: "A", near: [3], x: 5, y: 6 });
  assert.deepEqual(starsOf({ titles: ["a", "b"], arrays: {} }), [[], []]);
});

test("the star under the mouse is the one on top", () => {
  const { camera } = plot([]), stars = [star(0, 0), star(0.01, 0)], [x, y] = camera.toScreen(0, 0);
  assert.equal(starUnder(stars, camera, [x, y]), 1);
  assert.equal(starUnder(stars, camera, [x, y + 30]), null);
  assert.deepEqual(boxesOf([stars[0]], camera), [{ left: x - 13, top: y - 13, width: 26, height: 26 }]);
});

test("each star is drawn where it lands, with its letter in it, its first point upwards", () => {
  const drawn = [], pen = new Proxy({}, { set: () => true, get: (_, name) => (...values) => drawn.push([name, ...values]) });
  drawStars(pen, [{ x: 10, y: 20, mark: "A" }, { x: 30, y: 40, mark: "B", isHovered: true }], THEME, "serif");
  assert.deepEqual(drawn.filter(([name]) => name === "fillText").map(([, ...rest]) => rest), [["A", 10, 21], ["B", 30, 41]]);
  const starts = drawn.filter(([name]) => name === "moveTo").map(([, x, y]) => [x, Math.round(y * 100) / 100]);
  assert.deepEqual(starts, [[10, 7], [30, 40 - 16.25]]);
  assert.equal(drawn.filter(([name]) => name === "fill").length, 2);
  assert.equal(corners(0, 0).length, 10);
});

test("hovering says its file name, and the sample that it lies over stays out of it", () => {
  const { view, field, camera } = plot([star(0, 0, "A")]);
  view.mouse.move(field, { at: camera.toScreen(0, 0) });
  assert.deepEqual([view.hovered, view.hoveredStar], [null, 0]);
  assert.deepEqual(view.said.at(-1), ["★ A · A.png", "your image"]);
  view.mouse.move(field, { at: camera.toScreen(1, 1) });
  assert.deepEqual([view.hovered, view.hoveredStar, view.said.at(-1)], [2, null, 2]);
  view.mouse.move(field, { at: [100, 10] });
  assert.deepEqual([view.hovered, view.hoveredStar, view.said.at(-1)], [null, null, null]);
});

test("neither a click nor a loop picks a star; a loop about it picks the samples within", () => {
  const { view, field, camera } = plot([star(0, 0), star(0.5, 0.5)]);
  view.mouse.click(field, camera.toScreen(0, 0), false);
  assert.deepEqual(view.picks, []);
  view.mouse.click(field, camera.toScreen(1, 1), false);
  assert.deepEqual(view.picks, [[2]]);

  globalThis.OffscreenCanvas = class { // covers everything
    constructor(width, height) { this.data = new Uint8ClampedArray(4 * width * height).fill(255); }
    getContext() {
      return { beginPath() {}, moveTo() {}, lineTo() {}, closePath() {}, fill() {}, getImageData: () => ({ data: this.data }) };
    }
  };
  assert.deepEqual(view.mouse.enclosed(field, [[0, 0], [200, 0], [200, 200]]), [0, 1, 2]);
  delete globalThis.OffscreenCanvas;
});
