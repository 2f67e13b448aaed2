import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Editor } from "../parts/Editor";
import { InputFiles, OutputFiles } from "../parts/Files";
import { focusOn, keepingFocus } from "../parts/focus";
import { Icon } from "../parts/Icon";
import { Failure, Notice } from "../parts/Notice";
import { Output } from "../parts/Output";
import { ProgramFile } from "../parts/ProgramFile";
import { RuntimeSelect, unavailability } from "../parts/RuntimeSelect";
import { Badge, Ending, Used } from "../parts/Status";
import { Value } from "../parts/Value";
import {
  addCell,
  branch,
  branches,
  bringCellBack,
  type Cell,
  closed,
  current,
  moveCell,
  removeCell,
  reopenBranch,
  type Shown,
} from "../state/branches";
import {
  closeBranch,
  failure,
  goBack,
  isIdle,
  makeBranch,
  restart,
  runCell,
  stopCell,
  stopLabel,
} from "../state/notebook";
import { runtimeName, stdin } from "../state/program";
import { counted } from "../text/format";
import { withoutStyles } from "../text/screen";

const FIRST_BUTTON = ".notebook-bar > button:enabled";

/** Cells that share a state. The state can go back by one cell, and branch. */
export function Notebook() {
  const here = branch.value;
  const refusal = here.session.value ? "" : unavailability(runtimeName.value);
  return (
    <section class="notebook" aria-label="Notebook">
      <Bar />
      {refusal && <Notice kind="warn">{refusal}</Notice>}
      {here.ended.value && (
        <Notice kind="warn">
          <strong>The session has ended.</strong> {here.ended.value} The next cell opens a new one, without variables.
        </Notice>
      )}
      {here.cells.value.map((cell, index) => (
        <CellView key={cell.id} cell={cell} number={index + 1} isLast={index === here.cells.value.length - 1} />
      ))}
      <button type="button" class="add-cell" onClick={() => focus(addCell())}>
        <Icon name="add" /> Add cell
      </button>
      {here.removed.value.length > 0 && (
        <button type="button" class="quiet bring-back" onClick={bringBack}>
          <Icon name="back" /> Bring back the removed cell
        </button>
      )}
    </section>
  );
}

function Bar() {
  const session = branch.value.session.value;
  return (
    <div class="notebook-bar">
      <RuntimeSelect
        value={session?.runtime ?? runtimeName.value}
        locked={session ? "Restart the session to choose another Python" : ""}
        onChange={(name) => {
          runtimeName.value = name;
        }}
      />
      <button
        type="button"
        disabled={!session?.checkpoints || !isIdle.value}
        title="Undo the last cell; files stay as they are"
        onClick={(event) => keepingFocus(event, goBack, FIRST_BUTTON)}
      >
        <Icon name="back" /> Undo
      </button>
      <button
        type="button"
        disabled={!session || !isIdle.value}
        title="Go on with a copy of the variables; files stay shared"
        onClick={(event) => keepingFocus(event, makeBranch, FIRST_BUTTON)}
      >
        <Icon name="branch" /> Branch
      </button>
      <button
        type="button"
        disabled={!session || !isIdle.value}
        title="End the session: variables and files that cells wrote are lost"
        onClick={(event) => keepingFocus(event, restart, FIRST_BUTTON)}
      >
        <Icon name="refresh" /> Restart
      </button>
      {session && <small class="faint">{counted(session.execution_count, "cell")} in the state</small>}
      <Branches />
      {closed.value.length > 0 && (
        <button
          type="button"
          class="quiet"
          disabled={!isIdle.value}
          onClick={(event) => keepingFocus(event, reopenBranch, FIRST_BUTTON)}
        >
          <Icon name="back" /> Reopen {closed.value.at(-1)?.name}
        </button>
      )}
      <InputFiles
        onError={(error) => {
          failure.value = error;
        }}
      />
      <ProgramFile
        onError={(error) => {
          failure.value = error;
        }}
      />
      <details class="options">
        <summary>Standard input{stdin.value ? " (set)" : ""}</summary>
        <textarea
          rows={2}
          spellcheck={false}
          aria-label="Standard input of each cell"
          value={stdin.value}
          onInput={(event) => {
            stdin.value = event.currentTarget.value;
          }}
        />
      </details>
      {failure.value && <Failure error={failure.value} />}
    </div>
  );
}

function Branches() {
  if (branches.value.length === 1) return null;
  return (
    <ul class="chips" aria-label="Branches">
      {branches.value.map((each, index) => (
        <li key={each.name} class="chip">
          <button
            type="button"
            class="quiet"
            aria-pressed={index === current.value}
            disabled={!isIdle.value}
            onClick={() => {
              current.value = index;
            }}
          >
            <Icon name="branch" /> {each.name}
          </button>
          <button
            type="button"
            class="quiet"
            aria-label={`Close ${each.name}`}
            disabled={!isIdle.value}
            onClick={() => {
              closeBranch(each);
              focusOn(FIRST_BUTTON);
            }}
          >
            <Icon name="close" />
          </button>
        </li>
      ))}
    </ul>
  );
}

/** The cell whose editor gets the focus when it is shown next; a new object each time. */
const focused = signal<{ cell: Cell } | null>(null);

function focus(cell: Cell): void {
  focused.value = { cell };
  setTimeout(() => {
    focused.value = null; // else the editor would take the focus again when the notebook is shown again
  }, 200);
}

function bringBack(): void {
  const cell = bringCellBack();
  if (cell) focus(cell);
}

/** The line of this cell's own code that failed; null if there is none, or if the code has changed since. */
function failedLine(cell: Cell): number | null {
  const shown = cell.shown.value;
  const line = shown?.answer?.error?.line ?? null;
  if (line === null || !shown?.answer || shown.code !== cell.text.value) return null;
  const places = Array.from(withoutStyles(shown.log.tail).matchAll(/File "<cell (\d+)>", line (\d+)/g)).at(-1);
  return places?.[1] === String(shown.answer.execution_count) && places[2] === String(line) ? line : null;
}

function CellView({ cell, number, isLast }: { cell: Cell; number: number; isLast: boolean }) {
  const place = useRef<HTMLElement>(null);
  const shown = cell.shown.value;
  const isRunning = shown !== null && shown.phase !== "ended";
  useEffect(() => {
    if (shown?.answer && place.current?.contains(document.activeElement)) {
      place.current.scrollIntoView({ block: "nearest" });
    }
  }, [shown?.answer]);
  const runAndGo = () => {
    runCell(cell);
    const { cells } = branch.value;
    const next = cells.value[cells.value.indexOf(cell) + 1];
    focus(next ?? addCell(cell));
  };
  return (
    <article
      ref={place}
      class={`cell ${shown?.isUndone ? "undone" : ""}`}
      aria-label={`Cell ${number}`}
      aria-busy={isRunning}
    >
      <div class="cell-side">
        <button
          type="button"
          class={isRunning ? "stop" : "run"}
          disabled={!isRunning && !branch.value.session.value && unavailability(runtimeName.value) !== ""}
          aria-label={
            isRunning ? `${shown?.phase === "running" ? stopLabel.value : "Stop"} cell ${number}` : `Run cell ${number}`
          }
          onClick={(event) => {
            if (event.detail > 1) return; // the second half of a double click
            if (isRunning) stopCell(cell);
            else runCell(cell);
          }}
        >
          <Icon name={isRunning ? "stop" : "play"} />
        </button>
        <span class="count" aria-hidden="true">
          {shown?.answer?.state === "kept" ? `[${shown.answer.execution_count}]` : ""}
        </span>
      </div>
      <div class="cell-main">
        <Editor
          label={`Code of cell ${number}`}
          text={cell.text}
          numbered={false}
          focus={focused.value?.cell === cell ? focused.value : null}
          failedLine={failedLine(cell)}
          onRun={() => runCell(cell)}
          onRunAndGo={runAndGo}
        />
        {shown && <Result shown={shown} />}
      </div>
      <div class="cell-tools">
        <button
          type="button"
          class="quiet"
          aria-label={`Move cell ${number} up`}
          disabled={number === 1}
          onClick={(event) =>
            keepingFocus(event, () => moveCell(cell, -1), `[aria-label="Move cell ${number - 1} down"]`)
          }
        >
          <Icon name="up" />
        </button>
        <button
          type="button"
          class="quiet"
          aria-label={`Move cell ${number} down`}
          disabled={isLast}
          onClick={(event) => keepingFocus(event, () => moveCell(cell, 1), `[aria-label="Move cell ${number + 1} up"]`)}
        >
          <Icon name="down" />
        </button>
        <button
          type="button"
          class="quiet"
          aria-label={`Remove cell ${number}`}
          disabled={isRunning}
          onClick={() => {
            removeCell(cell);
            focusOn(".add-cell");
          }}
        >
          <Icon name="trash" />
        </button>
      </div>
    </article>
  );
}

function Result({ shown }: { shown: Shown }) {
  const { answer, error, log, phase } = shown;
  return (
    <div class="result">
      {phase === "waiting" && <Badge name="waiting" />}
      {(phase === "running" || log.length > 0) && <Output log={log} label="Output of the cell" />}
      {answer && <Value result={answer.result} figures={answer.figures} />}
      {answer && <OutputFiles found={answer.files} />}
      {error && <Failure error={error} />}
      {answer && <State shown={shown} />}
    </div>
  );
}

/** What became of the state, if it is not simply kept; and what the cell took. */
function State({ shown }: { shown: Shown }) {
  const answer = shown.answer;
  if (!answer) return null;
  return (
    <footer>
      {answer.status !== "ok" && <Ending answer={answer} />}
      {answer.message && <small>{answer.message}</small>}
      {answer.error?.name === "EOFError" && <small>Write the input into “Standard input” above.</small>}
      {answer.state === "rolled_back" && (
        <Notice kind="warn">
          <strong>State rolled back.</strong> Variables are as they were after {counted(answer.execution_count, "cell")}
          . Files are as this cell left them.
        </Notice>
      )}
      {answer.state === "lost" && (
        <Notice kind="bad">
          <strong>State lost.</strong> The session has ended with this cell.
        </Notice>
      )}
      {shown.isUndone && answer.state === "kept" && <span class="badge plain">undone</span>}
      <Used usage={answer.usage} />
    </footer>
  );
}
