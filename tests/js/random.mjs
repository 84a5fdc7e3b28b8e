// Random numbers that are the same on every run.

export function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 4294967296;
  };
}

// Places of n points, x and y in turn, from -span to span.
export function cloud(n, seed, span = 1) {
  const next = random(seed);
  return Float32Array.from({ length: 2 * n }, () => (2 * next() - 1) * span);
}
