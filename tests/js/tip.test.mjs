// What is said of the sample under the mouse.

import assert from "node:assert/strict";
import { test } from "node:test";

import { about } from "../../pages/scatter/tip.js";

const KNN = { title: "k-NN", kind: "categories", names: ["right", "wrong"], is_label: false };

test("its clusters, and its category where that is not the class", () => {
  const card = { clusters: "in A: cat" };
  assert.equal(about(card, KNN, 1), "in A: cat · k-NN: wrong");
  assert.equal(about(card, KNN, 65535), "in A: cat · k-NN: none");
  assert.equal(about(card, { ...KNN, is_label: true }, 1), "in A: cat");
  assert.equal(about(card, { ...KNN, kind: "numbers" }, 1), "in A: cat");
});

test("what is known before its card has come", () => {
  assert.equal(about(undefined, KNN, 0), "k-NN: right");
  assert.equal(about({ clusters: "" }, { ...KNN, is_label: true }, 0), "");
});
