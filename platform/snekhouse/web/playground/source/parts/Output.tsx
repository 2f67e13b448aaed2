import { EditorView } from "@codemirror/view";
import { useEffect, useRef } from "preact/hooks";
import { pieces } from "../text/pieces";
import { type Change, paletteRules, Screen, type Segment } from "../text/screen";
import { outputState, replaceEnd } from "./editing";

/** Milliseconds of a frame in which output gets its styles: the page stays responsive however much comes. */
const FRAME_MS = 8;
/** Characters of output that get their styles between two looks at the clock. */
const STEP = 8192;

/** Characters of a tail: the places that a traceback names. */
const TAIL = 8192;

/** A piece of output of a stream; null when no more output comes. */
type Piece = { stream: string; text: string } | null;

/** The output of a program, and the view that shows it. It keeps the output even without a view. */
export class OutputLog {
  readonly #screens = new Map<string, Screen>();
  #shown: Segment[] = [];
  #unstyled: Piece[] = [];
  #waiting: Change[] = [];
  #frame = 0;
  #view: EditorView | null = null;
  /** The newline at the end, which is shown only when more output follows. */
  #held: Segment[] = [];
  /** Characters so far. */
  length = 0;
  /** The last characters as they came, with sequences of a terminal. */
  tail = "";

  /** Add output of a stream: `stdout`, `stderr` or `stdin` (what the user typed). */
  add(stream: string, text: string): void {
    this.length += text.length;
    this.tail = (this.tail + text).slice(-TAIL);
    for (const piece of pieces(text, STEP)) this.#unstyled.push({ stream, text: piece });
    this.#awaitFrame();
  }

  /** Show the rest: no more output comes. */
  end(): void {
    this.#unstyled.push(null);
    this.#awaitFrame();
  }

  #awaitFrame(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#style(performance.now() + FRAME_MS);
      this.#show();
      if (this.#unstyled.length) this.#awaitFrame();
    });
  }

  /** Give output its styles, at most until a time. */
  #style(end: number): void {
    let done = 0;
    for (; done < this.#unstyled.length && performance.now() < end; done += 1) {
      const piece = this.#unstyled[done] as Piece;
      if (piece) this.#push(piece.stream, piece.text);
      else for (const screen of this.#screens.values()) this.#waiting.push(screen.end());
    }
    this.#unstyled.splice(0, done);
  }

  #push(stream: string, text: string): void {
    const screen = this.#screens.get(stream) ?? new Screen(stream === "stdout" ? "" : stream);
    this.#screens.set(stream, screen);
    for (const other of this.#screens.values()) if (other !== screen) other.forgetLine();
    this.#waiting.push(screen.push(text));
  }

  clear(): void {
    this.#screens.clear();
    this.#unstyled = [];
    this.#shown = [];
    this.#waiting = [];
    this.#held = [];
    this.length = 0;
    this.tail = "";
    const view = this.#view;
    view?.dispatch({ changes: { from: 0, to: view.state.doc.length } });
  }

  /** Show the output in a view from now on; null to show it nowhere. */
  showIn(view: EditorView | null): void {
    this.#view = view;
    if (view) replaceEnd(view, view.state.doc.length, this.#shown);
  }

  /** The whole text. */
  get text(): string {
    this.#style(Number.POSITIVE_INFINITY);
    this.#show();
    return this.#shown.map((segment) => segment.text).join("");
  }

  /** Show what got its styles since the last time, in one change. */
  #show(): void {
    let removed = 0;
    const added = this.#held;
    for (const change of this.#waiting) {
      removed += cut(added, change.removed);
      added.push(...change.added);
    }
    this.#waiting = [];
    this.#held = heldBack(added);
    cut(this.#shown, removed);
    for (const segment of added) this.#shown.push(segment);
    if (this.#view && (removed || added.length)) {
      const { scrollDOM } = this.#view;
      const isAtEnd = scrollDOM.scrollHeight - scrollDOM.scrollTop - scrollDOM.clientHeight < 40;
      replaceEnd(this.#view, removed, added);
      if (isAtEnd) scrollToEnd(this.#view);
    }
  }
}

/** Remove a newline at the end of segments, and return it. */
function heldBack(segments: Segment[]): Segment[] {
  const last = segments.at(-1);
  if (!last?.text.endsWith("\n")) return [];
  cut(segments, 1);
  return [{ text: "\n", style: last.style }];
}

/** Remove characters at the end of segments; return how many were missing. */
function cut(segments: Segment[], count: number): number {
  let left = count;
  while (left > 0 && segments.length) {
    const last = segments.pop() as Segment;
    if (last.text.length > left) segments.push({ ...last, text: last.text.slice(0, -left) });
    left -= Math.min(left, last.text.length);
  }
  return left;
}

function scrollToEnd(view: EditorView): void {
  view.requestMeasure({
    read: () => undefined,
    write: () => {
      view.scrollDOM.scrollTop = view.scrollDOM.scrollHeight;
    },
  });
}

/** Show an `OutputLog`. Long output costs no more than short: only what can be seen is in the page. */
export function Output({ log, label }: { log: OutputLog; label: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const view = new EditorView({ state: outputState(label), parent: place.current as HTMLDivElement });
    log.showIn(view);
    return () => {
      log.showIn(null);
      view.destroy();
    };
  }, [log, label]);
  return <div class="output" ref={place} />;
}

/** Add the colours of a terminal to the page; there are too many of them for its style sheet. */
export function addPalette(): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(paletteRules());
  document.adoptedStyleSheets.push(sheet);
}
