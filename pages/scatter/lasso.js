// Which points lie within a loop or box, to the pixel: the shape is filled on a hidden canvas and each point looks where it lies.

// The corners of what was drawn: a loop is its path, a box lies between the path's ends.
export function outline(kind, path) {
  if (kind === "lasso") return path;
  const [a, b] = [path[0], path[path.length - 1]];
  return [a, [b[0], a[1]], b, [a[0], b[1]]];
}

export function trace(pen, corners) {
  pen.beginPath();
  corners.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
}

// Pixels of a plot as red, green, blue and cover; only the cover counts.
export function mask(width, height, corners) {
  const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  trace(pen, corners);
  pen.fill("evenodd");
  return pen.getImageData(0, 0, width, height).data;
}

// Points of a scene under a mask of this width and height; where one class is shown alone, no others.
export function enclosed(scene, camera, pixels, width, height) {
  const { xy } = scene, within = [];
  const left = camera.width / 2 - camera.center[0] * camera.scale, top = camera.height / 2 + camera.center[1] * camera.scale;
  const only = scene.isolated && scene.isolated.by === "label" ? scene.isolated.id : null;
  for (let i = 0; i < scene.n; i++) {
    const x = Math.floor(left + xy[2 * i] * camera.scale), y = Math.floor(top - xy[2 * i + 1] * camera.scale);
    if (x < 0 || y < 0 || x >= width || y >= height || pixels[4 * (y * width + x) + 3] < 128) continue;
    if (only === null || scene.label[i] === only) within.push(i); // what is faded is not meant
  }
  return within;
}
