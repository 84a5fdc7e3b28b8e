// Colours as they are read, mixed and written.

import assert from "node:assert/strict";
import { test } from "node:test";

import { css, hex, inks, mix, rgb, word } from "../../pages/scatter/colors.js";

test("every form a theme may be written in", () => {
  assert.deepEqual(rgb("#0072B2"), [0, 114, 178]);
  assert.deepEqual(rgb("#0072b2ff"), [0, 114, 178]);
  assert.deepEqual(rgb("rgb(14, 17, 23)"), [14, 17, 23]);
  assert.deepEqual(rgb("rgba(14 17 23 / 0.5)"), [14, 17, 23]);
  assert.deepEqual(rgb("transparent"), [128, 128, 128]);
});

test("mixed from one end to the other", () => {
  assert.deepEqual(mix([0, 100, 255], [255, 200, 0], 0), [0, 100, 255]);
  assert.deepEqual(mix([0, 100, 255], [255, 200, 0], 1), [255, 200, 0]);
  assert.deepEqual(mix([0, 100, 255], [255, 200, 0], 0.5), [128, 150, 128]);
});

test("a pixel's bytes are red, green, blue and full cover", () => {
  assert.deepEqual(new Uint8Array(Uint32Array.of(word([1, 2, 250])).buffer), Uint8Array.of(1, 2, 250, 255));
  assert.equal(hex(word([1, 2, 250])), "#0102fa");
  assert.equal(css([1, 2, 250]), "rgb(1,2,250)");
});

test("each category has its colour, and points without a value one of their own", () => {
  const theme = { text: [0, 0, 0], background: [255, 255, 255] };
  const { core, rim, faded } = inks(["#ff0000", "#00ff00"], theme);
  assert.deepEqual(Array.from(core, hex), ["#ff0000", "#00ff00", "#8c8c8c"]);
  assert.deepEqual(Array.from(rim, hex), ["#a60000", "#00a600", "#5b5b5b"]);
  for (const pixel of faded) assert.ok((pixel & 255) > 200 && ((pixel >> 8) & 255) > 200, `${hex(pixel)} is near the background`);
});
