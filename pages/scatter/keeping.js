// Keeps the last few values by name.

// Puts a value last; whatever is then more than `most` goes, the first first.
export function keep(store, most, key, value) {
  store.delete(key);
  store.set(key, value);
  while (store.size > most) store.delete(store.keys().next().value);
}
