// Names: each at its class or near it, none over another, none outside.

import assert from "node:assert/strict";
import { test } from "node:test";

import { placeNames, shortened } from "../../pages/scatter/labels.js";
import { random } from "./random.mjs";

const measure = (text) => text.length * 6;

test("a name alone lies on its class, and no line leads to it", () => {
  const { placed, leaders } = placeNames([{ label: 3, text: "cat", x: 100, y: 50 }], 200, 100, 11, measure);
  assert.deepEqual(placed, [{ left: 87, top: 42, ring: 0, width: 26, height: 16, label: 3, text: "cat" }]);
  assert.deepEqual(leaders, []);
});

test("a name at the edge is moved inside; one whose class is out of sight is left out", () => {
  const hidden = [[201, 50], [-1, 50], [100, -1], [100, 101]].map(([x, y]) => ({ label: 2, text: "gone", x, y }));
  const names = [...hidden, { label: 0, text: "left", x: 2, y: 50 }, { label: 1, text: "right", x: 199, y: 50 }];
  const { placed } = placeNames(names, 200, 100, 11, measure);
  assert.deepEqual(placed.map(({ label, left, width }) => [label, left, left + width]), [[0, 1, 33], [1, 161, 199]]);
});

test("of many names none lies over another or outside, and lines lead from those that moved to their classes", () => {
  const next = random(5);
  for (const n of [10, 40, 150]) {
    const names = Array.from({ length: n }, (_, label) => ({ label, text: "n".repeat(1 + Math.floor(next() * 15)), x: 60 + next() * 180,
      y: 40 + next() * 120 }));
    const { placed, leaders } = placeNames(names, 300, 200, 10, measure);
    assert.ok(placed.length >= Math.min(n, 20));
    for (const [k, a] of placed.entries()) {
      assert.ok(a.left >= 1 && a.top >= 1 && a.left + a.width <= 299 && a.top + a.height <= 199);
      for (const b of placed.slice(k + 1))
        assert.ok(a.left + a.width <= b.left || b.left + b.width <= a.left || a.top + a.height <= b.top || b.top + b.height <= a.top);
    }
    const moved = placed.filter((spot) => spot.ring > 1);
    assert.deepEqual(leaders, moved.map((spot) => [names[spot.label].x, names[spot.label].y, spot.left + spot.width / 2, spot.top + spot.height / 2]));
  }
});

test("who comes first keeps its place; who finds none is left out", () => {
  const names = [0, 1, 2].map((label) => ({ label, text: "abcdef", x: 30, y: 20 }));
  assert.deepEqual(placeNames(names, 400, 400, 11, measure).placed.map((spot) => [spot.label, spot.ring > 0]), [[0, false], [1, true], [2, true]]);
  assert.deepEqual(placeNames(names, 60, 40, 11, measure).placed.map((spot) => spot.label), [0]);
});

test("no name lies on a star", () => {
  const names = [{ label: 0, text: "abcdef", x: 100, y: 50 }], star = { left: 90, top: 40, width: 26, height: 26 };
  const { placed: [spot], leaders } = placeNames(names, 200, 100, 11, measure, [star]);
  assert.ok(spot.left + spot.width <= 90 || spot.left >= 116 || spot.top + spot.height <= 40 || spot.top >= 66);
  assert.equal(leaders.length, spot.ring > 1 ? 1 : 0);
});

test("long names are shortened", () => {
  assert.equal(shortened("eighteen letters !"), "eighteen letters !");
  assert.equal(shortened("eighteen letters !!"), "eighteen letters …");
});
