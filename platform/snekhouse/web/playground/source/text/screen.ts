/**
 * Turn the output of a program into text with styles: colours, bold and the like, and lines that `\r` rewrites.
 *
 * Sources: ECMA-48, 5.4 (control sequences) and 8.3.117 (SGR); https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
 */

/** A text in one style. `style` has the names of CSS classes. */
export interface Segment {
  text: string;
  style: string;
}

/** How the shown text changes: characters are removed at its end, then segments are added. */
export interface Change {
  removed: number;
  added: Segment[];
}

/** Characters of a control sequence; a longer one is shown as text. A picture may be one. */
const MAX_SEQUENCE = 65_536;
/** Styled segments at once, and more for each line: still more would freeze a browser. */
const MAX_STYLED = 500;
const STYLED_PER_LINE = 10;
/** Characters and segments of the last line that `\r` can rewrite. */
const [MAX_REWRITTEN, MAX_SEGMENTS] = [4096, 256];
/** Segments of last lines that rewriting may copy for one piece of output; after that, nothing is rewritten. */
const MAX_COPIED = 6000;

const SEQUENCE =
  /\x1b(?:\[([0-?]*)([ -/]*[@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-OQ-WYZ\\`-~])/y;
const SPECIAL = /[\x1b\r]/g;

/** Invisible characters, and those that change the order of others: control characters and marks of direction. */
const INVISIBLE = /[\0-\x08\x0b-\x1f\x7f\x80-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Remove the sequences that select colours and the like. */
export function withoutStyles(text: string): string {
  return text.replace(/\x1b\[[\d;:]*m/g, "");
}

/** Make invisible characters, and those that reorder others, visible. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, inCarets);
}

/**
 * A control character as terminals echo it, e.g. `^[`; another as the replacement character.
 *
 * Few fonts have the pictures of U+2400 to U+2426, and a browser that searches all others for them becomes slow.
 */
function inCarets(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x80 ? `^${String.fromCharCode(code ^ 0x40)}` : "\ufffd";
}

/** The last line of the shown text, where the next text goes in it, and the style of the next text. */
export class Screen {
  #rest = "";
  #last: Segment[] = [];
  /** Where in the last line the next text goes; null for its end. */
  #column: number | null = null;
  #style = new Style();
  #styledLeft = MAX_STYLED;
  #copied = 0;

  /**
   * @param base A class of every segment.
   */
  constructor(readonly base = "") {}

  /** Add output, and return how the shown text changes. */
  push(output: string): Change {
    const change: Change = { removed: 0, added: [] };
    const text = this.#rest + output;
    this.#rest = "";
    this.#copied = 0;
    let start = 0; // of the text that is not written yet
    SPECIAL.lastIndex = 0;
    for (let found = SPECIAL.exec(text); found; found = SPECIAL.exec(text)) {
      const sequence = sequenceAt(text, found.index);
      if (!sequence) continue; // it only looks like one
      this.#write(text.slice(start, found.index), change);
      this.#apply(sequence, text.slice(found.index), change);
      start = sequence.end;
      SPECIAL.lastIndex = start;
    }
    this.#write(text.slice(start), change);
    return change;
  }

  /** Show what looked like the start of a sequence, because no more output comes. */
  end(): Change {
    const change: Change = { removed: 0, added: [] };
    this.#write(this.#rest, change);
    this.#rest = "";
    return change;
  }

  /** Let the next `\r` rewrite nothing, because other text follows the last line. */
  forgetLine(): void {
    this.#last = [];
    this.#column = null;
  }

  #apply(sequence: Sequence, text: string, change: Change): void {
    if (sequence.kind === "return") this.#column = 0;
    if (sequence.kind === "style") this.#style.apply(sequence.parameters);
    if (sequence.kind === "unfinished") this.#rest = text;
    if (sequence.kind === "erase") this.#erase(sequence.parameters, change);
  }

  /** Write text where the cursor is; a newline goes to the end of the line first, as in a terminal. */
  #write(output: string, change: Change): void {
    const text = visible(output);
    const column = this.#column;
    const line = text.split("\n", 1)[0] as string;
    if (column === null) this.#append(text, change);
    else if (!line || this.#rewrite(line, column, change)) this.#append(text.slice(line.length), change);
    else this.#append(`\n${text}`, change);
  }

  /** Write over the last line from a column on; return false if the line is too long for that. */
  #rewrite(line: string, column: number, change: Change): boolean {
    const before = this.#last;
    if (!this.#canRewrite()) return false;
    const length = lengthOf(before);
    this.#cut(length - column, change);
    this.#append(line, change);
    const end = column + line.length;
    for (const segment of from(before, end)) this.#add(segment, change);
    this.#column = end < length ? end : null;
    return true;
  }

  /** Erase the line: from the cursor on, up to it, or the whole of it (ECMA-48, 8.3.41). */
  #erase(how: string, change: Change): void {
    if (!["", "0", "2"].includes(how) || !this.#canRewrite()) return;
    const length = lengthOf(this.#last);
    const column = this.#column ?? length;
    this.#cut(how === "2" ? length : length - column, change);
    if (how === "2") this.#column = null;
  }

  /** Return whether the last line is short enough to rewrite, and not too much has been rewritten already. */
  #canRewrite(): boolean {
    if (this.#last.length > MAX_SEGMENTS || this.#copied > MAX_COPIED) return false;
    this.#copied += this.#last.length;
    return lengthOf(this.#last) <= MAX_REWRITTEN;
  }

  /** Remove characters at the end of the last line. */
  #cut(count: number, change: Change): void {
    const before = this.#last;
    this.#last = [...upTo(before, lengthOf(before) - count)];
    this.#styledLeft += styledIn(before) - styledIn(this.#last);
    let left = count;
    while (left > 0 && change.added.length > 0) {
      const last = change.added.pop() as Segment;
      const kept = Math.max(0, last.text.length - left);
      if (kept) change.added.push({ ...last, text: last.text.slice(0, kept) });
      left -= last.text.length - kept;
    }
    change.removed += left;
  }

  #append(text: string, change: Change): void {
    if (!text) return;
    const names = this.#styledLeft > 0 ? this.#style.names : "";
    if (names) this.#styledLeft -= 1;
    if (text.includes("\n")) {
      this.#styledLeft = Math.min(MAX_STYLED, this.#styledLeft + lines(text) * STYLED_PER_LINE);
      this.#column = null;
    }
    this.#add({ text, style: [this.base, names].filter(Boolean).join(" ") }, change);
  }

  #add(segment: Segment, change: Change): void {
    const last = change.added.at(-1);
    if (last && last.style === segment.style) last.text += segment.text;
    else change.added.push({ ...segment });
    const start = segment.text.lastIndexOf("\n") + 1;
    if (start) this.#last = [];
    const text = segment.text.slice(start);
    const before = this.#last.at(-1);
    if (before && before.style === segment.style) before.text += text;
    else if (text) this.#last.push({ ...segment, text });
  }
}

function lines(text: string): number {
  return text.split("\n").length - 1;
}

function styledIn(segments: Segment[]): number {
  return segments.filter((each) => each.style).length;
}

function lengthOf(segments: Segment[]): number {
  return segments.reduce((sum, each) => sum + each.text.length, 0);
}

/** The first characters of segments. */
function* upTo(segments: Segment[], count: number): Generator<Segment> {
  let left = count;
  for (const segment of segments) {
    if (left > 0) yield { ...segment, text: segment.text.slice(0, left) };
    left -= segment.text.length;
  }
}

/** The segments without their first characters. */
function* from(segments: Segment[], skipped: number): Generator<Segment> {
  let left = skipped;
  for (const segment of segments) {
    if (left < segment.text.length) yield { ...segment, text: segment.text.slice(left) };
    left = Math.max(0, left - segment.text.length);
  }
}

interface Sequence {
  kind: "return" | "style" | "erase" | "ignored" | "unfinished";
  /** Where the text after it begins. */
  end: number;
  parameters: string;
}

const KINDS: Record<string, Sequence["kind"]> = { m: "style", K: "erase" };

const UNFINISHED = /^\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)$/;

/** Read the sequence at a position of a text; null if there is none. */
function sequenceAt(text: string, at: number): Sequence | null {
  if (text[at] === "\r") return { kind: "return", end: at + 1, parameters: "" };
  SEQUENCE.lastIndex = at;
  const found = SEQUENCE.exec(text);
  if (found) {
    const kind = KINDS[found[2] ?? ""] ?? "ignored";
    return { kind, end: SEQUENCE.lastIndex, parameters: found[1] ?? "" };
  }
  if (text.length - at >= MAX_SEQUENCE || !UNFINISHED.test(text.slice(at))) return null;
  return { kind: "unfinished", end: text.length, parameters: "" }; // its end may still come
}

/** The current style, from "select graphic rendition" (SGR). */
class Style {
  #flags = new Set<string>();
  #foreground = "";
  #background = "";

  get names(): string {
    return [...this.#flags, this.#foreground, this.#background].filter(Boolean).join(" ");
  }

  apply(parameters: string): void {
    const codes = parameters.split(/[;:]/).map((each) => Number.parseInt(each || "0", 10));
    for (let at = 0; at < codes.length; at += 1) {
      const code = codes[at] as number;
      if (code === 38 || code === 48) {
        const { color, used } = extended(codes, at + 1);
        if (code === 38) this.#foreground = color && `f${color}`;
        else this.#background = color && `b${color}`;
        at += used;
      } else {
        this.#select(code);
      }
    }
  }

  #select(code: number): void {
    if (code === 0) this.#reset();
    else if (FLAGS[code]) this.#flags.add(FLAGS[code]);
    else if (code === 22) for (const name of ["bold", "dim"]) this.#flags.delete(name);
    else if (FLAGS[code - 20]) this.#flags.delete(FLAGS[code - 20] as string);
    else if (code >= 30 && code <= 37) this.#foreground = `f${code - 30}`;
    else if (code === 39) this.#foreground = "";
    else if (code >= 40 && code <= 47) this.#background = `b${code - 40}`;
    else if (code === 49) this.#background = "";
    else if (code >= 90 && code <= 97) this.#foreground = `f${code - 82}`;
    else if (code >= 100 && code <= 107) this.#background = `b${code - 92}`;
  }

  #reset(): void {
    this.#flags.clear();
    this.#foreground = "";
    this.#background = "";
  }
}

const FLAGS: Record<number, string> = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };

/** Read one of the 256 colours, or the nearest one to a 24-bit colour; `used` counts the parameters. */
function extended(codes: number[], at: number): { color: string; used: number } {
  if (codes[at] === 5) return { color: bounded(codes[at + 1], 255), used: 2 };
  if (codes[at] !== 2) return { color: "", used: 0 };
  const [red, green, blue] = [1, 2, 3].map((offset) => level(codes[at + offset] ?? 0)) as [number, number, number];
  return { color: String(16 + 36 * red + 6 * green + blue), used: 4 };
}

function bounded(code: number | undefined, most: number): string {
  return code !== undefined && code >= 0 && code <= most ? String(code) : "";
}

/** The nearest of the six levels of the colour cube. */
function level(value: number): number {
  return value < 48 ? 0 : value < 115 ? 1 : Math.min(5, Math.floor((value - 35) / 40));
}

/** The rules of the colours 16 to 255: a cube of 6 by 6 by 6, and 24 greys. */
export function paletteRules(): string {
  const rules = [];
  for (let code = 16; code < 256; code += 1) {
    const color = paletteColor(code);
    rules.push(`.f${code}{color:${color}}.b${code}{background:${color}}`);
  }
  return rules.join("");
}

function paletteColor(code: number): string {
  if (code >= 232) return `rgb(${[0, 0, 0].map(() => 8 + 10 * (code - 232)).join()})`;
  const cube = code - 16;
  const parts = [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6];
  return `rgb(${parts.map((part) => (part ? 55 + 40 * part : 0)).join()})`;
}
