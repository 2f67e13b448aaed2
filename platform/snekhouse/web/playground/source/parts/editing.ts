/** The editors of the pages: CodeMirror, for Python and for output. */

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, type Extension, RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import type { Segment } from "../text/screen";

const NONCE = document.querySelector<HTMLMetaElement>("meta[name=csp-nonce]")?.content ?? "";

const THEME = EditorView.theme({
  "&": { height: "100%", backgroundColor: "transparent", color: "var(--text)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", fontSize: "var(--code-size)", lineHeight: "1.6" },
  ".cm-content": { padding: "12px 0", caretColor: "var(--accent)" },
  ".cm-line": { padding: "0 14px" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--faint)", border: "none", paddingLeft: "6px" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--active-line)" },
  ".cm-activeLineGutter": { color: "var(--muted)" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-matchingBracket": { backgroundColor: "var(--selection)", outline: "1px solid var(--line-strong)" },
  ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--text)", borderColor: "var(--line)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", border: "1px solid var(--line)", borderRadius: "8px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-specialChar": { color: "var(--danger)" },
  ".cm-failed-line": { backgroundColor: "var(--danger-soft)", boxShadow: "inset 3px 0 var(--danger)" },
});

const BASE: Extension = [EditorView.cspNonce.of(NONCE), THEME, drawSelection()];

/** What an editor of Python needs. */
export interface Wishes {
  label: string;
  onChange(text: string): void;
  /** Extra keys, before those of the editor. */
  keys: { key: string; run: () => boolean }[];
  numbered: boolean;
}

/** Make the state of an editor for Python. */
export function pythonState(text: string, wishes: Wishes): EditorState {
  const extensions: Extension = [
    keymap.of(wishes.keys),
    BASE,
    highlightSpecialChars(),
    wishes.numbered ? [lineNumbers(), highlightActiveLine(), highlightActiveLineGutter()] : [],
    history(),
    python(),
    indentUnit.of("    "),
    indentOnInput(),
    bracketMatching(),
    closeBrackets(),
    autocompletion({ activateOnTyping: false }), // Ctrl-Space: a list that opens by itself would take Enter
    highlightSelectionMatches(),
    search({ top: true }),
    syntaxHighlighting(classHighlighter),
    failedLine,
    keymap.of([
      ...closeBracketsKeymap,
      ...defaultKeymap,
      ...searchKeymap,
      ...historyKeymap,
      ...completionKeymap,
      indentWithTab,
    ]),
    LABEL.of(labelled(wishes.label)),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) wishes.onChange(update.state.doc.toString());
    }),
  ];
  return EditorState.create({ doc: text, extensions });
}

const LABEL = new Compartment();

function labelled(label: string): Extension {
  return EditorView.contentAttributes.of({ tabindex: "0", "aria-label": label, "aria-describedby": "how-to-leave" });
}

/** Give an editor for Python another label. */
export function relabel(view: EditorView, label: string): void {
  view.dispatch({ effects: LABEL.reconfigure(labelled(label)) });
}

/** Mark the line where the program failed; null removes the mark, and so does a change of the program. */
export const markLine = StateEffect.define<number | null>();

const failedLine = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    const current = transaction.docChanged ? Decoration.none : marks;
    return transaction.effects.reduce((found, effect) => {
      if (!effect.is(markLine)) return found;
      const { doc } = transaction.state;
      if (effect.value === null || effect.value < 1 || effect.value > doc.lines) return Decoration.none;
      return Decoration.set(Decoration.line({ class: "cm-failed-line" }).range(doc.line(effect.value).from));
    }, current);
  },
  provide: (field) => EditorView.decorations.from(field),
});

const addStyles = StateEffect.define<DecorationSet>();

const styles = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(found, transaction) {
    let marks = found.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(addStyles)) marks = joined(marks, effect.value, transaction.state.doc.length);
    }
    return marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

function joined(marks: DecorationSet, added: DecorationSet, length: number): DecorationSet {
  const ranges: ReturnType<Decoration["range"]>[] = [];
  added.between(0, length, (from, to, value) => {
    ranges.push(value.range(from, to));
  });
  return marks.update({ add: ranges });
}

const WRAPPED: Extension = EditorView.lineWrapping;

/** Make the state of a view of output: read only, but with selection, search and a place for the keyboard. */
export function outputState(label: string): EditorState {
  return EditorState.create({
    extensions: [
      BASE,
      WRAPPED,
      styles,
      EditorState.readOnly.of(true),
      EditorView.editable.of(false),
      EditorView.contentAttributes.of({ tabindex: "0", "aria-label": label }),
      search({ top: true }),
      keymap.of([...searchKeymap, ...defaultKeymap]),
    ],
  });
}

/** Change the end of a view's text: remove characters, then add segments. */
export function replaceEnd(view: EditorView, removed: number, segments: Segment[]): void {
  const { length } = view.state.doc;
  const from = length - removed;
  const marks = new RangeSetBuilder<Decoration>();
  let at = from;
  for (const { text, style } of segments) {
    if (style) marks.add(at, at + text.length, Decoration.mark({ class: style }));
    at += text.length;
  }
  const insert = segments.map((segment) => segment.text).join("");
  view.dispatch({ changes: { from, to: length, insert }, effects: addStyles.of(marks.finish()) });
}
