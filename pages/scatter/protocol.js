// How page and canvas talk: a header as JSON with arrays behind it comes in, a selection goes out as bits in base64.

// Bytes as `pages/parts/scatter.py` packs them: length of the header, header, arrays one after the other.
export function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const kinds = { f4: Float32Array, u2: Uint16Array, u4: Uint32Array, u1: Uint8Array };
  header.arrays = {};
  for (const [name, kind, start, size] of header.parts)
    header.arrays[name] = new kinds[kind](bytes.slice(4 + length + start, 4 + length + start + size).buffer);
  return header;
}

export function packFlags(flags) {
  const bits = new Uint8Array((flags.length + 7) >> 3);
  for (let i = 0; i < flags.length; i++) if (flags[i]) bits[i >> 3] |= 1 << (i & 7);
  let text = "";
  for (let start = 0; start < bits.length; start += 32768) text += String.fromCharCode(...bits.subarray(start, start + 32768));
  return btoa(text);
}

// Sets every flag; without bits none is set.
export function unpackFlags(bits, flags) {
  flags.fill(0);
  if (bits) for (let i = 0; i < flags.length; i++) flags[i] = (bits[i >> 3] >> (i & 7)) & 1;
}
