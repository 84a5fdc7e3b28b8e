// One plot on the page: its canvases, its names, and which part of the space it shows.

import { Camera } from "./camera.js";
import { Labels } from "./labels.js";
import { splat } from "./painting.js";

export class Field {
  constructor(plot, side, isolate) {
    this.side = side;
    this.box = plot.querySelector(".field");
    this.canvas = plot.querySelector(".points");
    this.marks = plot.querySelector(".marks");
    this.title = plot.querySelector(".title");
    this.words = plot.querySelector(".words"); // of a film alone: which epoch, and its score
    this.plot = plot;
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.camera = new Camera();
    this.labels = new Labels(plot.querySelector(".labels"), isolate);
  }

  measure(half) {
    this.camera.fit(this.box.clientWidth, this.box.clientHeight, half);
  }

  // Where the mouse is on it, in pixels.
  at(event) {
    const box = this.box.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  paint(scene, limit) {
    const { camera, canvas, context } = this;
    const ratio = scene.n > 200000 ? 1 : Math.min(2, devicePixelRatio || 1);
    const width = Math.max(1, Math.round(camera.width * ratio)), height = Math.max(1, Math.round(camera.height * ratio));
    if (canvas.width !== width || canvas.height !== height || !this.image) {
      canvas.width = width;
      canvas.height = height;
      this.image = context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    splat(this.pixels, width, height, ratio, scene, camera, limit);
    context.putImageData(this.image, 0, 0);
  }
}
