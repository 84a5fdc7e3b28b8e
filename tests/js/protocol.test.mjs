// Messages: what Python packs is what is unpacked, a selection is packed as Python unpacks it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { packFlags, unpack, unpackFlags } from "../../pages/scatter/protocol.js";
import { random } from "./random.mjs";

// Written by tests/js/test_canvas.py: a message of the real packer, and what was packed in it.
const packed = process.env.DUET_PACKED;
const isWritten = packed ? {} : { skip: "tests/js/test_canvas.py writes the message" };

test("a message that Python packed", isWritten, () => {
  const expected = JSON.parse(readFileSync(`${packed}/expected.json`));
  const content = readFileSync(`${packed}/message`);
  const shifted = new Uint8Array(content.length + 3); // a view into a longer buffer, at no multiple of four
  shifted.set(content, 3);
  for (const bytes of [new Uint8Array(content), shifted.subarray(3)]) {
    const header = unpack(bytes);
    assert.deepEqual(Object.keys(header.arrays).sort(), Object.keys(expected.arrays).sort());
    for (const [name, values] of Object.entries(expected.arrays)) assert.deepEqual(Array.from(header.arrays[name]), values);
    assert.ok(header.arrays.xy0 instanceof Float32Array && header.arrays.label instanceof Uint16Array);
    assert.deepEqual(header.classes, expected.classes);
    assert.equal(header.points, expected.points);
    assert.deepEqual(header.selection, expected.selection);
    const flags = new Uint8Array(header.n);
    unpackFlags(header.arrays.selected, flags);
    assert.deepEqual(Array.from(flags.keys()).filter((i) => flags[i]), expected.rows);
    assert.equal(packFlags(flags), expected.picked);
  }
});

test("flags come back as they went, at every length", () => {
  const next = random(3);
  for (const n of [0, 1, 7, 8, 9, 64, 300001]) { // the last is more bytes than are turned to text at once
    const flags = Uint8Array.from({ length: n }, () => next() < 0.4);
    const bits = Uint8Array.from(atob(packFlags(flags)), (sign) => sign.charCodeAt(0));
    assert.equal(bits.length, Math.ceil(n / 8));
    const back = new Uint8Array(n).fill(1);
    unpackFlags(bits, back);
    assert.deepEqual(back, flags);
  }
});

test("no bits is nothing selected", () => {
  const flags = Uint8Array.of(1, 1, 1);
  unpackFlags(undefined, flags);
  assert.deepEqual(flags, Uint8Array.of(0, 0, 0));
});
