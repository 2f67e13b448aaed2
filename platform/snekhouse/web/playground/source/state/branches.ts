/** The branches of the notebook, and their cells. */

import { batch, computed, effect, type Signal, signal } from "@preact/signals";
import type { CellAnswer, File64, Session } from "../api/types";
import type { OutputLog } from "../parts/Output";
import { cells as keptCells } from "./program";
import { kept } from "./storage";

/** What a cell shows. */
export interface Shown {
  log: OutputLog;
  answer: CellAnswer | null;
  error: Error | null;
  phase: "waiting" | "running" | "ended";
  /** Whether it no longer counts: it was undone or killed, or its session has ended. */
  isUndone: boolean;
  /** The code that ran. */
  code: string;
}

export interface Cell {
  id: number;
  text: Signal<string>;
  shown: Signal<Shown | null>;
}

export interface Branch {
  name: string;
  session: Signal<Session | null>;
  /** Why the last session ended; empty if it did not. */
  ended: Signal<string>;
  cells: Signal<Cell[]>;
  /** Cells that the user has removed, and where they were, the latest last. */
  removed: Signal<{ cell: Cell; at: number }[]>;
  /** Files that the jail has. Branches of a session share it, as they share the files. */
  sent: Set<File64>;
  /** How often its state has changed, so that an older answer about it can be told. */
  changes: number;
}

/** How many removed cells of a branch can come back. */
const MAX_REMOVED = 50;

let lastId = 0;
let lastBranch = 0;

function newCell(text = ""): Cell {
  lastId += 1;
  return { id: lastId, text: signal(text), shown: signal(null) };
}

function newBranch(name: string, cells: Cell[]): Branch {
  const signals = { session: signal(null), ended: signal(""), cells: signal(cells), removed: signal([]) };
  return { name, ...signals, sent: new Set(), changes: 0 };
}

/** What a reload shows again of the branches, besides the cells of the one that is shown: names and texts. */
const KEPT = kept(() => sessionStorage, "snekhouse-branches");

export const branches = signal<Branch[]>([newBranch("main", keptCells.value.map(newCell))]);
export const current = signal(0);
export const branch = computed(() => branches.value[current.value] as Branch);
/** Branches that the user has closed, the latest last. */
export const closed = signal<Branch[]>([]);

/**
 * Keep the texts of the current branch, and show those of a link.
 *
 * @param forget Called with each branch that a link replaces.
 */
export function keepCells(forget: (replaced: Branch) => void): void {
  effect(() => {
    const wanted = keptCells.value;
    if (isEqual(wanted, textsOf(branch.peek(), true))) return;
    const same = branches.peek().findIndex((each) => isEqual(wanted, textsOf(each, true)));
    if (same >= 0) {
      current.value = same;
      return;
    }
    branches.peek().forEach(forget);
    batch(() => {
      branches.value = [newBranch("main", wanted.map(newCell))];
      current.value = 0;
      closed.value = [];
    });
  });
  restoreBranches();
  addEventListener("pagehide", () => KEPT.write(branches.value.length > 1 ? JSON.stringify(texts()) : ""));
  effect(() => {
    const texts = textsOf(branch.value, false);
    if (!isEqual(texts, keptCells.peek())) keptCells.value = texts;
  });
}

interface Texts {
  current: number;
  last: number;
  branches: { name: string; cells: string[] }[];
}

function texts(): Texts {
  const each = branches.peek().map((one) => ({ name: one.name, cells: textsOf(one, true) }));
  return { current: current.peek(), last: lastBranch, branches: each };
}

/** Show the branches again that the page had before a reload, if it shows the same cells; their sessions have ended. */
function restoreBranches(): void {
  try {
    const before = JSON.parse(KEPT.read() || "null") as Texts | null;
    if (!before || !isEqual(before.branches[before.current]?.cells ?? [], keptCells.peek())) return;
    lastBranch = before.last;
    batch(() => {
      branches.value = before.branches.map(({ name, cells }) => newBranch(name, cells.map(newCell)));
      current.value = before.current;
    });
  } catch {
    KEPT.write("");
  }
}

/** The cells of branches that are not shown or are closed: those that are not empty, and differ from all others. */
export function hiddenCells(): string[][] {
  const all = [branch.peek(), ...branches.peek(), ...closed.peek()].map((each) => textsOf(each, true));
  const isNew = (each: string[], index: number) => all.findIndex((other) => isEqual(each, other)) === index;
  return all.filter((each, index) => index > 0 && isNew(each, index) && each.some((text) => text.trim()));
}

function textsOf({ cells }: Branch, isPeek: boolean): string[] {
  return isPeek ? cells.peek().map((cell) => cell.text.peek()) : cells.value.map((cell) => cell.text.value);
}

/** Whether two notebooks have the same cells. */
export function isEqual(texts: string[], others: string[]): boolean {
  return texts.length === others.length && texts.every((text, index) => text === others[index]);
}

/** Add an empty cell after another one, or at the end, and return it. */
export function addCell(after?: Cell): Cell {
  const added = newCell();
  const { cells } = branch.value;
  const at = after ? cells.value.indexOf(after) + 1 : cells.value.length;
  cells.value = cells.value.toSpliced(at, 0, added);
  return added;
}

/** Remove a cell. If it is not empty, it can come back. */
export function removeCell(cell: Cell): void {
  const { cells, removed } = branch.value;
  const at = cells.value.indexOf(cell);
  const left = cells.value.toSpliced(at, 1);
  batch(() => {
    cells.value = left.length ? left : [newCell()];
    if (cell.text.value.trim()) removed.value = [...removed.value, { cell, at }].slice(-MAX_REMOVED);
  });
}

/** All cells of a branch, with those that can come back. */
export function allCells({ cells, removed }: Branch): Cell[] {
  return [...cells.value, ...removed.value.map(({ cell }) => cell)];
}

/** Bring the cell back that was removed last, and return it. */
export function bringCellBack(): Cell | null {
  const { cells, removed } = branch.value;
  const last = removed.value.at(-1);
  if (!last) return null;
  batch(() => {
    removed.value = removed.value.slice(0, -1);
    cells.value = cells.value.toSpliced(last.at, 0, last.cell);
  });
  return last.cell;
}

export function moveCell(cell: Cell, by: number): void {
  const { cells } = branch.value;
  const at = cells.value.indexOf(cell);
  const to = at + by;
  if (to < 0 || to >= cells.value.length) return;
  cells.value = cells.value.toSpliced(at, 1).toSpliced(to, 0, cell);
}

/** Add a branch with copies of the cells of another one, and show it. */
export function addBranch(from: Branch, session: Session): Branch {
  lastBranch += 1;
  const cells = from.cells.value.map(({ text, shown }) => {
    const hasEnded = shown.value?.phase === "ended";
    return { ...newCell(text.value), shown: signal(hasEnded ? shown.value : null) };
  });
  const made = { ...newBranch(`branch ${lastBranch}`, cells), sent: from.sent };
  made.session.value = session;
  batch(() => {
    branches.value = [...branches.value, made];
    current.value = branches.value.length - 1;
  });
  return made;
}

/** Remove a branch that is not the only one, and show the same one as before, or the one before it. */
export function removeBranch(removed: Branch): void {
  const index = branches.value.indexOf(removed);
  batch(() => {
    closed.value = [...closed.value, removed];
    branches.value = branches.value.toSpliced(index, 1);
    if (index < current.value || current.value === branches.value.length) current.value -= 1;
  });
}

/** Show the branch again that was closed last. Its session has ended. */
export function reopenBranch(): void {
  const last = closed.value.at(-1);
  if (!last) return;
  batch(() => {
    closed.value = closed.value.slice(0, -1);
    branches.value = [...branches.value, last];
    current.value = branches.value.length - 1;
  });
}
