// One or two spaces as points on a canvas, linked: hovered, picked and isolated samples stand out in both at once.
// Points are painted pixel by pixel, which needs no GPU; what the page must know or tell goes through one message at a time.

const kept = new Map(); // fingerprint -> arrays; outlives the element, so that points travel once
const KEPT_MOST = 12;
const CARDS_MOST = 4000;
const PANEL_MOST = 120; // images of a selection in the panel at once
const FLUID = 150000; // points painted while the mouse moves them; the rest follow when it rests
const NEAR = 12; // pixels within which a point is under the mouse
const NONE = 65535; // a category for "no value"
const SVG_MOST = 20000; // points drawn one by one in an SVG; more are a picture in it
const views = new WeakMap();
let messages = 0;

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  const root = parentElement.querySelector(".spaces");
  let view = views.get(root);
  if (!view) {
    view = new View(root);
    views.set(root, view);
  }
  view.send = (message) => setTriggerValue("message", message);
  view.update(unpack(data));
  return () => {
    view.close();
    views.delete(root);
  };
}

function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const kinds = { f4: Float32Array, u2: Uint16Array, u4: Uint32Array, u1: Uint8Array };
  header.arrays = {};
  for (const [name, kind, start, size] of header.parts)
    header.arrays[name] = new kinds[kind](bytes.slice(4 + length + start, 4 + length + start + size).buffer);
  return header;
}

function keep(fingerprint, value) {
  kept.delete(fingerprint);
  kept.set(fingerprint, value);
  while (kept.size > KEPT_MOST) kept.delete(kept.keys().next().value);
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function rgb(color) {
  const found = color.match(/^#(..)(..)(..)/);
  if (found) return found.slice(1).map((part) => parseInt(part, 16));
  return (color.match(/[\d.]+/g) || [128, 128, 128]).slice(0, 3).map(Number);
}

const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * share));
const word = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const css = ([r, g, b]) => `rgb(${r},${g},${b})`;
const count = (n) => n.toLocaleString("en-US");
const escape = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

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

// Which points lie near a place: points sorted into the cells of a grid.
class Grid {
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
    const found = [];
    const low = Math.floor(this.at(x - radius, y - radius) / this.across), high = Math.floor(this.at(x, y + radius) / this.across);
    for (let row = low; row <= high; row++)
      for (let column = this.column(x - radius); column <= this.column(x + radius); column++) {
        const cell = row * this.across + column;
        for (let k = this.start[cell]; k < this.start[cell + 1]; k++) {
          const i = this.items[k];
          const distance = Math.hypot(xy[2 * i] - x, xy[2 * i + 1] - y);
          if (distance <= radius) found.push([distance, i]);
        }
      }
    if (most === 1) {
      let best = null;
      for (const item of found) if (!best || item[0] < best[0]) best = item;
      return best ? [best[1]] : [];
    }
    return found.sort((a, b) => a[0] - b[0]).slice(0, most).map((item) => item[1]);
  }
}

function prepare(arrays, n, sides) {
  const points = { n, label: arrays.label, rows: arrays.rows || null, sides: [] };
  for (let side = 0; side < sides; side++) {
    const xy = arrays[`xy${side}`];
    points.sides.push({ xy, grid: new Grid(xy, n) });
  }
  const extents = points.sides.map((item) => item.grid.extent);
  const low = [0, 1].map((axis) => Math.min(...extents.map((extent) => extent[axis])));
  const high = [2, 3].map((axis) => Math.max(...extents.map((extent) => extent[axis])));
  points.middle = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
  points.half = Math.max(high[0] - low[0], high[1] - low[1], 1e-9) / 2 * 1.06;
  points.order = new Uint32Array(n); // a fixed shuffle: no class is painted over by the next, and any prefix is a fair sample
  for (let i = 0; i < n; i++) points.order[i] = i;
  let state = 12345;
  for (let i = n - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 4294967296) * (i + 1));
    const other = points.order[i];
    points.order[i] = points.order[j];
    points.order[j] = other;
  }
  points.cards = new Map();
  points.near = new Map();
  return points;
}

// Where each class lies: the medians of up to 999 of its points.
function centers(points, n_classes) {
  const members = Array.from({ length: n_classes }, () => []);
  const sizes = new Uint32Array(n_classes);
  for (let k = 0; k < points.n; k++) {
    const i = points.order[k], label = points.label[i];
    if (label >= n_classes) continue;
    sizes[label]++;
    if (members[label].length < 999) members[label].push(i);
  }
  const median = (values) => values.sort()[values.length >> 1];
  return points.sides.map(({ xy }) => members.map((mine, label) => mine.length ? {
    label, size: sizes[label],
    x: median(Float32Array.from(mine, (i) => xy[2 * i])), y: median(Float32Array.from(mine, (i) => xy[2 * i + 1])),
  } : null).filter(Boolean).sort((a, b) => b.size - a.size));
}

class View {
  constructor(root) {
    this.root = root;
    root.view = this;
    this.id = Math.random().toString(36).slice(2);
    this.points = null;
    this.selected = new Uint8Array(0);
    this.n_selected = 0;
    this.stamp = null;
    this.hovered = null;
    this.focused = null;
    this.isolated = null;
    this.mode = "lasso";
    this.outbox = {};
    this.flying = null;
    this.asked = new Map();
    this.fields = [...root.querySelectorAll(".plot")].map((plot, side) => this.field(plot, side));
    this.panel = root.querySelector(".panel");
    this.tip = root.querySelector(".tip");
    this.legend = root.querySelector(".legend");
    for (const button of root.querySelectorAll(".tools button"))
      button.addEventListener("click", () => this.tool(button.dataset.tool));
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    root.addEventListener("pointerenter", () => (this.isOver = true));
    root.addEventListener("pointerleave", () => {
      this.isOver = false;
      this.hover(null, null);
    });
    if (this.panel) this.buildPanel();
    this.resized = new ResizeObserver(() => this.repaint());
    for (const field of this.fields) this.resized.observe(field.box);
    this.clock = setInterval(() => this.flush(), 1000);
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
    this.resized.disconnect();
    clearInterval(this.clock);
    clearTimeout(this.rest);
  }

  // What the page says

  update(header) {
    this.header = header;
    this.root.style.height = header.height ? `${header.height}px` : "";
    this.theme();
    if (this.flying && header.seq === this.flying.seq) this.flying = null;
    const missing = [];
    if (header.arrays.label) keep(header.points, prepare(header.arrays, header.n, header.titles.length));
    if (header.arrays.color0)
      keep(header.color.fingerprint, header.titles.map((_, side) => header.arrays[`color${side}`] || header.arrays.color0));
    const points = kept.get(header.points), colors = kept.get(header.color.fingerprint);
    if (!points) missing.push(header.points);
    if (!colors) missing.push(header.color.fingerprint);
    if (missing.length) {
      this.outbox.missing = missing;
      this.flush();
      return;
    }
    if (points !== this.points) {
      this.points = points;
      this.centers = centers(points, header.classes.length);
      this.selected = new Uint8Array(points.n);
      this.n_selected = 0;
      this.stamp = null;
      this.hovered = this.focused = null;
      this.asked.clear();
      for (const field of this.fields) this.home(field);
    }
    this.colors = colors;
    for (const [row, card] of Object.entries(header.cards)) this.points.cards.set(Number(row), card);
    for (const [row, near] of Object.entries(header.near)) this.points.near.set(Number(row), near);
    while (this.points.cards.size > CARDS_MOST) this.points.cards.delete(this.points.cards.keys().next().value);
    if (header.isolated !== this.toldIsolated) {
      this.toldIsolated = header.isolated;
      this.isolated = header.isolated === null ? null : { by: "label", id: header.isolated };
    }
    const { stamp } = header.selection;
    const isOwn = this.picks && String(stamp).startsWith(this.id) && stamp !== this.stamp;
    if (stamp !== this.stamp && !isOwn && !this.outbox.picked) {
      this.stamp = stamp;
      const bits = header.arrays.selected;
      this.selected.fill(0);
      if (bits) for (let i = 0; i < this.points.n; i++) this.selected[i] = (bits[i >> 3] >> (i & 7)) & 1;
      this.selectionChanged();
    }
    this.told = header.selection;
    this.fields.forEach((field, side) => (field.title.textContent = header.titles[side]));
    this.root.querySelector(".note").textContent = header.note;
    this.drawLegend();
    this.repaint();
    this.drawPanel();
    this.showTip();
    this.flush();
  }

  theme() {
    const style = getComputedStyle(this.root);
    const read = (name, other) => rgb(style.getPropertyValue(name).trim() || other);
    this.background = read("--st-background-color", "#ffffff");
    this.text = read("--st-text-color", "#31333f");
    const key = JSON.stringify([this.background, this.header.color.colors]);
    if (key === this.inkKey) return;
    this.inkKey = key;
    const none = mix(this.text, this.background, 0.55);
    const colors = [...this.header.color.colors.map(rgb), none];
    const away = (color) => mix(color, this.text, 0.35); // towards the text: a rim that any background leaves visible
    this.ink = { core: Uint32Array.from(colors, (color) => word(color)), rim: Uint32Array.from(colors, (color) => word(away(color))),
      faded: Uint32Array.from(colors, (color) => word(mix(mix(color, none, 0.6), this.background, 0.72))) };
  }

  // What the page is asked: one message on its way at a time; what gathers meanwhile goes with the next.

  flush() {
    if (!this.send || !this.header) return;
    const now = performance.now();
    if (this.flying && now - this.flying.at < 5000) return;
    if (this.flying) { // no answer: lost with an interrupted rerun
      this.outbox = { ...this.flying.message, ...this.outbox };
      this.flying = null;
    }
    const message = { ...this.outbox };
    if (!("picked" in message)) this.askFor(message, now); // what is selected is said first, its images come after
    if (!Object.keys(message).length) return;
    this.outbox = {};
    const seq = `${this.id}-${++messages}`;
    this.flying = { seq, at: now, message };
    this.send({ seq, ...message });
  }

  askFor(message, now) {
    const wanted = this.wanted(now);
    if (wanted.length) message.ask = wanted;
    if (this.focused !== null && this.panel && this.points && !this.points.near.has(this.focused) &&
        !(now - (this.asked.get(`near${this.focused}`) ?? -1e9) < 3000)) {
      message.near = this.focused;
      this.asked.set(`near${this.focused}`, now);
    }
  }

  wanted(now) {
    if (!this.points) return [];
    const rows = [];
    if (this.hovered !== null && now - this.hoveredAt >= 75) rows.push(this.hovered, ...this.aroundHovered());
    if (this.focused !== null) rows.push(this.focused);
    rows.push(...this.panelRows());
    const isMissing = (row) => !this.points.cards.has(row) && !(now - (this.asked.get(row) ?? -1e9) < 3000);
    const missing = [...new Set(rows)].filter(isMissing).slice(0, 24);
    for (const row of missing) this.asked.set(row, now);
    return missing;
  }

  aroundHovered() {
    const side = this.hoveredSide, field = this.fields[side];
    const { xy, grid } = this.points.sides[side];
    const i = this.index(this.hovered);
    if (i < 0 || this.points.n > FLUID) return [];
    return grid.near(xy, xy[2 * i], xy[2 * i + 1], 25 / field.scale, 6).map((k) => this.row(k));
  }

  row(index) {
    return this.points.rows ? this.points.rows[index] : index;
  }

  index(row) {
    if (!this.points.rows) return row < this.points.n ? row : -1;
    let low = 0, high = this.points.rows.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1, found = this.points.rows[middle];
      if (found === row) return middle;
      if (found < row) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  // The plots

  field(plot, side) {
    const field = { side, plot, box: plot.querySelector(".field"), canvas: plot.querySelector(".points"),
      marks: plot.querySelector(".marks"), labels: plot.querySelector(".labels"), title: plot.querySelector(".title"), zoom: 1 };
    field.context = field.canvas.getContext("2d", { alpha: false });
    plot.querySelector(".png").addEventListener("click", () => this.savePng(field));
    plot.querySelector(".svg").addEventListener("click", () => this.saveSvg(field));
    const box = field.box;
    box.addEventListener("pointerdown", (event) => this.down(field, event));
    box.addEventListener("pointermove", (event) => this.move(field, event));
    box.addEventListener("pointerup", (event) => this.up(field, event));
    box.addEventListener("pointercancel", () => this.cancel());
    box.addEventListener("pointerleave", () => this.drag || this.hover(null, null));
    box.addEventListener("dblclick", () => {
      this.home(field);
      this.repaint();
    });
    box.addEventListener("wheel", (event) => this.wheel(field, event), { passive: false });
    box.addEventListener("contextmenu", (event) => event.preventDefault());
    return field;
  }

  home(field) {
    field.zoom = 1;
    field.center = [...this.points.middle];
  }

  measure(field) {
    field.width = field.box.clientWidth;
    field.height = field.box.clientHeight;
    field.scale = Math.min(field.width, field.height) / (2 * this.points.half) * field.zoom;
  }

  screen(field, i) {
    const { xy } = this.points.sides[field.side];
    return [(xy[2 * i] - field.center[0]) * field.scale + field.width / 2,
      field.height / 2 - (xy[2 * i + 1] - field.center[1]) * field.scale];
  }

  // Where a sample lies on the window, for whoever drives this page.
  place(side, row) {
    const field = this.fields[side], box = field.box.getBoundingClientRect();
    const [x, y] = this.screen(field, this.index(row));
    return [box.left + x, box.top + y];
  }

  repaint(isMoving = false) {
    if (!this.points) return;
    clearTimeout(this.rest);
    const isPart = isMoving && this.points.n > FLUID;
    this.fieldsDue = { isPart };
    if (!this.frame) this.frame = requestAnimationFrame(() => {
      this.frame = null;
      for (const field of this.fields) if (field.box.clientWidth) {
        this.measure(field);
        this.paint(field, this.fieldsDue.isPart);
        this.placeLabels(field);
        this.drawMarks(field);
      }
      this.root.dataset.painted = this.header.points;
    });
    if (isPart) this.rest = setTimeout(() => this.repaint(), 150);
  }

  radius(n, zoom) {
    const base = n < 1000 ? 4 : n < 5000 ? 3.2 : n < 30000 ? 2.2 : n < 150000 ? 1.5 : 0.9;
    return base * Math.min(2, zoom ** 0.3);
  }

  paint(field, isPart) {
    const ratio = this.points.n > 200000 ? 1 : Math.min(2, devicePixelRatio || 1);
    const width = Math.max(1, Math.round(field.width * ratio)), height = Math.max(1, Math.round(field.height * ratio));
    if (field.canvas.width !== width || field.canvas.height !== height || !field.image) {
      field.canvas.width = width;
      field.canvas.height = height;
      field.image = field.context.createImageData(width, height);
      field.pixels = new Uint32Array(field.image.data.buffer);
    }
    this.splat(field.pixels, width, height, ratio, field, isPart);
    field.context.putImageData(field.image, 0, 0);
  }

  isFaded(i, side) {
    if (this.n_selected && !this.selected[i]) return true;
    if (!this.isolated) return false;
    return (this.isolated.by === "label" ? this.points.label[i] : this.colors[side][i]) !== this.isolated.id;
  }

  splat(pixels, width, height, ratio, field, isPart) {
    pixels.fill(word(this.background));
    const { n, order, label } = this.points, { xy } = this.points.sides[field.side], colors = this.colors[field.side];
    const limit = isPart ? Math.min(n, FLUID) : n;
    const radius = this.radius(n, field.zoom) * ratio, isSmooth = n < 60000;
    const shapes = this.header.shapes && radius >= 2.5 ? SHAPES.length : 1;
    const make = (size) => Array.from({ length: shapes }, (_, shape) => new Stamp(shape, size, isSmooth, width));
    const normal = make(radius), large = make(radius * 1.4), small = make(Math.max(0.6, radius * 0.8));
    const { core, rim, faded } = this.ink, last = core.length - 1;
    const scale = field.scale * ratio, left = width / 2 - field.center[0] * scale, top = height / 2 + field.center[1] * scale;
    const canFade = this.n_selected > 0 || this.isolated !== null;
    for (let pass = canFade ? 0 : 1; pass < 2; pass++) {
      const stamps = pass === 0 ? small : this.n_selected ? large : normal;
      const reach = stamps[0].reach;
      for (let k = 0; k < limit; k++) {
        const i = order[k];
        if (canFade && this.isFaded(i, field.side) !== (pass === 0)) continue;
        const x = Math.round(left + xy[2 * i] * scale), y = Math.round(top - xy[2 * i + 1] * scale);
        if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
        const color = colors[i] < last ? colors[i] : last;
        const shape = shapes > 1 ? stamps[label[i] & 3] : stamps[0];
        if (pass === 0) stamp(pixels, shape, y * width + x, faded[color], faded[color]);
        else stamp(pixels, shape, y * width + x, core[color], rim[color]);
      }
    }
  }

  drawMarks(field) {
    const ratio = Math.min(2, devicePixelRatio || 1), canvas = field.marks;
    const width = Math.round(field.width * ratio), height = Math.round(field.height * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, field.width, field.height);
    pen.strokeStyle = css(mix(this.text, this.background, 0.4));
    pen.lineWidth = 1;
    for (const [x, y, toX, toY] of field.leaders || []) {
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(toX, toY);
      pen.stroke();
    }
    const ring = (row, size, width_) => {
      const i = row === null ? -1 : this.index(row);
      if (i < 0) return;
      const [x, y] = this.screen(field, i);
      for (const [color, extra] of [[this.background, 2], [this.text, 0]]) {
        pen.strokeStyle = css(color);
        pen.lineWidth = width_ + extra;
        pen.beginPath();
        pen.arc(x, y, size, 0, 7);
        pen.stroke();
      }
    };
    ring(this.focused, 10, 2.5);
    ring(this.hovered, 8, 2);
    if (this.drag && this.drag.field === field && this.drag.path.length > 1 && this.drag.kind !== "pan") {
      pen.beginPath();
      this.outline(this.drag).forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.closePath();
      pen.fillStyle = `rgba(${this.text.join(",")},0.08)`;
      pen.fill();
      pen.setLineDash([5, 4]);
      pen.strokeStyle = css(this.text);
      pen.lineWidth = 1.5;
      pen.stroke();
      pen.setLineDash([]);
    }
  }

  outline(drag) {
    if (drag.kind === "lasso") return drag.path;
    const [a, b] = [drag.path[0], drag.path[drag.path.length - 1]];
    return [a, [b[0], a[1]], b, [a[0], b[1]]];
  }

  // Class names at the classes' centres; those that would lie on another move aside, with a line back.
  placeLabels(field) {
    const fontSize = this.header.classes.length > 20 ? 10 : 11;
    const pen = field.context;
    pen.font = `600 ${fontSize}px ${getComputedStyle(this.root).fontFamily}`;
    const placed = [], leaders = [], height = fontSize + 5;
    const shown = new Map();
    const only = this.isolated && this.isolated.by === "label" ? this.isolated.id : null;
    const first = (item) => (item.label === only ? -1 : 0);
    const named = this.isNameless ? [] : [...this.centers[field.side]].sort((a, b) => first(a) - first(b));
    for (const item of named) {
      const full = this.header.classes[item.label];
      const text = full.length > 18 ? `${full.slice(0, 17)}…` : full;
      const width = pen.measureText(text).width + 8;
      const x = (item.x - field.center[0]) * field.scale + field.width / 2;
      const y = field.height / 2 - (item.y - field.center[1]) * field.scale;
      if (x < 0 || y < 0 || x > field.width || y > field.height) continue;
      const inside = (left, top) => left >= 1 && top >= 1 && left + width <= field.width - 1 && top + height <= field.height - 1;
      const isFree = (left, top) => !placed.some((other) => left < other.left + other.width + 1 && other.left < left + width + 1 &&
        top < other.top + height + 1 && other.top < top + height + 1);
      let spot = null;
      const near = Math.min(Math.max(x - width / 2, 1), field.width - width - 1);
      for (let ring = 0; ring <= 20 && !spot; ring++) {
        const turns = ring ? 8 + 4 * ring : 1;
        for (let turn = 0; turn < turns && !spot; turn++) {
          const angle = (turn / turns) * 2 * Math.PI - Math.PI / 2;
          const left = near + Math.cos(angle) * ring * 15, top = y - height / 2 + Math.sin(angle) * ring * 11;
          if (inside(left, top) && isFree(left, top)) spot = { left, top, ring };
        }
      }
      if (!spot) continue;
      placed.push({ ...spot, width, height, label: item.label });
      if (spot.ring > 1) leaders.push([x, y, spot.left + width / 2, spot.top + height / 2]);
      shown.set(item.label, { ...spot, text, width, height });
    }
    field.leaders = leaders;
    field.placed = placed;
    field.named = field.named || new Map();
    const isLabel = this.header.color.is_label;
    for (const [label, spot] of shown) {
      let button = field.named.get(label);
      if (!button) {
        button = element("button", "label");
        button.type = "button";
        button.addEventListener("click", () => this.isolate("label", Number(button.dataset.label)));
        field.named.set(label, button);
        field.labels.append(button);
      }
      button.dataset.label = label;
      if (button.textContent !== spot.text) button.textContent = spot.text;
      button.title = this.header.classes[label];
      button.style.cssText = `left:${spot.left}px;top:${spot.top}px;font-size:${fontSize}px;width:${spot.width}px;` +
        `height:${spot.height}px;--ink:${isLabel ? this.header.color.colors[label] : "transparent"}`;
      button.classList.toggle("away", only !== null && only !== label);
      button.setAttribute("aria-pressed", String(only === label));
    }
    for (const [label, button] of field.named) if (!shown.has(label)) {
      button.remove();
      field.named.delete(label);
    }
  }

  isolate(by, id) {
    const isSame = this.isolated && this.isolated.by === by && this.isolated.id === id;
    this.isolated = isSame ? null : { by, id };
    this.drawLegend();
    this.repaint();
  }

  drawLegend() {
    const { color, classes } = this.header;
    const key = JSON.stringify([color.fingerprint, color.names, this.isolated]);
    if (key === this.legendKey) return;
    this.legendKey = key;
    this.legend.replaceChildren();
    const chip = (by, id, name, ink) => {
      const button = element("button", "chip", name);
      button.type = "button";
      button.style.setProperty("--ink", ink);
      button.setAttribute("aria-pressed", String(Boolean(this.isolated && this.isolated.by === by && this.isolated.id === id)));
      button.title = `Show ${name} alone; again: all`;
      button.addEventListener("click", () => this.isolate(by, id));
      this.legend.append(button);
    };
    if (this.isolated && this.isolated.by === "label") {
      chip("label", this.isolated.id, `only ${classes[this.isolated.id]} ×`, color.is_label ? color.colors[this.isolated.id] : "transparent");
    } else if (color.kind === "numbers") {
      const bar = element("span", "ramp");
      bar.style.background = `linear-gradient(90deg, ${color.colors.filter((_, k) => k % 16 === 0).join(",")})`;
      this.legend.append(element("span", "", `${color.title} ${color.low}`), bar, element("span", "", color.high));
    } else if (!color.is_label && color.names.length <= 12)
      color.names.forEach((name, id) => chip("color", id, name, color.colors[id]));
  }

  // Mouse and keys

  at(field, event) {
    const box = field.box.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  world(field, [x, y]) {
    return [(x - field.width / 2) / field.scale + field.center[0], (field.height / 2 - y) / field.scale + field.center[1]];
  }

  down(field, event) {
    if (!this.points) return;
    this.root.focus({ preventScroll: true });
    event.preventDefault();
    field.box.setPointerCapture(event.pointerId);
    const isPan = event.button !== 0 || event.altKey || this.mode === "pan";
    this.drag = { field, kind: isPan ? "pan" : this.mode, path: [this.at(field, event)], center: [...field.center], isAdding: event.shiftKey };
  }

  move(field, event) {
    if (!this.points) return;
    const at = this.at(field, event);
    const drag = this.drag;
    if (!drag) {
      const [x, y] = this.world(field, at);
      const { xy, grid } = this.points.sides[field.side];
      const found = grid.near(xy, x, y, NEAR / field.scale, 1);
      const label = this.labelAt(field, at);
      field.box.style.cursor = label !== null || found.length ? "pointer" : this.mode === "pan" ? "grab" : "crosshair";
      this.hover(found.length ? this.row(found[0]) : null, field.side);
      return;
    }
    if (drag.field !== field) return;
    if (drag.kind === "pan") {
      const [fromX, fromY] = drag.path[0];
      if (Math.hypot(at[0] - fromX, at[1] - fromY) > 3) drag.hasMoved = true;
      field.center = [drag.center[0] - (at[0] - fromX) / field.scale, drag.center[1] + (at[1] - fromY) / field.scale];
      this.repaint(true);
    } else {
      const [lastX, lastY] = drag.path[drag.path.length - 1];
      if (Math.hypot(at[0] - lastX, at[1] - lastY) > 2) drag.path.push(at);
      this.hover(null, null);
      this.drawMarks(field);
    }
  }

  up(field, event) {
    const drag = this.drag;
    this.drag = null;
    if (!drag || drag.field !== field) return;
    const reach = Math.max(...drag.path.map(([x, y]) => Math.hypot(x - drag.path[0][0], y - drag.path[0][1])));
    if (reach < 5 && !drag.hasMoved) this.click(field, this.at(field, event), event);
    else if (drag.kind !== "pan") this.pick(this.enclosed(field, drag), drag.isAdding);
    else this.repaint();
    this.drawMarks(field);
  }

  cancel() {
    this.drag = null;
    this.repaint();
  }

  labelAt(field, [x, y]) {
    const found = (field.placed || []).find((item) => x >= item.left && x <= item.left + item.width && y >= item.top && y <= item.top + item.height);
    return found ? found.label : null;
  }

  click(field, at, event) {
    const label = this.labelAt(field, at);
    if (label !== null) return this.isolate("label", label);
    const [x, y] = this.world(field, at);
    const { xy, grid } = this.points.sides[field.side];
    const found = grid.near(xy, x, y, NEAR / field.scale, 1);
    if (!found.length) return;
    if (event.shiftKey && this.selected[found[0]]) {
      this.selected[found[0]] = 0;
      return this.picked();
    }
    this.pick(found, event.shiftKey);
  }

  // Points within a loop or box, to the pixel: the shape is filled on a hidden canvas and each point looks where it lies.
  enclosed(field, drag) {
    const width = Math.ceil(field.width), height = Math.ceil(field.height);
    const canvas = new OffscreenCanvas(width, height);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.beginPath();
    this.outline(drag).forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.fill("evenodd");
    const mask = pen.getImageData(0, 0, width, height).data;
    const { xy } = this.points.sides[field.side], found = [];
    const left = field.width / 2 - field.center[0] * field.scale, top = field.height / 2 + field.center[1] * field.scale;
    const only = this.isolated && this.isolated.by === "label" ? this.isolated.id : null;
    for (let i = 0; i < this.points.n; i++) {
      const x = Math.floor(left + xy[2 * i] * field.scale), y = Math.floor(top - xy[2 * i + 1] * field.scale);
      if (x < 0 || y < 0 || x >= width || y >= height || mask[4 * (y * width + x) + 3] < 128) continue;
      if (only === null || this.points.label[i] === only) found.push(i); // what is faded is not meant
    }
    return found;
  }

  pick(indices, isAdding) {
    if (!isAdding) this.selected.fill(0);
    for (const i of indices) this.selected[i] = 1;
    this.picked();
  }

  picked() {
    this.stamp = `${this.id}-${++messages}`;
    this.picks = true;
    const bits = new Uint8Array((this.points.n + 7) >> 3);
    for (let i = 0; i < this.points.n; i++) if (this.selected[i]) bits[i >> 3] |= 1 << (i & 7);
    let text = "";
    for (let start = 0; start < bits.length; start += 32768) text += String.fromCharCode(...bits.subarray(start, start + 32768));
    this.outbox.picked = btoa(text);
    this.outbox.stamp = this.stamp;
    this.outbox.points = this.header.points;
    this.selectionChanged();
    this.repaint();
    this.flush();
  }

  selectionChanged() {
    const rows = [];
    for (let i = 0; i < this.points.n; i++) if (this.selected[i]) rows.push(i);
    this.chosen = rows;
    this.n_selected = rows.length;
    if (this.focused === null || this.index(this.focused) < 0 || !this.selected[this.index(this.focused)])
      this.focused = rows.length ? this.row(rows[0]) : null;
    this.drawPanel();
  }

  hover(row, side) {
    if (row === this.hovered && (row === null || side === this.hoveredSide)) return;
    this.hovered = row;
    this.hoveredSide = side;
    this.hoveredAt = performance.now();
    this.showTip();
    for (const field of this.fields) if (field.width) this.drawMarks(field);
    clearTimeout(this.hoverTimer);
    if (row !== null) this.hoverTimer = setTimeout(() => this.flush(), 80); // the mouse passing by asks for nothing
  }

  wheel(field, event) {
    if (!this.points) return;
    event.preventDefault();
    const at = this.at(field, event), [x, y] = this.world(field, at);
    field.zoom = Math.min(200, Math.max(0.5, field.zoom * Math.exp(-event.deltaY * 0.0015)));
    this.measure(field);
    field.center = [x - (at[0] - field.width / 2) / field.scale, y + (at[1] - field.height / 2) / field.scale];
    this.repaint(true);
  }

  tool(name) {
    if (["lasso", "box", "pan"].includes(name)) this.mode = name;
    else if (name === "home") {
      for (const field of this.fields) this.home(field);
      this.repaint();
    } else if (name === "flip") this.flip();
    else if (name === "names") {
      this.isNameless = !this.isNameless;
      this.repaint();
    }
    for (const button of this.root.querySelectorAll(".tools button")) button.setAttribute("aria-pressed", String(button.dataset.tool === "names" ? !this.isNameless : button.dataset.tool === this.mode));
  }

  flip() {
    if (this.fields.length < 2) return;
    const next = { "": "a", a: "b", b: "" };
    const visible = this.fields.find((field) => field.box.clientHeight);
    if (!this.root.dataset.large) this.root.style.setProperty("--side", `${visible.box.clientHeight}px`); // nothing below moves
    this.root.dataset.large = next[this.root.dataset.large || ""];
    this.repaint();
  }

  key(event) {
    const active = this.root.getRootNode().activeElement;
    const isMine = this.root.contains(active) || (this.isOver && (document.activeElement === document.body || document.activeElement === null));
    if (!isMine || event.ctrlKey || event.metaKey || event.altKey || !this.points) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && this.n_selected) this.step(step);
    else if (event.key === "f" || event.key === "F") this.flip();
    else if (event.key === "Escape") this.escape();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  escape() {
    if (this.drag) return this.cancel();
    if (this.n_selected) return this.pick([], false);
    this.isolated = null;
    this.drawLegend();
    this.repaint();
  }

  step(by) {
    const place = this.chosen.indexOf(this.index(this.focused));
    const next = this.chosen[(place + by + this.chosen.length) % this.chosen.length];
    this.focus(this.row(next));
  }

  focus(row) {
    this.focused = row;
    this.drawPanel();
    for (const field of this.fields) if (field.width) this.drawMarks(field);
    this.flush();
  }

  // What stands beside the plots

  showTip() {
    const { tip } = this;
    if (this.hovered === null || !this.points) {
      tip.hidden = true;
      return;
    }
    const i = this.index(this.hovered), field = this.fields[this.hoveredSide], card = this.points.cards.get(this.hovered);
    const label = this.header.classes[this.points.label[i]];
    if (!this.tipImage) {
      this.tipImage = element("img");
      this.tipName = element("b");
      this.tipText = element("span", "about");
      this.tipId = element("span", "id");
      tip.append(this.tipImage, this.tipName, this.tipText, this.tipId);
    }
    this.picture(this.tipImage, card);
    this.tipName.textContent = label;
    this.tipText.textContent = this.about(card, i);
    this.tipId.textContent = card ? card.id : "";
    tip.dataset.row = this.hovered;
    tip.hidden = false;
    const box = field.box.getBoundingClientRect(), whole = this.root.getBoundingClientRect();
    const [x, y] = this.screen(field, i);
    const left = box.left - whole.left + x, top = box.top - whole.top + y;
    const width = tip.offsetWidth, height = tip.offsetHeight;
    tip.style.left = `${left + 16 + width > whole.width ? left - 16 - width : left + 16}px`;
    tip.style.top = `${Math.max(0, Math.min(top - height / 2, whole.height - height))}px`;
  }

  about(card, i) {
    const said = [];
    if (card) said.push(card.clusters);
    const { color } = this.header;
    if (!color.is_label && i >= 0 && this.hoveredSide !== null) {
      const value = this.colors[this.hoveredSide ?? 0][i];
      if (color.kind === "categories") said.push(`${color.title}: ${value < color.names.length ? color.names[value] : "none"}`);
    }
    return said.filter(Boolean).join(" · ");
  }

  picture(image, card) {
    const source = card && card.image ? card.image : "";
    if (image.getAttribute("src") !== source) {
      if (source) image.src = source;
      else image.removeAttribute("src");
    }
    image.alt = card ? card.id : "";
    image.classList.toggle("gone", Boolean(card && !card.image));
    image.title = card ? card.error || card.id : "";
  }

  buildPanel() {
    const panel = this.panel;
    this.head = element("div", "head");
    this.headText = element("b", "n-selected");
    this.headText.setAttribute("aria-live", "polite");
    this.clear = element("button", "clear", "Clear");
    this.clear.type = "button";
    this.clear.addEventListener("click", () => this.pick([], false));
    this.head.append(this.headText, this.clear);
    this.hint = element("p", "hint", "Lasso or click points in either space: their images, clusters and neighbours will be here.");
    this.focusBox = element("div", "focus");
    this.strips = [0, 1].map((side) => {
      const strip = element("div", "strip");
      strip.dataset.side = side;
      strip.title = "✓ or ✗: has its class or not; ∞: also among the nearest in the other space";
      strip.append(element("p"), element("div", "row"));
      return strip;
    });
    this.gridBox = element("div", "images");
    this.gridBox.addEventListener("scroll", () => this.flush());
    this.gridNote = element("p", "hint");
    panel.append(this.head, this.hint, this.focusBox, ...this.strips, this.gridBox, this.gridNote);
  }

  panelRows() {
    if (!this.panel || !this.n_selected) return [];
    const top = this.gridBox.scrollTop, bottom = top + this.gridBox.clientHeight;
    const visible = [...this.gridBox.children].filter((cell) => cell.offsetTop + cell.offsetHeight >= top && cell.offsetTop <= bottom + 80);
    const near = this.points.near.get(this.focused);
    return [...visible.map((cell) => Number(cell.dataset.row)), ...(near ? near.flat() : [])];
  }

  drawPanel() {
    if (!this.panel || !this.points) return;
    const n = this.n_selected;
    this.headText.textContent = n ? `${count(n)} selected` : "";
    this.root.dataset.selected = n;
    this.clear.hidden = !n;
    this.hint.hidden = n > 0;
    for (const part of [this.focusBox, ...this.strips, this.gridBox]) part.hidden = !n;
    if (!n) {
      this.gridNote.textContent = "";
      this.gridRows = "";
      this.gridBox.replaceChildren();
      return;
    }
    const row = this.focused, card = this.points.cards.get(row), i = this.index(row);
    if (!this.focusImage) {
      this.focusImage = element("img");
      this.focusText = element("div", "about");
      this.focusText.append(element("b"), element("span"), element("span", "id"));
      this.focusBox.append(this.focusImage, this.focusText);
    }
    this.focusBox.dataset.row = row;
    this.picture(this.focusImage, card);
    const [name, clusters, id] = this.focusText.children;
    name.textContent = card ? card.label : i >= 0 ? this.header.classes[this.points.label[i]] : "";
    clusters.textContent = card ? card.clusters : "";
    id.textContent = card ? card.id : "";
    const near = this.points.near.get(row);
    this.strips.forEach((strip, side) => {
      const [text, line] = strip.children;
      strip.hidden = side >= this.header.titles.length;
      if (strip.hidden) return;
      const rows = near ? near[side] : [];
      const others = near && near.length > 1 ? new Set(near[1 - side]) : new Set();
      const label = name.textContent;
      const cards = rows.map((item) => this.points.cards.get(item));
      const n_same = cards.filter((item) => item && item.label === label).length;
      const isKnown = near && cards.every(Boolean);
      text.textContent = isKnown ? `${this.header.titles[side]}: ${n_same} of ${rows.length} nearest have its class` : `${this.header.titles[side]}: nearest …`;
      const key = `${row}:${rows.join(",")}:${isKnown}`;
      if (line.dataset.key === key) return;
      line.dataset.key = key;
      line.replaceChildren(...Array.from({ length: near ? rows.length : 5 }, (_, k) => {
        const cell = element("button", "near");
        cell.type = "button";
        const mark = element("span", "mark");
        const image = element("img");
        const found = cards[k];
        this.picture(image, found);
        if (found) {
          const isSame = found.label === label;
          cell.dataset.row = rows[k];
          cell.classList.add(isSame ? "right" : "wrong");
          mark.textContent = (isSame ? "✓" : "✗") + (others.has(rows[k]) ? " ∞" : "");
          cell.title = `${found.label} · ${found.id}`;
          cell.addEventListener("click", () => this.focus(rows[k]));
        }
        cell.append(image, mark);
        return cell;
      }));
    });
    const place = Math.max(0, this.chosen.indexOf(i));
    const start = Math.floor(place / PANEL_MOST) * PANEL_MOST;
    const rows = this.chosen.slice(start, start + PANEL_MOST).map((item) => this.row(item));
    const key = rows.join(",");
    if (key !== this.gridRows) {
      this.gridRows = key;
      this.gridBox.replaceChildren(...rows.map((item) => {
        const cell = element("button", "cell");
        cell.type = "button";
        cell.dataset.row = item;
        cell.append(element("img"), element("span", "name", this.header.classes[this.points.label[this.index(item)]]), element("span", "clusters"));
        cell.addEventListener("click", () => this.focus(item));
        return cell;
      }));
    }
    for (const cell of this.gridBox.children) {
      const found = this.points.cards.get(Number(cell.dataset.row));
      this.picture(cell.firstChild, found);
      cell.lastChild.textContent = found ? found.marks : "";
      cell.title = found ? `${found.label} · ${found.clusters} · ${found.id}` : "";
      const isFocused = Number(cell.dataset.row) === row;
      if (isFocused && !cell.classList.contains("focused")) cell.scrollIntoView && this.reveal(cell);
      cell.classList.toggle("focused", isFocused);
    }
    this.gridNote.textContent = n > PANEL_MOST ? `Images ${count(start + 1)} to ${count(start + rows.length)} of ${count(n)}; arrow keys go on.` : "";
  }

  reveal(cell) { // within the panel alone: the page must not move
    const box = this.gridBox;
    if (cell.offsetTop < box.scrollTop) box.scrollTop = cell.offsetTop;
    else if (cell.offsetTop + cell.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = cell.offsetTop + cell.offsetHeight - box.clientHeight;
  }

  // Pictures to take along

  file(field, ending) {
    return `${this.header.file}-${this.header.titles[field.side]}`.replace(/[^A-Za-z0-9._-]+/g, "-") + `.${ending}`;
  }

  save(content, name) {
    const link = element("a");
    link.href = URL.createObjectURL(content);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // The points alone, at twice the size of the screen.
  picturePng(field) {
    const ratio = 2, width = Math.round(field.width * ratio), height = Math.round(field.height * ratio);
    const canvas = element("canvas");
    canvas.width = width;
    canvas.height = height;
    const pen = canvas.getContext("2d");
    const image = pen.createImageData(width, height);
    this.splat(new Uint32Array(image.data.buffer), width, height, ratio, field, false);
    pen.putImageData(image, 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return [canvas, pen];
  }

  savePng(field) {
    const [canvas, pen] = this.picturePng(field);
    pen.strokeStyle = css(mix(this.text, this.background, 0.4));
    for (const [x, y, toX, toY] of field.leaders) {
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(toX, toY);
      pen.stroke();
    }
    pen.textBaseline = "middle";
    for (const spot of field.placed) {
      const button = field.named.get(spot.label);
      pen.font = `600 ${button.style.fontSize} ${getComputedStyle(this.root).fontFamily}`;
      pen.fillStyle = css(this.background);
      pen.globalAlpha = 0.8;
      pen.fillRect(spot.left, spot.top, spot.width, spot.height);
      pen.globalAlpha = 1;
      pen.fillStyle = css(this.text);
      pen.fillText(button.textContent, spot.left + 4, spot.top + spot.height / 2);
    }
    canvas.toBlob((blob) => this.save(blob, this.file(field, "png")));
  }

  saveSvg(field) {
    const { width, height } = field, parts = [];
    const colors = this.colors[field.side], last = this.ink.core.length - 1;
    const hex = (ink) => `#${[0, 8, 16].map((shift) => ((ink >> shift) & 255).toString(16).padStart(2, "0")).join("")}`;
    if (this.points.n <= SVG_MOST) {
      const radius = this.radius(this.points.n, field.zoom);
      for (const faded of [true, false])
        for (const i of this.points.order) {
          if (this.isFaded(i, field.side) !== faded) continue;
          const [x, y] = this.screen(field, i);
          if (x < 0 || y < 0 || x > width || y > height) continue;
          const color = Math.min(colors[i], last);
          const shape = this.header.shapes && radius >= 2.5 ? this.points.label[i] & 3 : 0;
          parts.push(svgShape(shape, x, y, faded ? radius * 0.8 : radius, hex((faded ? this.ink.faded : this.ink.core)[color])));
        }
    } else {
      const [canvas] = this.picturePng(field);
      parts.push(`<image width="${width}" height="${height}" href="${canvas.toDataURL()}"/>`);
    }
    for (const [x, y, toX, toY] of field.leaders)
      parts.push(`<path d="M${x.toFixed(1)} ${y.toFixed(1)}L${toX.toFixed(1)} ${toY.toFixed(1)}" stroke="${css(mix(this.text, this.background, 0.4))}"/>`);
    for (const spot of field.placed) {
      const button = field.named.get(spot.label);
      parts.push(`<rect x="${spot.left}" y="${spot.top}" width="${spot.width}" height="${spot.height}" fill="${css(this.background)}" opacity="0.8"/>` +
        `<text x="${spot.left + 4}" y="${spot.top + spot.height - 5}" font-size="${button.style.fontSize}" font-weight="600" ` +
        `fill="${css(this.text)}">${escape(button.textContent)}</text>`);
    }
    this.save(new Blob([`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif">` +
      `<rect width="${width}" height="${height}" fill="${css(this.background)}"/>${parts.join("\n")}</svg>`], { type: "image/svg+xml" }), this.file(field, "svg"));
  }
}

function svgShape(shape, x, y, r, color) {
  const at = (dx, dy) => `${(x + dx * r).toFixed(1)},${(y + dy * r).toFixed(1)}`;
  if (shape === 0) return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${r.toFixed(1)}" fill="${color}"/>`;
  const corners = [[[-0.88, -0.88], [0.88, -0.88], [0.88, 0.88], [-0.88, 0.88]], [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
    [[0, -1.5], [1.3, 0.75], [-1.3, 0.75]]][shape - 1];
  return `<polygon points="${corners.map(([dx, dy]) => at(dx, dy)).join(" ")}" fill="${color}"/>`;
}
