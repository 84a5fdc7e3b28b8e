// What the page is asked and told: one message on its way at a time; what gathers meanwhile goes with the next.

const LOST_AFTER = 5000; // milliseconds without an answer: lost with an interrupted rerun
const AGAIN_AFTER = 3000; // milliseconds until the same is asked for again

export class Outbox {
  constructor(id) {
    this.id = id;
    this.waiting = {};
    this.flying = null;
    this.n_stamps = 0;
    this.asked = new Map();
  }

  // A name that no other selection or message has.
  stamp() {
    return `${this.id}-${++this.n_stamps}`;
  }

  answered(seq) {
    if (this.flying && seq === this.flying.seq) this.flying = null;
  }

  // The message to send now, or null; `ask(message)` adds what is wanted by the time it leaves.
  take(now, ask) {
    if (this.flying && now - this.flying.at < LOST_AFTER) return null;
    if (this.flying) {
      this.waiting = { ...this.flying.message, ...this.waiting };
      this.flying = null;
    }
    const message = { ...this.waiting };
    if (!("picked" in message)) ask(message); // what is selected is said first, its images come after
    if (!Object.keys(message).length) return null;
    this.waiting = {};
    const seq = this.stamp();
    this.flying = { seq, at: now, message };
    return { seq, ...message };
  }

  isDue(key, now) {
    return now - (this.asked.get(key) ?? -Infinity) >= AGAIN_AFTER;
  }

  note(key, now) {
    this.asked.set(key, now);
  }
}
