// What is selected, hovered, looked at and shown alone, and who has to hear of it: the page, the plots, what stands beside them.

import { inks, rgb } from "./colors.js";
import { Field } from "./field.js";
import { Film } from "./film.js";
import { keep } from "./keeping.js";
import { Legend } from "./legend.js";
import { drawMarks } from "./marks.js";
import { Mouse } from "./mouse.js";
import { Outbox } from "./outbox.js";
import { FLUID } from "./painting.js";
import { Panel } from "./panel.js";
import { Player } from "./player.js";
import { Points, centers } from "./points.js";
import { packFlags, unpackFlags } from "./protocol.js";
import { fileName, pictureOf, pngOf, save, svgOf } from "./saving.js";
import { Scene } from "./scene.js";
import { boxesOf, starUnder, starsOf } from "./stars.js";
import { Tip, about } from "./tip.js";

const kept = new Map(); // fingerprint -> points or colours; outlives the element, so that they travel once
const KEPT_MOST = 12;
const CARDS_MOST = 4000;
const ASKED_MOST = 24; // images in one message
const REST = 75; // milliseconds the mouse rests on a point before its image is asked for: passing by asks for nothing

export class View {
  constructor(root) {
    this.root = root;
    this.id = Math.random().toString(36).slice(2);
    this.outbox = new Outbox(this.id);
    this.points = null;
    this.selected = new Uint8Array(0);
    this.chosen = []; // the selected points, in order
    this.stamp = null;
    this.hovered = null;
    this.hoveredStar = null;
    this.focused = null;
    this.isolated = null;
    this.stars = []; // of each plot
    this.whole = null; // the part of the spaces that a plot shows before anyone moves it
    this.mode = "lasso";
    this.mouse = new Mouse(this);
    this.fields = [...root.querySelectorAll(".plot")].map((plot, side) => this.field(plot, side));
    this.tip = new Tip(root.querySelector(".tip"));
    this.legend = new Legend(root.querySelector(".legend"), (by, id) => this.isolate(by, id));
    const panel = root.querySelector(".panel");
    this.panel = panel && new Panel(panel,
      { clear: () => this.pick([], false), focus: (row) => this.focus(row), ask: () => this.flush() });
    const player = root.querySelector(".player");
    this.film = player && new Film();
    this.player = player && new Player(player, this.film, () => this.epochChanged());
    for (const tool of root.querySelectorAll(".tools button")) tool.addEventListener("click", () => this.tool(tool.dataset.tool));
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    root.addEventListener("pointerenter", () => (this.isOver = true));
    root.addEventListener("pointerleave", () => {
      this.isOver = false;
      this.hover(null, null);
    });
    this.resized = new ResizeObserver(() => this.repaint());
    for (const field of this.fields) this.resized.observe(field.box);
    this.clock = setInterval(() => this.flush(), 1000);
  }

  field(plot, side) {
    const field = new Field(plot, side, (label) => this.isolate("label", label));
    plot.querySelector(".png").addEventListener("click", () => this.savePng(field));
    plot.querySelector(".svg").addEventListener("click", () => this.saveSvg(field));
    this.mouse.watch(field);
    return field;
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
    this.resized.disconnect();
    clearInterval(this.clock);
    clearTimeout(this.rest);
    if (this.player) this.player.stop();
  }

  // What the page says

  update(header) {
    const { arrays, color } = header;
    this.header = header;
    this.root.style.height = header.height ? `${header.height}px` : "";
    this.readTheme();
    this.outbox.answered(header.seq);
    if (arrays.label) keep(kept, KEPT_MOST, header.points, new Points(arrays, header.n, header.titles.length));
    if (arrays.color0)
      keep(kept, KEPT_MOST, color.fingerprint, header.titles.map((_, side) => arrays[`color${side}`] || arrays.color0));
    const missing = [header.points, color.fingerprint].filter((fingerprint) => !kept.has(fingerprint));
    if (missing.length) {
      this.outbox.waiting.missing = missing;
      this.flush();
      return;
    }
    this.colors = kept.get(color.fingerprint);
    this.takePoints(kept.get(header.points));
    this.stars = starsOf(header);
    if (this.hoveredStar !== null && !(header.stars && this.hoveredStar < header.stars.names.length)) this.hoveredStar = null;
    if (this.film) this.takeFrames(header);
    this.widen();
    for (const [row, card] of Object.entries(header.cards)) this.points.cards.set(Number(row), card);
    for (const [row, near] of Object.entries(header.near)) this.points.near.set(Number(row), near);
    while (this.points.cards.size > CARDS_MOST) this.points.cards.delete(this.points.cards.keys().next().value);
    if (header.isolated !== this.toldIsolated) {
      this.toldIsolated = header.isolated;
      this.isolated = header.isolated === null ? null : { by: "label", id: header.isolated };
    }
    this.takeSelection(header.selection.stamp, arrays.selected);
    if (this.film) this.root.style.setProperty("--columns", header.columns);
    for (const { plot, side, title } of this.fields) {
      plot.hidden = side >= header.titles.length;
      title.textContent = header.titles[side] ?? "";
    }
    this.root.querySelector(".note").textContent = header.note;
    this.drawLegend();
    this.repaint();
    this.drawPanel();
    this.showTip();
    this.flush();
  }

  takePoints(points) {
    if (points === this.points) return;
    this.points = points;
    this.centers = centers(points, this.header.classes.length);
    this.selected = new Uint8Array(points.n);
    this.chosen = [];
    this.stamp = null;
    this.picks = false; // what was picked among other points is known from the page alone
    this.hovered = this.focused = null;
    this.outbox.asked.clear();
    this.whole = null;
  }

  takeFrames({ reels, arrays }) {
    const places = Object.entries(arrays).filter(([name]) => name.startsWith("frame-")).map(([name, xy]) => [name.slice(6), xy]);
    this.film.tell(reels, places);
    this.showFrames();
  }

  // Puts each run's points where they lie in the frame that is shown; while that is on its way, they stay where they are.
  showFrames() {
    const { film, points } = this;
    let hasMoved = false;
    for (const { side, canvas, words } of this.fields) {
      const frame = film.frame(side), xy = frame && film.places.get(frame.name);
      if (xy && !(points.sides[side] && points.sides[side].xy === xy)) {
        points.place(side, xy);
        hasMoved = true;
      }
      if (xy) words.textContent = `epoch ${frame.epoch} of ${frame.total}${frame.words}`;
      else if (!points.sides[side]) words.textContent = "its space will be here in a moment";
      canvas.hidden = !points.sides[side];
    }
    if (hasMoved) this.centers = centers(points, this.header.classes.length);
    this.player.draw();
  }

  // Another epoch is to be shown.
  epochChanged() {
    if (!this.points) return;
    this.showFrames();
    this.widen();
    this.repaint();
    this.showTip();
    this.flush();
  }

  // Shows all points and stars where a plot showed all that there was before.
  widen() {
    const whole = this.points.whole(this.stars.flat());
    for (const field of this.fields) field.camera.widen(this.whole, whole);
    this.whole = whole;
  }

  takeSelection(stamp, bits) {
    const isOwn = this.picks && String(stamp).startsWith(this.id) && stamp !== this.stamp;
    if (stamp === this.stamp || isOwn || this.outbox.waiting.picked) return;
    this.stamp = stamp;
    unpackFlags(bits, this.selected);
    this.selectionChanged();
  }

  readTheme() {
    const style = getComputedStyle(this.root);
    const read = (name, other) => rgb(style.getPropertyValue(name).trim() || other);
    this.theme = { background: read("--st-background-color", "#ffffff"), text: read("--st-text-color", "#31333f") };
    const key = JSON.stringify([this.theme.background, this.header.color.colors]);
    if (key === this.inkKey) return;
    this.inkKey = key;
    this.ink = inks(this.header.color.colors, this.theme);
  }

  // What the page is asked

  flush() {
    if (!this.send || !this.header) return;
    const now = performance.now();
    const message = this.outbox.take(now, (next) => this.askFor(next, now));
    if (message) this.send(message);
  }

  askFor(message, now) {
    const { outbox, focused } = this;
    const wanted = this.wanted(now);
    if (wanted.length) message.ask = wanted;
    const frames = this.film && this.points ? this.film.wanted().filter((name) => outbox.isDue(`frame-${name}`, now)) : [];
    if (frames.length) message.frames = frames;
    for (const name of frames) outbox.note(`frame-${name}`, now);
    if (focused !== null && this.panel && this.points && !this.points.near.has(focused) && outbox.isDue(`near${focused}`, now)) {
      message.near = focused;
      outbox.note(`near${focused}`, now);
    }
  }

  wanted(now) {
    if (!this.points) return [];
    const rows = [];
    if (this.hovered !== null && now - this.hoveredAt >= REST) rows.push(this.hovered, ...this.aroundHovered());
    if (this.focused !== null) rows.push(this.focused);
    if (this.panel && this.chosen.length) rows.push(...this.panel.rows(), ...(this.points.near.get(this.focused) || []).flat());
    const isMissing = (row) => !this.points.cards.has(row) && this.outbox.isDue(row, now);
    const missing = [...new Set(rows)].filter(isMissing).slice(0, ASKED_MOST);
    for (const row of missing) this.outbox.note(row, now);
    return missing;
  }

  aroundHovered() {
    const { points } = this, side = this.hoveredSide;
    const { xy, grid } = points.sides[side];
    const i = points.index(this.hovered);
    if (i < 0 || points.n > FLUID) return [];
    return grid.near(xy, xy[2 * i], xy[2 * i + 1], 25 / this.fields[side].camera.scale, 6).map((k) => points.row(k));
  }

  // The plots

  scene(side) {
    const { points, ink, theme, header, selected, isolated } = this;
    return new Scene({ points, side, colors: this.colors[side], ink, theme, hasShapes: header.shapes, selected,
      n_selected: this.chosen.length, isolated });
  }

  home(fields) {
    if (this.points) for (const field of fields) field.camera.home(this.whole.middle);
    this.repaint();
  }

  repaint(isMoving = false) {
    if (!this.points) return;
    clearTimeout(this.rest);
    const isPart = isMoving && this.points.n > FLUID;
    this.isPartDue = isPart;
    if (!this.frame) this.frame = requestAnimationFrame(() => {
      this.frame = null;
      const { fontFamily } = getComputedStyle(this.root);
      this.fontFamily = fontFamily;
      for (const field of this.fields) if (field.box.clientWidth && this.shows(field)) {
        field.measure(this.whole.half);
        field.paint(this.scene(field.side), this.isPartDue ? FLUID : this.points.n);
        const named = this.isNameless ? [] : this.centers[field.side];
        field.labels.draw(named, this.header, this.isolated, field.camera, field.context, fontFamily,
          boxesOf(this.stars[field.side], field.camera));
        this.mark(field);
      }
    });
    if (isPart) this.rest = setTimeout(() => this.repaint(), 150);
  }

  // Whether a plot has points: not before all of them have come, nor before a run's first frame.
  shows({ side }) {
    return Boolean(this.points && this.points.sides[side]);
  }

  starUnder(field, at) {
    return starUnder(this.stars[field.side], field.camera, at);
  }

  // Draws what lies over a plot's points.
  mark(field) {
    const { xy } = this.points.sides[field.side], { camera } = field, rings = [], spokes = [];
    const placeOf = (i) => camera.toScreen(xy[2 * i], xy[2 * i + 1]);
    for (const [row, size, thick] of [[this.focused, 10, 2.5], [this.hovered, 8, 2]]) {
      const i = row === null ? -1 : this.points.index(row);
      if (i >= 0) rings.push([...placeOf(i), size, thick]);
    }
    const stars = this.stars[field.side].map(({ x: right, y: up, mark, near }, k) => {
      const [x, y] = camera.toScreen(right, up), isHovered = k === this.hoveredStar;
      const around = isHovered ? near.map((row) => this.points.index(row)).filter((i) => i >= 0).map(placeOf) : [];
      rings.push(...around.map((place) => [...place, 7, 1.5]));
      spokes.push(...around.map((place) => [x, y, ...place]));
      return { x, y, mark, isHovered };
    });
    drawMarks(field.marks, camera, this.theme,
      { leaders: field.labels.leaders, spokes, rings, stars, corners: this.mouse.corners(field) }, this.fontFamily);
  }

  markAll() {
    for (const field of this.fields) if (field.camera.width && this.shows(field)) this.mark(field);
  }

  isolate(by, id) {
    const isSame = this.isolated && this.isolated.by === by && this.isolated.id === id;
    this.isolated = isSame ? null : { by, id };
    this.drawLegend();
    this.repaint();
  }

  // What is selected, hovered, looked at

  pick(indices, isAdding) {
    if (!isAdding) this.selected.fill(0);
    for (const i of indices) this.selected[i] = 1;
    this.picked();
  }

  unpick(i) {
    this.selected[i] = 0;
    this.picked();
  }

  picked() {
    this.stamp = this.outbox.stamp();
    this.picks = true;
    Object.assign(this.outbox.waiting, { picked: packFlags(this.selected), stamp: this.stamp, points: this.header.points });
    this.selectionChanged();
    this.repaint();
    this.flush();
  }

  selectionChanged() {
    const { points } = this;
    this.chosen = [];
    for (let i = 0; i < points.n; i++) if (this.selected[i]) this.chosen.push(i);
    const isIn = this.focused !== null && points.index(this.focused) >= 0 && this.selected[points.index(this.focused)];
    if (!isIn) this.focused = this.chosen.length ? points.row(this.chosen[0]) : null;
    this.drawPanel();
  }

  // star: number of the star under the mouse, which is no sample's.
  hover(row, side, star = null) {
    const isNothing = row === null && star === null;
    if (row === this.hovered && star === this.hoveredStar && (isNothing || side === this.hoveredSide)) return;
    this.hovered = row;
    this.hoveredStar = star;
    this.hoveredSide = side;
    this.hoveredAt = performance.now();
    this.showTip();
    this.markAll();
    clearTimeout(this.hoverTimer);
    if (row !== null) this.hoverTimer = setTimeout(() => this.flush(), REST + 5); // just after it has rested long enough
  }

  focus(row) {
    this.focused = row;
    this.drawPanel();
    this.markAll();
    this.flush();
  }

  step(by) {
    const rank = this.chosen.indexOf(this.points.index(this.focused));
    this.focus(this.points.row(this.chosen[(rank + by + this.chosen.length) % this.chosen.length]));
  }

  // Buttons and keys

  tool(name) {
    if (["lasso", "box", "pan"].includes(name)) this.mode = name;
    else if (name === "home") this.home(this.fields);
    else if (name === "flip") this.flip();
    else if (name === "names") {
      this.isNameless = !this.isNameless;
      this.repaint();
    }
    for (const tool of this.root.querySelectorAll(".tools button")) {
      const isPressed = tool.dataset.tool === "names" ? !this.isNameless : tool.dataset.tool === this.mode;
      tool.setAttribute("aria-pressed", String(isPressed));
    }
  }

  flip() {
    if (!this.panel) return; // of two spaces alone
    const next = { "": "a", a: "b", b: "" };
    const visible = this.fields.find((field) => field.box.clientHeight);
    if (!this.root.dataset.large) this.root.style.setProperty("--side", `${visible.box.clientHeight}px`); // nothing below moves
    this.root.dataset.large = next[this.root.dataset.large || ""];
    this.repaint();
  }

  key(event) {
    const active = this.root.getRootNode().activeElement;
    const isFree = document.activeElement === document.body || document.activeElement === null;
    const isMine = this.root.contains(active) || (this.isOver && isFree);
    if (!isMine || event.ctrlKey || event.metaKey || event.altKey || !this.points) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && this.film) this.stepFilm(step);
    else if (step && this.chosen.length) this.step(step);
    else if (event.key === "f" || event.key === "F") this.flip();
    else if (event.key === "Escape") this.escape();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  stepFilm(by) {
    this.film.step(by);
    this.epochChanged();
  }

  escape() {
    if (this.mouse.drag) return this.mouse.cancel();
    if (this.chosen.length) return this.pick([], false);
    this.isolated = null;
    this.drawLegend();
    this.repaint();
  }

  // What stands beside the plots

  drawLegend() {
    this.legend.draw(this.header, this.isolated);
  }

  drawPanel() {
    if (this.panel && this.points) this.panel.draw(this.points, this.header, this.chosen, this.focused);
  }

  showTip() {
    const { points, header } = this, side = this.hoveredSide, field = this.fields[side];
    if (points && this.hoveredStar !== null) {
      const { name, mark, x, y } = this.stars[side][this.hoveredStar];
      return this.tip.say(`★ ${mark} · ${name}`, header.stars.words, field, field.camera.toScreen(x, y), this.root);
    }
    if (this.hovered === null || !points || !this.shows(field)) return this.tip.hide();
    const i = points.index(this.hovered), card = points.cards.get(this.hovered), { xy } = points.sides[side];
    this.tip.show(this.hovered, card, header.classes[points.label[i]], about(card, header.color, this.colors[side][i]), field,
      field.camera.toScreen(xy[2 * i], xy[2 * i + 1]), this.root);
  }

  // Pictures to take along

  savePng(field) {
    const { fontFamily } = getComputedStyle(this.root);
    pngOf(this.scene(field.side), field.camera, field.labels, fontFamily).toBlob((blob) => this.save(field, blob, "png"));
  }

  saveSvg(field) {
    const scene = this.scene(field.side);
    const picture = () => pictureOf(scene, field.camera)[0].toDataURL();
    const text = svgOf(scene, field.camera, field.labels, picture);
    this.save(field, new Blob([text], { type: "image/svg+xml" }), "svg");
  }

  save(field, content, ending) {
    save(content, fileName(this.header.file, this.header.titles[field.side], ending));
  }
}
