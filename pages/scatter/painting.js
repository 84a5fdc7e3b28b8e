// Points painted pixel by pixel, which needs no GPU.

import { word } from "./colors.js";

export const FLUID = 150000; // points painted while the mouse moves them; the rest follow when it rests

// How far inside a shape of radius r a pixel lies, in pixels; negative outside.
const SHAPES = [
  (x, y, r) => r - Math.hypot(x, y),
  (x, y, r) => 0.88 * r - Math.max(Math.abs(x), Math.abs(y)),
  (x, y, r) => (1.3 * r - Math.abs(x) - Math.abs(y)) * 0.707,
  (x, y, r) => Math.min(0.75 * r - y, (y + 1.5 * r - 1.73 * Math.abs(x)) * 0.5),
];

class Stamp {
  constructor(shape, radius, smooth, width) {
    const reach = Math.ceil(1.5 * radius + 0.5);
    const found = [];
    for (let y = -reach; y <= reach; y++)
      for (let x = -reach; x <= reach; x++) {
        const inside = SHAPES[shape](x, y, radius);
        const cover = smooth ? Math.min(1, Math.max(0, inside + 0.5)) : inside > -0.25 ? 1 : 0;
        if (cover > 0.04) found.push([y * width + x, Math.round(cover * 256), smooth && radius >= 3 && inside < 1.1]);
      }
    this.reach = reach;
    this.offset = Int32Array.from(found, (item) => item[0]);
    this.cover = Uint16Array.from(found, (item) => item[1]);
    this.rim = Uint8Array.from(found, (item) => item[2]);
  }
}

function stamp(pixels, stamp, at, core, rim) {
  const { offset, cover, rim: isRim } = stamp;
  for (let k = 0; k < offset.length; k++) {
    const place = at + offset[k];
    const color = isRim[k] ? rim : core;
    if (cover[k] >= 256) pixels[place] = color;
    else {
      const old = pixels[place];
      const share = cover[k];
      const r = (old & 255) + ((((color & 255) - (old & 255)) * share) >> 8);
      const g = ((old >> 8) & 255) + (((((color >> 8) & 255) - ((old >> 8) & 255)) * share) >> 8);
      const b = ((old >> 16) & 255) + (((((color >> 16) & 255) - ((old >> 16) & 255)) * share) >> 8);
      pixels[place] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
  }
}

export function radius(n, zoom) {
  const base = n < 1000 ? 4 : n < 5000 ? 3.2 : n < 30000 ? 2.2 : n < 150000 ? 1.5 : 0.9;
  return base * Math.min(2, zoom ** 0.3);
}

// The shape of a point's class, where classes have shapes and points are large enough to tell them apart.
export const shapeOf = (scene, i, size) => (scene.hasShapes && size >= 2.5 ? scene.label[i] & 3 : 0);

// Paints a scene's points, the faded first; `ratio` is pixels of the picture to a pixel of the screen.
export function splat(pixels, width, height, ratio, scene, camera, limit = scene.n) {
  pixels.fill(word(scene.theme.background));
  const { order, label, xy, colors, n_selected } = scene;
  const size = radius(scene.n, camera.zoom) * ratio, isSmooth = scene.n < 60000;
  const shapes = scene.hasShapes && size >= 2.5 ? SHAPES.length : 1;
  const make = (radius_) => Array.from({ length: shapes }, (_, shape) => new Stamp(shape, radius_, isSmooth, width));
  const normal = make(size), large = make(size * 1.4), small = make(Math.max(0.6, size * 0.8));
  const { core, rim, faded } = scene.ink, last = core.length - 1;
  const scale = camera.scale * ratio, left = width / 2 - camera.center[0] * scale, top = height / 2 + camera.center[1] * scale;
  const canFade = n_selected > 0 || scene.isolated !== null;
  for (let pass = canFade ? 0 : 1; pass < 2; pass++) {
    const stamps = pass === 0 ? small : n_selected ? large : normal;
    const reach = stamps[0].reach;
    for (let k = 0; k < limit; k++) {
      const i = order[k];
      if (canFade && scene.isFaded(i) !== (pass === 0)) continue;
      const x = Math.round(left + xy[2 * i] * scale), y = Math.round(top - xy[2 * i + 1] * scale);
      if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
      const color = colors[i] < last ? colors[i] : last;
      const shape = shapes > 1 ? stamps[label[i] & 3] : stamps[0];
      if (pass === 0) stamp(pixels, shape, y * width + x, faded[color], faded[color]);
      else stamp(pixels, shape, y * width + x, core[color], rim[color]);
    }
  }
}
