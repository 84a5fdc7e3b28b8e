// One message on its way at a time; what gathers meanwhile goes with the next, what is lost is said again.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Outbox } from "../../pages/scatter/outbox.js";

const nothing = () => {};

test("nothing to say is no message", () => assert.equal(new Outbox("a").take(0, nothing), null));

test("what gathers while a message is on its way goes with the next", () => {
  const outbox = new Outbox("a");
  const first = outbox.take(0, (message) => (message.ask = [1]));
  assert.deepEqual(first, { seq: "a-1", ask: [1] });
  outbox.waiting.missing = ["x"];
  assert.equal(outbox.take(10, nothing), null);
  outbox.answered("another's");
  assert.equal(outbox.take(20, nothing), null);
  outbox.answered(first.seq);
  assert.deepEqual(outbox.take(30, nothing), { seq: "a-2", missing: ["x"] });
});

test("a message without an answer is sent again, what is newer instead of what is older", () => {
  const outbox = new Outbox("a");
  outbox.waiting = { picked: "old", points: "p" };
  outbox.take(0, nothing);
  outbox.waiting.picked = "new";
  assert.equal(outbox.take(4999, nothing), null);
  assert.deepEqual(outbox.take(5000, nothing), { seq: "a-2", picked: "new", points: "p" });
});

test("a selection is sent before images are asked for", () => {
  const outbox = new Outbox("a");
  outbox.waiting.picked = "bits";
  assert.deepEqual(outbox.take(0, (message) => (message.ask = [1])), { seq: "a-1", picked: "bits" });
});

test("the same is asked for again only after a while", () => {
  const outbox = new Outbox("a");
  assert.ok(outbox.isDue(5, 0));
  outbox.note(5, 0);
  assert.ok(!outbox.isDue(5, 2999) && outbox.isDue(5, 3000) && outbox.isDue(6, 1));
});
