// What lies over the points: lines from names to their classes, rings about samples, stars, the loop being drawn.

import { css, lineColor } from "./colors.js";
import { trace } from "./lasso.js";
import { drawStars } from "./stars.js";

// leaders and spokes: [x, y, toX, toY]; rings: [x, y, radius, width]; stars: as `drawStars` takes them; corners: of the loop, or
// null.
export function drawMarks(canvas, camera, theme, { leaders, spokes, rings, stars, corners }, fontFamily) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  const width = Math.round(camera.width * ratio), height = Math.round(camera.height * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, camera.width, camera.height);
  pen.lineWidth = 1;
  drawLeaders(pen, leaders, theme);
  pen.lineWidth = 1.5;
  drawLeaders(pen, spokes, theme);
  for (const [x, y, radius, thick] of rings)
    for (const [color, extra] of [[theme.background, 2], [theme.text, 0]]) {
      pen.strokeStyle = css(color);
      pen.lineWidth = thick + extra;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.stroke();
    }
  drawStars(pen, stars, theme, fontFamily);
  if (corners) drawLoop(pen, corners, theme);
}

export function drawLeaders(pen, leaders, theme) {
  pen.strokeStyle = lineColor(theme);
  for (const [x, y, toX, toY] of leaders) {
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(toX, toY);
    pen.stroke();
  }
}

function drawLoop(pen, corners, theme) {
  trace(pen, corners);
  pen.fillStyle = `rgba(${theme.text.join(",")},0.08)`;
  pen.fill();
  pen.setLineDash([5, 4]);
  pen.strokeStyle = css(theme.text);
  pen.lineWidth = 1.5;
  pen.stroke();
  pen.setLineDash([]);
}
