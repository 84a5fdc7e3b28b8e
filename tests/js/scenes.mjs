// A small scene to paint: what a test does not say of it is plain.

import { Camera } from "../../pages/scatter/camera.js";
import { inks } from "../../pages/scatter/colors.js";
import { Points } from "../../pages/scatter/points.js";
import { Scene } from "../../pages/scatter/scene.js";

export const THEME = { text: [0, 0, 0], background: [255, 255, 255] };
export const NAMES = ["#ff0000", "#00ff00", "#0000ff", "#888800"];

// A scene of points in a plot of this size, and its camera.
export function scene(xy, width, height, { label, colors, selected, isolated = null, hasShapes = false } = {}) {
  const n = xy.length / 2;
  const points = new Points({ xy0: xy, label: Uint16Array.from(label || new Uint16Array(n)) }, n, 1);
  const camera = new Camera();
  camera.home(points.middle);
  camera.fit(width, height, points.half);
  const flags = new Uint8Array(n);
  for (const i of selected || []) flags[i] = 1;
  const made = new Scene({ points, side: 0, colors: Uint16Array.from(colors || label || new Uint16Array(n)), ink: inks(NAMES, THEME),
    theme: THEME, hasShapes, selected: flags, n_selected: (selected || []).length, isolated });
  return [made, camera];
}
