/** Bytes and texts in base64. */

const STEP = 0x8000;

/** Encode bytes. */
export function encode(content: Uint8Array): string {
  const pieces = [];
  for (let at = 0; at < content.length; at += STEP)
    pieces.push(String.fromCharCode(...content.subarray(at, at + STEP)));
  return btoa(pieces.join(""));
}

/** Decode bytes. */
export function decode(text: string): Uint8Array<ArrayBuffer> {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text); // of 2025; much faster
  const characters = atob(text);
  const content = new Uint8Array(characters.length);
  for (let at = 0; at < characters.length; at += 1) content[at] = characters.charCodeAt(at);
  return content;
}

/** Decode a text in UTF-8; null if the bytes are not such a text. */
export function textOf(content: BufferSource): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return null;
  }
}
