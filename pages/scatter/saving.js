// Pictures of a plot to take along: as PNG at twice the size of the screen, and as SVG.

import { css, hex, lineColor } from "./colors.js";
import { element } from "./elements.js";
import { drawLeaders } from "./marks.js";
import { radius, shapeOf, splat } from "./painting.js";

const SVG_MOST = 20000; // points drawn one by one in an SVG; more are a picture in it
const RATIO = 2; // pixels of a picture to a pixel of the screen

export const fileName = (file, title, ending) => `${file}-${title}`.replace(/[^A-Za-z0-9._-]+/g, "-") + `.${ending}`;

const escape = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

export function save(content, name) {
  const link = element("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The points alone.
export function pictureOf(scene, camera) {
  const width = Math.round(camera.width * RATIO), height = Math.round(camera.height * RATIO);
  const canvas = element("canvas");
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(width, height);
  splat(new Uint32Array(image.data.buffer), width, height, RATIO, scene, camera);
  pen.putImageData(image, 0, 0);
  pen.setTransform(RATIO, 0, 0, RATIO, 0, 0);
  return [canvas, pen];
}

// A canvas with points, names and the lines between them.
export function pngOf(scene, camera, { placed, leaders, fontSize }, fontFamily) {
  const [canvas, pen] = pictureOf(scene, camera), { text, background } = scene.theme;
  drawLeaders(pen, leaders, scene.theme);
  pen.textBaseline = "middle";
  pen.font = `600 ${fontSize}px ${fontFamily}`;
  for (const spot of placed) {
    pen.fillStyle = css(background);
    pen.globalAlpha = 0.8;
    pen.fillRect(spot.left, spot.top, spot.width, spot.height);
    pen.globalAlpha = 1;
    pen.fillStyle = css(text);
    pen.fillText(spot.text, spot.left + 4, spot.top + spot.height / 2);
  }
  return canvas;
}

// The same as text; `picture()` is called for the points as a data URL where they are many.
export function svgOf(scene, camera, { placed, leaders, fontSize }, picture) {
  const { width, height } = camera, { text, background } = scene.theme;
  const points = scene.n <= SVG_MOST ? svgPoints(scene, camera)
    : [`<image width="${width}" height="${height}" href="${picture()}"/>`];
  const lines = leaders.map(([x, y, toX, toY]) =>
    `<path d="M${x.toFixed(1)} ${y.toFixed(1)}L${toX.toFixed(1)} ${toY.toFixed(1)}" stroke="${lineColor(scene.theme)}"/>`);
  const names = placed.map((spot) =>
    `<rect x="${spot.left}" y="${spot.top}" width="${spot.width}" height="${spot.height}" fill="${css(background)}" opacity="0.8"/>` +
    `<text x="${spot.left + 4}" y="${spot.top + spot.height - 5}" font-size="${fontSize}px" font-weight="600" ` +
    `fill="${css(text)}">${escape(spot.text)}</text>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif">` +
    `<rect width="${width}" height="${height}" fill="${css(background)}"/>${[...points, ...lines, ...names].join("\n")}</svg>`;
}

function svgPoints(scene, camera) {
  const { xy, colors, ink } = scene, last = ink.core.length - 1, size = radius(scene.n, camera.zoom), shapes = [];
  for (const faded of [true, false])
    for (const i of scene.order) {
      if (scene.isFaded(i) !== faded) continue;
      const [x, y] = camera.toScreen(xy[2 * i], xy[2 * i + 1]);
      if (x < 0 || y < 0 || x > camera.width || y > camera.height) continue;
      const color = hex((faded ? ink.faded : ink.core)[Math.min(colors[i], last)]);
      shapes.push(svgShape(shapeOf(scene, i, size), x, y, faded ? size * 0.8 : size, color));
    }
  return shapes;
}

function svgShape(shape, x, y, r, color) {
  const at = (dx, dy) => `${(x + dx * r).toFixed(1)},${(y + dy * r).toFixed(1)}`;
  if (shape === 0) return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${r.toFixed(1)}" fill="${color}"/>`;
  const corners = [[[-0.88, -0.88], [0.88, -0.88], [0.88, 0.88], [-0.88, 0.88]], [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
    [[0, -1.5], [1.3, 0.75], [-1.3, 0.75]]][shape - 1];
  return `<polygon points="${corners.map(([dx, dy]) => at(dx, dy)).join(" ")}" fill="${color}"/>`;
}
