/** The program that the user writes, and what belongs to it. */

import { batch, computed, signal } from "@preact/signals";
import type { File64, Request, Runtime } from "../api/types";
import { withNewlines } from "../text/newlines";
import { split } from "../text/shell";

export const MODES = ["run", "compare", "notebook", "judge"] as const;
export type Mode = (typeof MODES)[number];
export type LimitName = "wall_time" | "memory" | "processes" | "output";
export type ChosenLimits = Partial<Record<LimitName, number>>;

/** A case of the judge. */
export interface Case {
  stdin: string;
  expected: string;
  name: string;
}

/** All that a link holds. */
export interface Saved {
  mode: Mode;
  code: string;
  runtime: string;
  args: string;
  stdin: string;
  files: File64[];
  limits: ChosenLimits;
  cases: Case[];
  match: string;
  cells: string[];
  /** Runtimes to compare; empty for all. */
  chosen: string[];
}

export const WELCOME = `# Run it, or compare every version: Python 3.12 made this sum exact.
prices = [0.1] * 10
print("Ten times 0.1 is", sum(prices))
`;

const FIRST: Saved = {
  mode: "run",
  code: WELCOME,
  runtime: "",
  args: "",
  stdin: "",
  files: [],
  limits: {},
  cases: [],
  match: "trimmed",
  cells: [""],
  chosen: [],
};

export const mode = signal<Mode>(FIRST.mode);
export const code = signal(FIRST.code);
export const runtimeName = signal(FIRST.runtime);
export const args = signal(FIRST.args);
export const stdin = signal(FIRST.stdin);
export const files = signal<File64[]>(FIRST.files);
export const limits = signal<ChosenLimits>(FIRST.limits);
export const cases = signal<Case[]>(FIRST.cases);
export const match = signal(FIRST.match);
export const cells = signal<string[]>(FIRST.cells);
export const chosen = signal<string[]>(FIRST.chosen);

const SIGNALS = { mode, code, runtime: runtimeName, args, stdin, files, limits, cases, match, cells, chosen };

/** The program as a link holds it. */
export const saved = computed(
  () => Object.fromEntries(Object.entries(SIGNALS).map(([name, each]) => [name, each.value])) as unknown as Saved,
);

/** Replace the program; missing or wrong fields get their initial values. */
export function restore(found: Partial<Saved>): void {
  const fields = Object.entries(SIGNALS).map(([name, each]) => {
    const value = found[name as keyof Saved];
    return [each, isLike(value, SAMPLES[name as keyof Saved]) ? value : FIRST[name as keyof Saved]] as const;
  });
  batch(() => {
    for (const [each, value] of fields) each.value = value as never;
    limits.value = numbersOf(limits.value);
    code.value = withNewlines(code.value);
    cells.value = (cells.value.length ? cells.value : FIRST.cells).map(withNewlines);
    if (!MODES.includes(mode.value)) mode.value = FIRST.mode;
  });
}

/** How many files, cases and cells the page can show; more would freeze it. */
export const MOST = { files: 100, cases: 500, cells: 100 };

/** What the values of a link look like: a list has one element of its kind, an object all of its keys. */
const SAMPLES: Record<keyof Saved, unknown> = {
  ...FIRST,
  files: [{ path: "", content: "", size: 0 }],
  cases: [{ stdin: "", expected: "", name: "" }],
  cells: [""],
  chosen: [""],
};

function isLike(value: unknown, sample: unknown): boolean {
  if (Array.isArray(sample)) return Array.isArray(value) && value.every((each) => isLike(each, sample[0]));
  if (typeof sample !== "object" || sample === null) return typeof value === typeof sample;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const fields = value as Record<string, unknown>;
  return Object.entries(sample).every(([name, each]) => isLike(fields[name], each));
}

const LIMIT_NAMES: LimitName[] = ["wall_time", "memory", "processes", "output"];

function numbersOf(found: ChosenLimits): ChosenLimits {
  const kept = LIMIT_NAMES.filter((name) => {
    const value = found[name] ?? 0;
    return value > 0 && (name === "wall_time" ? Number.isFinite(value) : Number.isInteger(value));
  });
  return Object.fromEntries(kept.map((name) => [name, found[name]]));
}

/**
 * The request that runs the program in some runtimes.
 *
 * @param runtimes Their own limits; a chosen limit that is not below all of them is left out.
 */
export function request(runtimes: Runtime[]): Request {
  const chosenLimits = Object.entries(limits.value).filter(([name, value]) =>
    runtimes.every((each) => (each.limits[name as LimitName] ?? 0) > value),
  );
  const made: Request = {
    files: files.value.map(({ path, content }) => ({ path, content })),
    stdin: stdin.value,
    limits: Object.fromEntries(chosenLimits),
  };
  const given = split(args.value);
  if (given.length) made.args = ["-c", code.value, ...given];
  else made.input = code.value;
  return made;
}

/** What runs, and how; without standard input. */
export const asked = computed((): unknown[] => [code.value, args.value, files.value, limits.value]);

/** Whether two lists have the same elements. */
export function isSame(one: unknown[], other: unknown[]): boolean {
  return one.length === other.length && one.every((each, index) => each === other[index]);
}

/** The fields of a request to judge cases. */
export function judged(found: Case[], match: string): { cases: object[] } {
  const how = match === "float" ? { float: 1e-6 } : match;
  return {
    cases: found.map(({ name, stdin: input, expected }) => ({
      id: name,
      stdin: input,
      expected: { stdout: expected, match: how },
    })),
  };
}
