// What a film is played with: a button, a slider over its epochs, the epoch in words.

import { button, element } from "./elements.js";

export class Player {
  // changed: called whenever another epoch is to be shown.
  constructor(box, film, changed) {
    Object.assign(this, { film, changed });
    this.button = button("play", "Play", () => this.toggle());
    this.slider = element("input");
    Object.assign(this.slider, { type: "range", min: 0, step: 1 });
    this.slider.setAttribute("aria-label", "Film: epoch");
    this.slider.addEventListener("input", () => {
      film.pause();
      film.go(film.epochs[this.slider.valueAsNumber]);
      this.changed();
    });
    this.words = element("output");
    box.append(this.button, this.slider, this.words);
  }

  toggle() {
    if (this.film.isPlaying) this.film.pause();
    else this.film.play();
    this.changed();
  }

  draw() {
    const { film, button, slider } = this, total = Math.max(film.last, ...film.reels.map((reel) => reel.total));
    const n = film.epochs.length, word = film.isPlaying ? "Pause" : "Play";
    if (button.textContent !== word) button.textContent = word;
    button.disabled = slider.disabled = n < 2;
    slider.max = Math.max(1, n - 1);
    slider.value = n < 2 ? slider.max : film.rank;
    const words = `epoch ${film.epoch} of ${total}`;
    slider.setAttribute("aria-valuetext", words);
    this.words.textContent = words;
    this.keepTime();
  }

  // A beat at a time, and none while nothing plays.
  keepTime() {
    if (!this.film.isPlaying) return this.stop();
    if (!this.clock) this.clock = setInterval(() => this.film.beat() && this.changed(), this.film.pace);
  }

  stop() {
    clearInterval(this.clock);
    this.clock = null;
  }
}
