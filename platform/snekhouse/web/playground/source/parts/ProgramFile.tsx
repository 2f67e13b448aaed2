import { useRef } from "preact/hooks";
import { announce } from "../state/announce";
import { branches } from "../state/branches";
import { replace } from "../state/keeping";
import { isIdle } from "../state/notebook";
import { cells, code, MOST, mode } from "../state/program";
import { textOf } from "../text/base64";
import { bytes } from "../text/format";
import { withNewlines } from "../text/newlines";
import { cellsOf, cellsOfJupyter, joined } from "../text/notebook";
import { Icon } from "./Icon";
import { save } from "./saving";

/** Bytes of a program that can be opened; the editor is slow with more. */
const MAX_SIZE = 1024 * 1024;
/** Bytes of a notebook of Jupyter, which also holds outputs. */
const MAX_JUPYTER_SIZE = 40 * 1024 * 1024;

/** Buttons to open a program from a file, and to save it as one; a notebook as well. */
export function ProgramFile({ onError }: { onError(error: Error | null): void }) {
  const input = useRef<HTMLInputElement>(null);
  const isNotebook = mode.value === "notebook";
  const opened = async (file: File | undefined) => {
    if (!file) return;
    try {
      await open(file, isNotebook);
      onError(null);
    } catch (error) {
      onError(new Error(`${file.name} cannot be opened: ${(error as Error).message}.`));
    }
  };
  return (
    <>
      <button
        type="button"
        class="quiet"
        title={isNotebook ? "Open a file as a new notebook; ends the session" : "Open a program from a file"}
        disabled={isNotebook && !isIdle.value}
        onClick={() => input.current?.click()}
      >
        <Icon name="folder" /> Open
      </button>
      <button type="button" class="quiet" title="Save the program as a file" onClick={saveProgram}>
        <Icon name="download" /> Save
      </button>
      <input
        ref={input}
        type="file"
        accept={isNotebook ? ".py,.ipynb" : ".py"}
        aria-label="Open a program from a file"
        hidden
        onChange={(event) => {
          opened(event.currentTarget.files?.[0]);
          event.currentTarget.value = "";
        }}
      />
    </>
  );
}

async function open(file: File, isNotebook: boolean): Promise<void> {
  const isJupyter = file.name.toLowerCase().endsWith(".ipynb");
  if (isJupyter && !isNotebook) throw new TypeError("only the notebook opens notebooks of Jupyter");
  const most = isJupyter ? MAX_JUPYTER_SIZE : MAX_SIZE;
  if (file.size > most) throw new RangeError(`it has more than ${bytes(most)}`);
  const content = textOf(await file.arrayBuffer());
  if (content === null) throw new TypeError("it is not a text in UTF-8");
  const text = withNewlines(content);
  if (isNotebook) openCells(isJupyter ? cellsOfJupyter(text) : cellsOf(text));
  else {
    replace(() => {
      code.value = text;
    });
  }
  announce(`${file.name} opened.`);
}

function openCells(found: string[]): void {
  if (found.length > MOST.cells) throw new RangeError(`it has more than ${MOST.cells} cells`);
  if (!isIdle.value) throw new Error("a cell runs");
  if (branches.value.length > 1) throw new Error("it would replace all branches; close all but one first");
  replace(() => {
    cells.value = found;
  });
}

function saveProgram(): void {
  const isNotebook = mode.value === "notebook";
  save(isNotebook ? "notebook.py" : "program.py", isNotebook ? joined(cells.value) : code.value);
}
