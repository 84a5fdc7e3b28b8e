// Which points lie near a place: points sorted into the cells of a grid.

export class Grid {
  constructor(xy, n) {
    let [left, bottom, right, top] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < n; i++) {
      const x = xy[2 * i], y = xy[2 * i + 1];
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < bottom) bottom = y;
      if (y > top) top = y;
    }
    this.across = Math.max(1, Math.min(700, Math.floor(Math.sqrt(n / 2))));
    this.left = left;
    this.bottom = bottom;
    this.cell = Math.max(right - left, top - bottom, 1e-9) / this.across * 1.0001;
    this.start = new Uint32Array(this.across * this.across + 1);
    const of = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
      of[i] = this.at(xy[2 * i], xy[2 * i + 1]);
      this.start[of[i] + 1]++;
    }
    for (let c = 1; c < this.start.length; c++) this.start[c] += this.start[c - 1];
    const next = this.start.slice();
    this.items = new Uint32Array(n);
    for (let i = 0; i < n; i++) this.items[next[of[i]]++] = i;
    this.extent = [left, bottom, right, top];
  }

  column(x) {
    return Math.min(this.across - 1, Math.max(0, Math.floor((x - this.left) / this.cell)));
  }

  at(x, y) {
    return Math.min(this.across - 1, Math.max(0, Math.floor((y - this.bottom) / this.cell))) * this.across + this.column(x);
  }

  // Points within a radius, the nearest first, at most `most`.
  near(xy, x, y, radius, most) {
    const within = [];
    const low = Math.floor(this.at(x - radius, y - radius) / this.across), high = Math.floor(this.at(x, y + radius) / this.across);
    for (let row = low; row <= high; row++)
      for (let column = this.column(x - radius); column <= this.column(x + radius); column++) {
        const cell = row * this.across + column;
        for (let k = this.start[cell]; k < this.start[cell + 1]; k++) {
          const i = this.items[k];
          const distance = Math.hypot(xy[2 * i] - x, xy[2 * i + 1] - y);
          if (distance <= radius) within.push([distance, i]);
        }
      }
    if (most === 1) {
      let best = null;
      for (const item of within) if (!best || item[0] < best[0]) best = item;
      return best ? [best[1]] : [];
    }
    return within.sort((a, b) => a[0] - b[0]).slice(0, most).map((item) => item[1]);
  }
}
