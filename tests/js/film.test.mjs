// A film: its frames in step, played to the end, fetched as they are needed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Film } from "../../pages/scatter/film.js";
import { Points } from "../../pages/scatter/points.js";
import { View } from "../../pages/scatter/view.js";

const reel = (side, epochs, total = 4) => ({ total, frames: epochs.map((epoch) => [epoch, `${side}-${epoch}`, ` · MAP@R ${epoch}0.0`]) });
const places = (...names) => names.map((name) => [name, Float32Array.of(Number(name.slice(2)), 0, 1, 1)]);

function film(...epochs) {
  const made = new Film();
  made.tell(epochs.map((of, side) => reel(side, of)), []);
  return made;
}

function whole(...epochs) {
  const made = film(...epochs);
  made.tell(made.reels, places(...made.reels.flatMap(({ frames }) => frames.map(([, name]) => name))));
  return made;
}

test("the last frame is shown until someone asks for another, also of a run that is behind", () => {
  const made = film([0, 1, 2], [0, 1]);
  assert.deepEqual([made.epoch, made.frame(0).epoch, made.frame(1).epoch], [2, 2, 1]);
  assert.deepEqual(made.frame(1), { epoch: 1, name: "1-1", words: " · MAP@R 10.0", total: 4 });
  made.tell([reel(0, [0, 1, 2, 3]), reel(1, [0, 1, 2])], []);
  assert.deepEqual([made.epoch, made.frame(0).epoch, made.frame(1).epoch], [3, 3, 2]);
  made.go(1);
  made.tell([reel(0, [0, 1, 2, 3, 4]), reel(1, [0, 1, 2, 3])], []);
  assert.deepEqual([made.epoch, made.frame(0).epoch, made.frame(1).epoch], [1, 1, 1]);
});

test("a run without a frame has none; one whose frame is missing shows the one before it", () => {
  const made = film([0, 1, 3], []);
  assert.equal(made.frame(1), null);
  assert.equal(made.frame(5), null);
  made.go(2);
  assert.deepEqual([made.epoch, made.rank, made.frame(0).epoch], [2, 1, 1]);
});

test("steps stay within the film and end its playing", () => {
  const made = whole([0, 1, 3], [0, 1, 3]);
  made.play();
  made.step(1);
  assert.deepEqual([made.epoch, made.isPlaying], [1, false]);
  made.step(1);
  assert.deepEqual([made.epoch, made.at], [3, null]);
  made.step(1);
  assert.equal(made.epoch, 3);
  for (let k = 0; k < 5; k++) made.step(-1);
  assert.equal(made.epoch, 0);
});

test("it plays from the beginning where it is at its end, goes through every epoch and stops at the last", () => {
  const made = whole([0, 1, 3], [0, 1, 3]), seen = [];
  made.play();
  while (made.isPlaying) {
    seen.push(made.epoch);
    assert.ok(made.beat());
  }
  assert.deepEqual([seen, made.epoch, made.at], [[0, 1], 3, null]);
  assert.equal(made.beat(), false);
  made.go(1);
  made.play();
  assert.equal(made.epoch, 1, "from where it is elsewhere");
  made.pause();
  assert.deepEqual([made.beat(), made.epoch], [false, 1]);
});

test("a film of one frame does not play", () => {
  const made = whole([0]);
  made.play();
  assert.equal(made.isPlaying, false);
});

test("it waits for frames that are still to come", () => {
  const made = film([0, 1, 2], [0, 1, 2]);
  made.play();
  assert.deepEqual([made.beat(), made.epoch], [false, 0]);
  made.tell(made.reels, places("0-0", "1-0", "0-1"));
  assert.deepEqual([made.beat(), made.epoch], [false, 0]);
  made.tell(made.reels, places("1-1"));
  assert.deepEqual([made.beat(), made.epoch], [true, 1]);
});

test("whoever watches asks for what is shown alone, whoever looks through it for all, from there on", () => {
  const made = film([0, 1, 2], [0, 1, 2]);
  assert.deepEqual(made.wanted(), ["0-2", "1-2"]);
  made.tell(made.reels, places("0-2", "1-2"));
  assert.deepEqual(made.wanted(), []);
  made.go(1);
  assert.deepEqual(made.wanted(), ["0-1", "1-1", "0-0", "1-0"]);
  const long = film(Array.from({ length: 100 }, (_, epoch) => epoch));
  long.go(50);
  assert.deepEqual([long.wanted().length, long.wanted()[0]], [24, "0-50"]);
});

test("frames that a run no longer has are forgotten", () => {
  const made = whole([0, 1, 2]);
  made.tell([{ total: 4, frames: [[0, "0-0", ""], [1, "other", ""]] }], []);
  assert.deepEqual([...made.places.keys()], ["0-0"]);
  assert.deepEqual(made.wanted(), ["other"]);
});

test("few epochs are shown for half a second each, many for less", () => {
  assert.equal(whole([0, 1]).pace, 500);
  assert.equal(film(Array.from({ length: 100 }, (_, epoch) => epoch)).pace, 120);
  assert.equal(film(Array.from({ length: 1000 }, (_, epoch) => epoch)).pace, 60);
});

// A view of two runs and two points, without a page.
function view() {
  const points = new Points({ label: Uint16Array.of(0, 1) }, 2, 2);
  const fields = [0, 1, 2].map((side) => ({ side, canvas: {}, words: { textContent: "" }, camera: { widen() {} } }));
  return Object.assign(Object.create(View.prototype), { film: new Film(), points, fields, stars: [[], []], whole: null,
    header: { classes: ["cat", "dog"] }, player: { draw() {} }, colors: [[0, 1], [0, 1]], hovered: null, hoveredStar: null,
    repaint() {}, showTip() {}, flush() {} });
}

test("stepping moves the points of every run and says so; points, colours and what is marked stay", () => {
  const made = view(), { points, colors, fields } = made, frames = (epoch) => [0, 1].map((side) => points.sides[side].xy[0] === epoch);
  made.selected = Uint8Array.of(0, 1);
  const arrays = Object.fromEntries(places("0-0", "0-1", "1-0").map(([name, xy]) => [`frame-${name}`, xy]));
  made.takeFrames({ reels: [reel(0, [0, 1]), reel(1, [0])], arrays });
  assert.deepEqual(fields.map((field) => field.words.textContent), ["epoch 1 of 4 · MAP@R 10.0", "epoch 0 of 4 · MAP@R 00.0",
    "its space will be here in a moment"]);
  assert.deepEqual(fields.map((field) => field.canvas.hidden), [false, false, true]);
  made.stepFilm(-1);
  assert.deepEqual(frames(0), [true, true]);
  made.stepFilm(1);
  assert.equal(points.sides[0].xy[0], 1);
  assert.deepEqual(made.centers[0].map(({ label, x }) => [label, x]), [[0, 1], [1, 1]]);
  assert.ok(made.points === points && made.colors === colors && made.selected[1] === 1);
});

test("a frame still to come leaves the points, and what is said of them, where they are", () => {
  const made = view();
  made.takeFrames({ reels: [reel(0, [0, 1]), reel(1, [0, 1])], arrays: Object.fromEntries(
    places("0-1", "1-1").map(([name, xy]) => [`frame-${name}`, xy])) });
  made.stepFilm(-1);
  assert.equal(made.points.sides[0].xy[0], 1);
  assert.equal(made.fields[0].words.textContent, "epoch 1 of 4 · MAP@R 10.0");
});
