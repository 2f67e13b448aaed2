/** What the browser keeps of the program, and the user's own programs that a link, an example or a file replaced. */

import { effect, signal } from "@preact/signals";
import { branches, hiddenCells, isEqual } from "./branches";
import { MOST, restore, type Saved, saved } from "./program";
import { type Kept, kept } from "./storage";

/** The program of this tab, which a reload shows again. */
const OF_TAB = kept(() => sessionStorage, "snekhouse-program");
/** The same, and that of the tab that changed its program last, which a new tab begins with. */
const KEPT = inBoth("snekhouse-program", OF_TAB);
/** The replaced programs, likewise. */
const REPLACED_OF_TAB = kept(() => sessionStorage, "snekhouse-replaced");
const KEPT_REPLACED = inBoth("snekhouse-replaced", REPLACED_OF_TAB);
/** Whether this tab removed a link from its address. */
const FORGOTTEN = kept(() => sessionStorage, "snekhouse-link-forgotten");
/** Milliseconds after a change until it is stored. */
const STORE_DELAY_MS = 300;
/** How many replaced programs are kept. */
const MAX_REPLACED = 20;
/** Characters of files, in base64, that are stored: to try more takes long, and no browser has the room. */
const MAX_FILES_LENGTH = 4_000_000;

/** The user's own programs that were replaced, the latest last. */
export const replaced = signal<Saved[]>([]);
/** What of the program the browser has no room for; empty if all of it is stored. */
export const unstored = signal("");
/** The program of a link, an example or a file; it is not stored until the user changes or keeps it. */
let opened: Saved | null = null;
/** The program that this tab has found or stored last. It is not stored again, because other tabs may have newer ones. */
let stored: Saved | null = null;
/** What the browser had no room for: of the program, and of the replaced ones. */
let [missing, missingOfReplaced] = ["", ""];

function inBoth(name: string, tab: Kept): Kept {
  const all = kept(() => localStorage, name);
  return {
    read: () => tab.read() || all.read(),
    write: (text) => {
      all.write(text); // it may have less room, because all tabs share it
      return tab.write(text);
    },
  };
}

/**
 * Show the program of a link. Only the link of a notebook replaces cells.
 *
 * @throws {RangeError} It has more than the page can show.
 */
export function open(found: Partial<Saved>): void {
  for (const name of ["files", "cases", "cells"] as const) {
    if ((found[name]?.length ?? 0) > MOST[name]) throw new RangeError(`it has more than ${MOST[name]} ${name}`);
  }
  FORGOTTEN.write("");
  const cells = found.mode === "notebook" ? found.cells : saved.peek().cells;
  replace(() => restore({ ...found, ...(cells && { cells }) }));
}

/** Show a program that the user did not write, and remember the user's own, with the branches that it replaces. */
export function replace(show: () => void): void {
  const [before, list, others] = [saved.peek(), branches.peek(), hidden()];
  const isOwn = !isOpened(before);
  if (isOwn) store(before); // its last change may not be stored yet
  show();
  opened = saved.peek();
  if (others.length && branches.peek() !== list) {
    replaced.value = [...replaced.value, ...others].slice(-MAX_REPLACED);
    storeReplaced(); // the program itself is stored as the user's own
  }
  if (isOwn) replaced.value = [...replaced.value, before].slice(-MAX_REPLACED);
}

/** The program with the cells of each branch that is not shown; without the files, which the program itself has. */
function hidden(): Saved[] {
  return hiddenCells().map((cells) => ({ ...saved.peek(), mode: "notebook", cells, files: [] }));
}

/** Whether a program is the one that was opened, unchanged. What did not change in a program is the same object. */
function isOpened(program: Saved): boolean {
  const fields = Object.keys(program) as (keyof Saved)[];
  return opened !== null && fields.every((name) => opened?.[name] === program[name]);
}

/** Remove the link from the address, because the program is another one now. */
export function forgetLink(): void {
  if (!location.hash) return;
  FORGOTTEN.write("yes");
  history.replaceState(null, "", location.pathname);
}

/** Remove the link again that a reload brought back: a browser reloads the old address if it just changed. */
function forgetReloadedLink(): void {
  const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  if (navigation?.type === "reload" && FORGOTTEN.read()) forgetLink();
  else FORGOTTEN.write("");
}

/** Show the program again that was replaced last; keep the one that is shown if the user changed it. */
export function goBack(): void {
  const [left, before] = [replaced.value.slice(0, -1), replaced.value.at(-1)];
  const [shown, list, others] = [saved.peek(), branches.peek(), hidden()];
  const isOwn = !isOpened(shown); // its last change may not be stored yet
  if (before) restore(before);
  opened = null;
  const lost = branches.peek() === list ? [] : others.filter(({ cells }) => !isEqual(cells, saved.peek().cells));
  replaced.value = [...lost, ...(isOwn ? [shown] : []), ...left].slice(-MAX_REPLACED);
  store(saved.peek());
  storeReplaced();
  store(saved.peek()); // again, if there was no room before
}

/** Make the program that is shown the user's own. */
export function keep(): void {
  forgetLink();
  opened = null;
  replaced.value = [];
  store(saved.peek());
  storeReplaced();
}

/** Restore the program of the last visit, and store each change. */
export function keepInBrowser(): void {
  forgetReloadedLink();
  try {
    const text = KEPT.read();
    restore(JSON.parse(text || "{}") as Partial<Saved>);
    OF_TAB.write(text); // a reload shows it again, whatever other tabs store until then
    const list = KEPT_REPLACED.read();
    const before = JSON.parse(list || "[]") as unknown;
    if (Array.isArray(before)) replaced.value = before as Saved[];
    REPLACED_OF_TAB.write(list);
    stored = saved.peek();
  } catch {
    KEPT.write("");
    KEPT_REPLACED.write("");
  }
  let timer = 0;
  effect(() => {
    const changed = saved.value;
    if (opened && !isOpened(changed)) forgetLink(); // at once: a reload would open it again
    clearTimeout(timer);
    timer = window.setTimeout(() => store(changed), STORE_DELAY_MS);
  });
  addEventListener("pagehide", () => store(saved.peek()));
}

/** Store a program, as much of it as there is room for. */
function store(changed: Saved): void {
  if (changed === stored || isOpened(changed)) return;
  const wasOpened = opened !== null;
  opened = null;
  missing = write(changed);
  stored = missing ? null : changed;
  if (wasOpened) storeReplaced(); // the stored program was the user's own until now
  unstored.value = missing || missingOfReplaced;
}

/** Write a program into the storages; return what there is no room for. */
function write(program: Saved): string {
  const less = { ...program, files: [] };
  const length = program.files.reduce((sum, file) => sum + file.content.length, 0);
  if (length <= MAX_FILES_LENGTH && KEPT.write(JSON.stringify(program))) return "";
  if (KEPT.write(JSON.stringify(less))) return length ? "files" : "";
  return KEPT.write(JSON.stringify({ ...less, cases: [] })) ? "files and cases" : "program";
}

function storeReplaced(): void {
  const programs = replaced.value;
  const isStored = KEPT_REPLACED.write(JSON.stringify(programs));
  if (!isStored) KEPT_REPLACED.write(JSON.stringify(programs.map((each) => ({ ...each, files: [] }))));
  missingOfReplaced = isStored ? "" : "files of your own program";
  unstored.value = missing || missingOfReplaced;
}
