import { EditorView } from "@codemirror/view";
import { useEffect, useRef } from "preact/hooks";
import { type Change, paletteRules, Screen, type Segment } from "../text/screen";
import { outputState, replaceEnd } from "./editing";

/** The output of a program, and the view that shows it. It keeps the output even without a view. */
export class OutputLog {
  readonly #screens = new Map<string, Screen>();
  #shown: Segment[] = [];
  #waiting: Change[] = [];
  #frame = 0;
  #view: EditorView | null = null;
  /** The newline at the end, which is shown only when more output follows. */
  #held: Segment[] = [];
  /** Characters so far. */
  length = 0;

  /** Add output of a stream: `stdout`, `stderr` or `stdin` (what the user typed). */
  add(stream: string, text: string): void {
    const screen = this.#screens.get(stream) ?? new Screen(stream === "stdout" ? "" : stream);
    this.#screens.set(stream, screen);
    for (const other of this.#screens.values()) if (other !== screen) other.forgetLine();
    this.length += text.length;
    this.#waiting.push(screen.push(text));
    this.#frame ||= requestAnimationFrame(() => this.#show());
  }

  /** Show the rest: no more output comes. */
  end(): void {
    for (const screen of this.#screens.values()) this.#waiting.push(screen.end());
    this.#frame ||= requestAnimationFrame(() => this.#show());
  }

  clear(): void {
    this.#screens.clear();
    this.#shown = [];
    this.#waiting = [];
    this.#held = [];
    this.length = 0;
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
    this.#show();
    return this.#shown.map((segment) => segment.text).join("");
  }

  /** Show what has come since the last frame, in one change. */
  #show(): void {
    this.#frame = 0;
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
