// Whose word counts on what is selected: the page's, or a later one of this browser's own.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Outbox } from "../../pages/scatter/outbox.js";
import { Points } from "../../pages/scatter/points.js";
import { View } from "../../pages/scatter/view.js";
import { cloud } from "./random.mjs";

const others = (seed) => new Points({ xy0: cloud(4, seed), label: new Uint16Array(4) }, 4, 1);

function view() {
  const made = Object.assign(Object.create(View.prototype), { id: "me", outbox: new Outbox("me"), points: null, panel: null,
    header: { classes: ["cat"], points: "some" }, chosen: [], focused: null, repaint() {} });
  made.takePoints(others(1));
  return made;
}

test("an own selection that the page repeats late is no news; another one is", () => {
  const made = view();
  made.pick([1], false);
  const first = made.stamp;
  made.pick([2], false);
  made.outbox.waiting = {}; // said
  made.takeSelection(first, Uint8Array.of(2));
  assert.deepEqual(made.chosen, [2]);
  made.takeSelection("page-7", Uint8Array.of(9));
  assert.deepEqual(made.chosen, [0, 3]);
});

test("other points, as of another layout, keep the selection that was picked here", () => {
  const made = view();
  made.pick([1, 3], false);
  const { stamp } = made;
  made.outbox.waiting = {};
  made.takePoints(others(2));
  assert.deepEqual(made.chosen, []);
  made.takeSelection(stamp, Uint8Array.of(10));
  assert.deepEqual(made.chosen, [1, 3]);
});
