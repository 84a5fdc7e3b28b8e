// Colours: read, mixed and written, as three numbers from 0 to 255 or as the word that a pixel is.

export function rgb(color) {
  const digits = color.match(/^#(..)(..)(..)/);
  if (digits) return digits.slice(1).map((part) => parseInt(part, 16));
  return (color.match(/[\d.]+/g) || [128, 128, 128]).slice(0, 3).map(Number);
}

export const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * share));
export const word = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
export const css = ([r, g, b]) => `rgb(${r},${g},${b})`;
export const hex = (pixel) => `#${[0, 8, 16].map((shift) => ((pixel >> shift) & 255).toString(16).padStart(2, "0")).join("")}`;
export const lineColor = ({ text, background }) => css(mix(text, background, 0.4)); // of the lines from names to their classes

// Pixels a category: its core, its rim and its faded form; the last is of points without a value.
export function inks(names, { text, background }) {
  const none = mix(text, background, 0.55);
  const colors = [...names.map(rgb), none];
  const away = (color) => mix(color, text, 0.35); // towards the text: a rim that any background leaves visible
  return { core: Uint32Array.from(colors, (color) => word(color)), rim: Uint32Array.from(colors, (color) => word(away(color))),
    faded: Uint32Array.from(colors, (color) => word(mix(mix(color, none, 0.6), background, 0.72))) };
}
