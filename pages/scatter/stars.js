// Stars: places in a space that are no samples', such as where a user's own image lands. Drawn over the points, never picked.

import { css } from "./colors.js";

const RADIUS = 13; // pixels; so large that a mark can be read in it
const INNER = 0.52; // of the radius: where the sides of two points meet

// The stars of each plot, as a message has them.
export function starsOf({ stars, arrays, titles }) {
  if (!stars) return titles.map(() => []);
  return titles.map((_, side) => stars.names.map((name, k) => ({ name, mark: stars.marks[k], near: stars.near[side][k],
    x: arrays[`star${side}`][2 * k], y: arrays[`star${side}`][2 * k + 1] })));
}

// The star under a pixel, by its number; null if none is. Of two that overlap it is the upper, which is drawn last.
export function starUnder(stars, camera, [x, y]) {
  for (let k = stars.length - 1; k >= 0; k--) {
    const [left, top] = camera.toScreen(stars[k].x, stars[k].y);
    if (Math.hypot(left - x, top - y) <= RADIUS) return k;
  }
  return null;
}

// What names of classes keep clear of.
export const boxesOf = (stars, camera) => stars.map(({ x, y }) => {
  const [left, top] = camera.toScreen(x, y);
  return { left: left - RADIUS, top: top - RADIUS, width: 2 * RADIUS, height: 2 * RADIUS };
});

// Corners of a star with its first point upwards.
export function corners(x, y, radius = RADIUS) {
  return Array.from({ length: 10 }, (_, k) => {
    const angle = k * Math.PI / 5 - Math.PI / 2, reach = k % 2 ? INNER * radius : radius;
    return [x + Math.cos(angle) * reach, y + Math.sin(angle) * reach];
  });
}

// placed: { x, y, mark, isHovered } in pixels.
export function drawStars(pen, placed, { text, background }, fontFamily) {
  pen.lineJoin = "round";
  for (const { x, y, mark, isHovered } of placed) {
    pen.beginPath();
    corners(x, y, isHovered ? RADIUS * 1.25 : RADIUS).forEach(([left, top], k) => (k ? pen.lineTo(left, top) : pen.moveTo(left, top)));
    pen.closePath();
    for (const [color, width] of [[background, 5], [text, 2]]) { // a halo first: dark points lie under it too
      pen.strokeStyle = css(color);
      pen.lineWidth = width;
      pen.stroke();
    }
    pen.fillStyle = css(background);
    pen.fill();
    pen.font = `700 11px ${fontFamily}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillStyle = css(text);
    pen.fillText(mark, x, y + 1);
  }
}
