import { EditorView } from "@codemirror/view";
import type { Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { markLine, pythonState, relabel } from "./editing";

interface Props {
  label: string;
  text: Signal<string>;
  /** Called for Ctrl-Enter, or Cmd-Enter on a Mac. */
  onRun(): void;
  /** Called for Shift-Enter; without it, Shift-Enter begins a line. */
  onRunAndGo?: () => void;
  failedLine?: number | null;
  /** Each new object gives the editor the focus. */
  focus?: object | null;
  numbered?: boolean;
}

/** An editor for Python, whose text is a signal. */
export function Editor({ label, text, onRun, onRunAndGo, failedLine = null, focus = null, numbered = true }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const editor = useRef<EditorView | null>(null);
  const handlers = useRef({ onRun, onRunAndGo });
  handlers.current = { onRun, onRunAndGo };

  useEffect(() => {
    const run = () => {
      handlers.current.onRun();
      return true;
    };
    const runAndGo = () => {
      handlers.current.onRunAndGo?.();
      return handlers.current.onRunAndGo !== undefined;
    };
    const keys = [
      { key: "Mod-Enter", run },
      { key: "Ctrl-Enter", run }, // on a Mac, Mod is Cmd
      { key: "Shift-Enter", run: runAndGo },
    ];
    const onChange = (changed: string) => {
      text.value = changed;
    };
    const view = new EditorView({
      state: pythonState(text.peek(), { label, keys, onChange, numbered }),
      parent: place.current as HTMLDivElement,
    });
    editor.current = view;
    const stop = text.subscribe((wanted) => {
      const { doc } = view.state;
      if (wanted !== doc.toString()) view.dispatch({ changes: { from: 0, to: doc.length, insert: wanted } });
    });
    return () => {
      stop();
      view.destroy();
    };
  }, [text, numbered]); // the label may change while the editor stays

  useEffect(() => {
    editor.current?.dispatch({ effects: markLine.of(failedLine) });
  }, [failedLine]);

  useEffect(() => {
    if (focus) editor.current?.focus();
  }, [focus]);

  useEffect(() => {
    if (editor.current) relabel(editor.current, label);
  }, [label]);

  return <div class="editor" ref={place} />;
}
