// What is kept for later, and what goes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { keep } from "../../pages/scatter/keeping.js";

test("the first goes when there are too many", () => {
  const store = new Map();
  for (const name of ["a", "b", "c", "d"]) keep(store, 3, name, name.toUpperCase());
  assert.deepEqual([...store], [["b", "B"], ["c", "C"], ["d", "D"]]);
});

test("what is put again is new again, and replaces itself alone", () => {
  const store = new Map();
  for (const name of ["a", "b", "c"]) keep(store, 3, name, 1);
  keep(store, 3, "a", 2);
  assert.deepEqual([...store.keys()], ["b", "c", "a"]);
  keep(store, 3, "d", 1);
  assert.deepEqual([...store.keys()], ["c", "a", "d"]);
  assert.equal(store.get("a"), 2);
});
