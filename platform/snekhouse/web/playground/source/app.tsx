/**
 * The page at `/`: write a program, run it, compare every version, keep state, judge.
 *
 * Preact renders it: what is shown follows from signals, and text of programs is always text and never HTML.
 */

import { effect } from "@preact/signals";
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { isKeyWanted, isOffline } from "./api/client";
import { startWorker } from "./api/worker";
import type { Example } from "./examples";
import type { Actions } from "./modes/actions";
import { ComparePanel, actions as compareActions } from "./modes/Compare";
import { addCases, JudgePanel, actions as judgeActions } from "./modes/Judge";
import { Notebook } from "./modes/Notebook";
import { RunPanel, actions as runActions, stopLabel } from "./modes/Run";
import { Brand } from "./parts/Brand";
import { Editor } from "./parts/Editor";
import { Examples } from "./parts/Examples";
import { addFiles, InputFiles } from "./parts/Files";
import { focusOn } from "./parts/focus";
import { Icon } from "./parts/Icon";
import { Key } from "./parts/Key";
import { Failure, Notice } from "./parts/Notice";
import { Options } from "./parts/Options";
import { addPalette } from "./parts/Output";
import { ProgramFile } from "./parts/ProgramFile";
import { RuntimeSelect, unavailability } from "./parts/RuntimeSelect";
import { Share } from "./parts/Share";
import { Tabs, TITLES } from "./parts/Tabs";
import { ThemeButton } from "./parts/ThemeButton";
import { announced } from "./state/announce";
import { keepCells } from "./state/branches";
import { goBack, keep, keepInBrowser, replace, replaced, unstored } from "./state/keeping";
import { endWithPage, forget, refreshWithServer } from "./state/notebook";
import { code, mode, restore, runtimeName, saved } from "./state/program";
import { loadRuntimes, watchServer } from "./state/server";
import { openLink } from "./state/share";
import { applyTheme } from "./state/theme";
import { droppedFiles } from "./text/cases";

const ACTIONS: Record<"run" | "compare" | "judge", Actions> = {
  run: runActions,
  compare: compareActions,
  judge: judgeActions,
};

function App({ linkError }: { linkError: Error | null }) {
  const [error, setError] = useState(linkError);
  const [isChoosing, setChoosing] = useState(false);
  const [isSharing, setSharing] = useState(false);
  useEffect(() => takeDrops(setError), []);
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) setError(null); // it does not belong to the other mode
    isFirst.current = false;
  }, [mode.value]);
  useEffect(() => runWithKeys(), []);
  useEffect(() => {
    // A link that was pasted into the address of this page.
    const open = () => openLink().then((isOpen) => isOpen && setError(null), setError);
    addEventListener("hashchange", open);
    return () => removeEventListener("hashchange", open);
  }, []);
  return (
    <div class="page">
      <header class="bar">
        <Brand home="." />
        <Tabs />
        <button type="button" class="quiet" onClick={() => setChoosing(true)}>
          Examples
        </button>
        <button type="button" class="quiet" onClick={() => setSharing(true)}>
          <Icon name="share" /> <span>Share</span>
        </button>
        <ThemeButton />
        <a class="quiet button wide" href="docs" target="_blank" rel="noopener">
          API
        </a>
      </header>
      {isOffline.value && (
        <Notice kind="bad">The server does not answer. This page asks again every two seconds.</Notice>
      )}
      {isKeyWanted.value && <Key />}
      {replaced.value.length > 0 && <Replaced />}
      {unstored.value && (
        <Notice kind="warn">
          The browser has no room to keep the {unstored.value}; what is not kept is lost when you leave the page.
        </Notice>
      )}
      {error && (
        <div class="dismissed">
          <Failure error={error} />
          <button
            type="button"
            class="quiet"
            aria-label="Close the message"
            onClick={() => {
              setError(null);
              focusOn(".cm-content");
            }}
          >
            <Icon name="close" />
          </button>
        </div>
      )}
      <main>
        <h1 class="hidden">snekhouse: {TITLES[mode.value]}</h1>
        <div id="content" role="tabpanel" aria-labelledby={`tab-${mode.value}`}>
          {mode.value === "notebook" ? <Notebook /> : <Workbench kind={mode.value} onError={setError} />}
        </div>
        <p id="how-to-leave" class="hidden">
          Press Escape, then Tab, to leave the editor.
        </p>
        <p class="hidden" aria-live="polite">
          {announced.value}
        </p>
      </main>
      {isChoosing && <Examples onClose={() => setChoosing(false)} onOpen={open} />}
      {isSharing && <Share onClose={() => setSharing(false)} />}
    </div>
  );
}

/** Take files that are dropped anywhere on the page: as cases of the judge, otherwise as files of the program. */
function takeDrops(onError: (error: Error) => void): () => void {
  const allow = (event: DragEvent) => event.preventDefault();
  const take = (event: DragEvent) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    const { files } = event.dataTransfer;
    const adding = mode.value === "judge" ? droppedFiles(event.dataTransfer).then(addCases) : addFiles(files);
    adding.catch(onError);
  };
  document.addEventListener("dragover", allow);
  document.addEventListener("drop", take, { capture: true }); // before the editor, which would insert their text
  return () => {
    document.removeEventListener("dragover", allow);
    document.removeEventListener("drop", take, { capture: true });
  };
}

/** Run the program by Ctrl-Enter, or Cmd-Enter on a Mac, even if the editor does not have the focus. */
function runWithKeys(): () => void {
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.defaultPrevented) return;
    if (mode.value === "notebook" || document.querySelector("dialog")) return;
    ACTIONS[mode.value].run();
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

/** Says that the program is not the user's own, and offers that one. */
function Replaced() {
  const others = replaced.value.length;
  return (
    <Notice>
      Your own program was replaced.{" "}
      <button
        type="button"
        onClick={() => {
          goBack();
          focusOn(".cm-content");
        }}
      >
        Back to your program
      </button>{" "}
      <button
        type="button"
        class="quiet"
        onClick={() => {
          keep();
          focusOn(".cm-content");
        }}
      >
        Keep this one, forget {others === 1 ? "yours" : `the other ${others}`}
      </button>
    </Notice>
  );
}

/** The editor with its buttons, and beside it the panel of the mode. */
function Workbench({ kind, onError }: { kind: "run" | "compare" | "judge"; onError(error: Error): void }) {
  const actions = ACTIONS[kind];
  const isRunning = actions.isRunning.value;
  const refusal = kind === "compare" ? "" : unavailability(runtimeName.value);
  return (
    <div class="workbench">
      <section class="panel source" aria-label="Program">
        <header class="panel-head">
          {kind !== "compare" && (
            <RuntimeSelect
              value={runtimeName.value}
              onChange={(name) => {
                runtimeName.value = name;
              }}
            />
          )}
          <span class="spacer" />
          {isRunning ? (
            <button
              type="button"
              class="stop"
              onClick={(event) => event.detail < 2 && actions.stop()} // not the second half of a double click on Run
            >
              <Icon name="stop" /> {kind === "run" ? stopLabel.value : "Stop"}
            </button>
          ) : (
            <button
              type="button"
              class="run"
              disabled={refusal !== "" || !actions.canRun.value}
              title="Ctrl-Enter"
              onClick={(event) => event.detail < 2 && actions.run()} // not the second half of a double click on Stop
            >
              <Icon name="play" /> {actions.label.value}
            </button>
          )}
        </header>
        {refusal && <Notice kind="warn">{refusal}</Notice>}
        <Editor label="Program" text={code} onRun={actions.run} failedLine={actions.failedLine.value} />
        <div class="files">
          <InputFiles onError={onError} />
          <ProgramFile onError={onError} />
        </div>
        <Options withInput={kind !== "judge"} />
      </section>
      {kind === "run" && <RunPanel />}
      {kind === "compare" && <ComparePanel />}
      {kind === "judge" && <JudgePanel />}
    </div>
  );
}

/** Show an example: open it for every version, and run it. */
function open(example: Example): void {
  const { code } = example;
  replace(() => restore({ ...saved.peek(), mode: "compare", code, args: "", stdin: "", limits: {}, chosen: [] }));
  compareActions.run();
}

async function main(): Promise<void> {
  applyTheme();
  addPalette();
  keepInBrowser();
  keepCells(forget); // before the link, which may replace branches
  let linkError: Error | null = null;
  await openLink().catch((error: Error) => {
    linkError = error;
  });
  for (const kind of ["keydown", "pointerdown"]) addEventListener(kind, startWorker, { once: true }); // not while it loads
  loadRuntimes();
  watchServer();
  endWithPage();
  refreshWithServer();
  effect(() => {
    document.body.dataset.mode = mode.value;
  });
  const place = document.getElementById("page") as HTMLElement;
  place.replaceChildren();
  render(<App linkError={linkError} />, place);
}

main();
