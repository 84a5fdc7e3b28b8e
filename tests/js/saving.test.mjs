// A plot as SVG: every point once, in its shape and colour, names as text.

import assert from "node:assert/strict";
import { test } from "node:test";

import { fileName, svgOf } from "../../pages/scatter/saving.js";
import { cloud } from "./random.mjs";
import { scene } from "./scenes.mjs";

const LABELS = { placed: [], leaders: [], fontSize: 11 };
const never = () => assert.fail("so few points are drawn one by one");
const count = (text, part) => text.split(part).length - 1;

test("each point once, in the middle of the plot the one in the middle", () => {
  const text = svgOf(...scene(Float32Array.of(-1, -1, 0, 0, 1, 1), 200, 100, { label: [0, 1, 65535] }), LABELS, never);
  assert.equal(count(text, "<circle"), 3);
  assert.ok(text.includes('<circle cx="100.0" cy="50.0" r="4.0" fill="#00ff00"/>'), text);
  assert.ok(text.includes('fill="#8c8c8c"'), "a point without a value has a colour of its own");
  assert.ok(text.startsWith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100"') && text.endsWith("</svg>"));
  assert.ok(text.includes('<rect width="200" height="100" fill="rgb(255,255,255)"/>'));
});

test("points out of sight are left out", () => {
  const [made, camera] = scene(Float32Array.of(-1, -1, 0, 0, 1, 1), 200, 100);
  camera.enlarge(10);
  camera.fit(200, 100, 1);
  assert.equal(count(svgOf(made, camera, LABELS, never), "<circle"), 1);
});

test("what is faded lies under what stands out, and is smaller", () => {
  const text = svgOf(...scene(Float32Array.of(-1, -1, 0, 0, 1, 1), 200, 100, { selected: [0] }), LABELS, never);
  assert.deepEqual(Array.from(text.matchAll(/r="([\d.]+)"/g), ([, r]) => r), ["3.2", "3.2", "4.0"]);
  assert.ok(text.lastIndexOf("<circle") < text.indexOf('fill="#ff0000"'));
});

test("four shapes by class", () => {
  const text = svgOf(...scene(cloud(8, 1), 200, 200, { label: [0, 1, 2, 3, 0, 1, 2, 3], colors: Array(8).fill(0), hasShapes: true }), LABELS, never);
  assert.equal(count(text, "<circle"), 2);
  const corners = Array.from(text.matchAll(/points="([^"]+)"/g), ([, points]) => points.split(" ").length);
  assert.deepEqual(corners.sort(), [3, 3, 4, 4, 4, 4]);
});

test("more points than one can draw are a picture", () => {
  const text = svgOf(...scene(cloud(20001, 1), 200, 100), LABELS, () => "data:image/png;base64,AA");
  assert.equal(count(text, "<circle"), 0);
  assert.ok(text.includes('<image width="200" height="100" href="data:image/png;base64,AA"/>'));
});

test("names and their lines, with signs that would end them escaped", () => {
  const placed = [{ left: 10, top: 20, width: 50, height: 16, label: 0, text: `<b> & "c"` }];
  const text = svgOf(...scene(cloud(1, 1), 200, 100), { placed, leaders: [[1, 2, 30.25, 40]], fontSize: 10 }, never);
  assert.ok(text.includes(">&#60;b&#62; &#38; &#34;c&#34;</text>"));
  assert.ok(text.includes('<text x="14" y="31" font-size="10px"'));
  assert.ok(text.includes('<path d="M1.0 2.0L30.3 40.0" stroke="rgb(102,102,102)"/>'), text);
});

test("file names hold letters, digits, dots and dashes alone", () => assert.equal(fileName("my space", "A · supcon/ü", "svg"), "my-space-A-supcon-.svg"));
