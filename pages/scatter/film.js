// A film: frames of one or several runs, epoch by epoch, in step. Which epoch is shown, whether it plays, what is still to come.

const AHEAD = 24; // frames asked for at once
const WHOLE = 12000; // milliseconds that a film of many epochs takes
const FASTEST = 60, SLOWEST = 500; // milliseconds an epoch is shown

export class Film {
  constructor() {
    this.reels = []; // of each run: total and frames, [epoch, name, words] in order
    this.places = new Map(); // name of a frame -> x and y of each point in turn
    this.at = null; // the epoch that was asked for; null follows the last
    this.isPlaying = false;
    this.epochs = [];
  }

  // What the page says: the runs as they are now, and frames that came with it.
  tell(reels, places) {
    this.reels = reels;
    for (const [name, xy] of places) this.places.set(name, xy);
    const named = new Set(reels.flatMap(({ frames }) => frames.map(([, name]) => name)));
    for (const name of this.places.keys()) if (!named.has(name)) this.places.delete(name);
    this.epochs = [...new Set(reels.flatMap(({ frames }) => frames.map(([epoch]) => epoch)))].sort((a, b) => a - b);
  }

  get last() {
    return this.epochs.length ? this.epochs[this.epochs.length - 1] : 0;
  }

  get epoch() {
    return this.at === null || this.at > this.last ? this.last : this.at;
  }

  get rank() {
    return Math.max(0, this.epochs.findLastIndex((epoch) => epoch <= this.epoch));
  }

  // Milliseconds that each epoch is shown for.
  get pace() {
    return Math.min(SLOWEST, Math.max(FASTEST, WHOLE / Math.max(1, this.epochs.length)));
  }

  // The frame of a run at an epoch: its own, or the last before it; null if it has none.
  frame(side, epoch = this.epoch) {
    const frames = side < this.reels.length ? this.reels[side].frames : [];
    if (!frames.length) return null;
    const [found, name, words] = frames.findLast(([item]) => item <= epoch) || frames[0];
    return { epoch: found, name, words, total: this.reels[side].total };
  }

  isReady(epoch) {
    return this.reels.every((_, side) => {
      const frame = this.frame(side, epoch);
      return !frame || this.places.has(frame.name);
    });
  }

  // Names of frames to ask for: what is shown first; the others, from there on, once someone looks through the film.
  wanted() {
    const from = this.rank, isLive = this.at === null && !this.isPlaying;
    const epochs = isLive ? [this.epoch] : [...this.epochs.slice(from), ...this.epochs.slice(0, from)];
    const names = epochs.flatMap((epoch) => this.reels.map((_, side) => this.frame(side, epoch)?.name));
    return [...new Set(names)].filter((name) => name && !this.places.has(name)).slice(0, AHEAD);
  }

  go(epoch) {
    this.at = epoch >= this.last ? null : epoch;
  }

  step(by) {
    this.isPlaying = false;
    this.go(this.epochs[Math.min(this.epochs.length - 1, Math.max(0, this.rank + by))]);
  }

  // Plays on from here; from the beginning where it is at its end.
  play() {
    if (this.epochs.length < 2) return;
    this.isPlaying = true;
    if (this.epoch === this.last) this.go(this.epochs[0]);
  }

  pause() {
    this.isPlaying = false;
  }

  // A beat of the clock: the next epoch, once its frames are there; the last one ends it. Says whether anything changed.
  beat() {
    if (!this.isPlaying) return false;
    const next = this.epochs[this.rank + 1];
    if (next !== undefined && !(this.isReady(this.epoch) && this.isReady(next))) return false;
    if (next !== undefined) this.go(next);
    if (this.at === null) this.pause();
    return true;
  }
}
