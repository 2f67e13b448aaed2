/** The notebook: runs cells in the sessions of its branches. */

import { computed, effect, signal, untracked } from "@preact/signals";
import { ApiError, authorization, events, isOffline, json, send, throwIfRefused } from "../api/client";
import type { CellAnswer, File64, Session } from "../api/types";
import { urlOf } from "../api/urls";
import { OutputLog } from "../parts/Output";
import { ending } from "../parts/Status";
import { counted } from "../text/format";
import { announce } from "./announce";
import { addBranch, allCells, type Branch, branch, branches, type Cell, removeBranch, type Shown } from "./branches";
import { files, runtimeName, stdin } from "./program";
import { runtimeOf } from "./server";

/** A cell that runs or waits, and where. */
interface Turn {
  cell: Cell;
  here: Branch;
}

/** The error of a request that belongs to no cell. */
export const failure = signal<Error | null>(null);
const turn = signal<Turn | null>(null);
const isChanging = signal(false);
/** Whether nothing runs, so that the state can go back or branch. */
export const isIdle = computed(() => turn.value === null && !isChanging.value);
const isInterrupted = signal(false);
export const stopLabel = computed(() => (isInterrupted.value ? "Kill" : "Stop"));

/** Characters of a value that screen readers say. */
const MAX_SAID = 400;
/** Milliseconds for the server to end a cell whose client is gone. */
const SETTLE_MS = 1000;
/** Milliseconds for an answer about a session; undoing and branching may wait for a place in the queue. */
const [ASK_MS, CHANGE_MS] = [5000, 30_000];

let waiting: Turn[] = [];
let aborting = new AbortController();
let hasStarted = false;

/** Run a cell in the session of the current branch, which is opened if there is none; or after those that run now. */
export async function runCell(cell: Cell): Promise<void> {
  if (cell.shown.value && cell.shown.value.phase !== "ended") return;
  const code = cell.text.value;
  const log = new OutputLog();
  cell.shown.value = { log, answer: null, error: null, phase: "waiting", isUndone: false, code };
  waiting.push({ cell, here: branch.value });
  await runWaiting();
}

/** Run the cells that wait, unless something runs already. */
async function runWaiting(): Promise<void> {
  if (!isIdle.value) return;
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    turn.value = next;
    await take(next);
    // Later cells may need what this one did not do.
    if (next.cell.shown.value?.answer?.status !== "ok") clearWaiting(next.here);
  }
  turn.value = null;
}

/** Let the cells of a branch that wait not run. */
function clearWaiting(here: Branch): void {
  for (const each of waiting) if (each.here === here) each.cell.shown.value = null;
  waiting = waiting.filter((each) => each.here !== here);
}

async function take({ cell, here }: Turn): Promise<void> {
  const show = (changed: Partial<Shown>) => {
    cell.shown.value = { ...(cell.shown.value as Shown), ...changed };
  };
  const { log, code } = cell.shown.value as Shown;
  isInterrupted.value = false;
  hasStarted = false;
  failure.value = null;
  aborting = new AbortController();
  show({ phase: "running" });
  try {
    const session = here.session.value ?? (await open(here));
    const added = files.value.filter((file) => !here.sent.has(file));
    const sent = added.map(({ path, content }) => ({ path, content }));
    const body = { input: code, stdin: stdin.value, separate_stderr: true, files: sent };
    const path = `${pathOf(session)}/eval`;
    for await (const event of events(path, { body, signal: aborting.signal })) {
      throwIfRefused(event);
      if (event.event === "start") begin(session);
      if (event.event === "stdout" || event.event === "stderr") log.add(event.event, event.text as string);
      if (event.event === "end") await conclude(here, event as unknown as CellAnswer, added, show);
    }
  } catch (error) {
    await fail(here, error as Error, show);
  } finally {
    log.end();
    show({ phase: "ended" });
  }
}

/** The cell runs now: send an interrupt that was requested earlier. */
function begin(session: Session): void {
  hasStarted = true;
  if (isInterrupted.value) interrupt(session);
}

async function conclude(
  here: Branch,
  answer: CellAnswer,
  added: File64[],
  show: (changed: Partial<Shown>) => void,
): Promise<void> {
  here.changes += 1;
  show({ answer });
  if (answer.status !== "file_error" && answer.returncode !== null) for (const file of added) here.sent.add(file);
  announce(`The cell ${ending(answer)}. ${(answer.result?.text ?? "").slice(0, MAX_SAID)}`);
  if (answer.state === "lost") lose(here, "Its state is lost.");
  else await refresh(here);
}

async function fail(here: Branch, error: Error, show: (changed: Partial<Shown>) => void): Promise<void> {
  if (error.name === "AbortError") {
    show({ error: new Error("Killed."), isUndone: true });
    setTimeout(() => refresh(here), SETTLE_MS);
  } else {
    show({ error });
  }
  if (isGone(error) && here.session.value) lose(here, error.message);
  else await refresh(here);
}

function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 410 || error.status === 404);
}

async function open(here: Branch): Promise<Session> {
  const runtime = runtimeOf(runtimeName.value)?.name ?? runtimeName.value;
  const session = await json<Session>("sessions", { body: { runtime }, signal: aborting.signal });
  if (!branches.value.includes(here)) {
    end(session);
    throw new Error("This notebook was replaced.");
  }
  here.session.value = session;
  here.ended.value = "";
  here.sent = new Set();
  return session;
}

function pathOf(session: Session): string {
  return `sessions/${encodeURIComponent(session.id)}`;
}

/** Ask the server for the state of a session, e.g. how many checkpoints it has. */
async function refresh(here: Branch): Promise<void> {
  const { changes } = here;
  const before = here.session.value;
  if (!before) return;
  try {
    const after = await json<Session>(pathOf(before), { signal: AbortSignal.timeout(ASK_MS) });
    if (here.session.value?.id !== after.id || here.changes !== changes) return; // a cell has ended meanwhile
    here.session.value = after;
    undoAfter(here, after);
  } catch (error) {
    if (isGone(error) && here.session.value?.id === before.id) lose(here, (error as Error).message);
  }
}

function lose(here: Branch, reason: string): void {
  here.session.value = null;
  here.ended.value = reason;
  undo(here, () => true);
}

/** Mark the cells that the state does not contain any more. */
function undoAfter(here: Branch, { execution_count: count }: Session): void {
  undo(here, ({ answer }) => answer?.state === "kept" && answer.execution_count > count);
}

function undo(here: Branch, matches: (shown: Shown) => boolean): void {
  for (const { shown } of allCells(here)) {
    if (shown.value?.answer && matches(shown.value)) shown.value = { ...shown.value, isUndone: true };
  }
}

/** Let a cell that waits not run; or interrupt the cell that runs, and kill it the second time. */
export async function stopCell(cell: Cell): Promise<void> {
  if (turn.value?.cell !== cell) {
    waiting = waiting.filter((each) => each.cell !== cell);
    cell.shown.value = null;
    return;
  }
  clearWaiting(turn.value.here);
  const session = turn.value.here.session.value;
  if (isInterrupted.value) {
    aborting.abort();
    return;
  }
  isInterrupted.value = true;
  if (hasStarted && session) await interrupt(session);
}

async function interrupt(session: Session): Promise<void> {
  try {
    await send(`${pathOf(session)}/interrupt`, { method: "POST" });
  } catch (error) {
    failure.value = error as Error;
  }
}

/** Undo the last cell: go back to the state before it. */
export function goBack(): Promise<void> {
  return changing(async (here, before) => {
    const after = await json<Session>(`${pathOf(before)}/rollback`, {
      method: "POST",
      signal: AbortSignal.timeout(CHANGE_MS),
    });
    here.changes += 1;
    here.session.value = after;
    undoAfter(here, after);
    announce(`Last cell undone. ${counted(after.execution_count, "cell")} in the state.`);
  });
}

/** Open a branch with a copy of the state, and show it. */
export function makeBranch(): Promise<void> {
  return changing(async (here, before) => {
    const copy = await json<Session>(`${pathOf(before)}/branch`, {
      method: "POST",
      signal: AbortSignal.timeout(CHANGE_MS),
    });
    if (branches.value.includes(here)) announce(`${addBranch(here, copy).name} opened.`);
    else end(copy);
  });
}

/** Change the session of the current branch while nothing runs. */
async function changing(work: (here: Branch, session: Session) => Promise<void>): Promise<void> {
  const here = branch.value;
  const session = here.session.value;
  if (!session || !isIdle.value) return;
  failure.value = null;
  isChanging.value = true;
  try {
    await work(here, session);
  } catch (error) {
    const isLate = (error as Error).name === "TimeoutError";
    failure.value = isLate ? new Error("No place in the queue became free. Try again later.") : (error as Error);
    if (isGone(error)) lose(here, (error as Error).message);
  } finally {
    isChanging.value = false;
  }
  await runWaiting();
}

/** Close a branch, and end its session. */
export function closeBranch(closed: Branch): void {
  if (branches.value.length === 1) return;
  forget(closed);
  lose(closed, "Its branch was closed.");
  removeBranch(closed);
}

/** End the session of the current branch; the next cell opens a new one. */
export function restart(): void {
  const here = branch.value;
  failure.value = null;
  forget(here);
  here.session.value = null;
  here.ended.value = "";
  for (const cell of allCells(here)) cell.shown.value = null;
}

/** End the session of a branch, if it has one. */
export function forget(here: Branch): void {
  const session = here.session.peek();
  if (session) end(session);
}

function end(session: Session): void {
  send(pathOf(session), { method: "DELETE" }).catch(() => undefined); // it may have ended
}

/** Ask for the states of all sessions when the server answers again: it may have restarted. */
export function refreshWithServer(): void {
  effect(() => {
    if (!isOffline.value) untracked(() => branches.value.forEach(refresh));
  });
}

/** End the sessions when the user leaves the page. */
export function endWithPage(): void {
  addEventListener("pagehide", () => {
    for (const { session } of branches.value) {
      if (!session.value) continue;
      fetch(urlOf(pathOf(session.value)), { method: "DELETE", keepalive: true, headers: authorization() });
    }
  });
}
