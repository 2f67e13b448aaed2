/** Notebooks as files: Python with `# %%` before each cell, as many editors know it, and the code of Jupyter's. */

import { withNewlines } from "./newlines";

const SEPARATOR = /^#[ \t]?%%.*(?:\n|$)/m;

/** The cells as one program. */
export function joined(cells: string[]): string {
  return cells.map((cell) => `# %%\n${cell.trimEnd()}\n`).join("\n");
}

/** The cells of a program. */
export function cellsOf(text: string): string[] {
  const [before = "", ...cells] = text.split(SEPARATOR);
  const found = before.trim() || !cells.length ? [before, ...cells] : cells;
  return found.map((cell) => cell.trimEnd());
}

/**
 * The code of a notebook of Jupyter, by cell. Format: https://nbformat.readthedocs.io/en/latest/format_description.html
 *
 * @throws SyntaxError It is no such notebook.
 */
export function cellsOfJupyter(text: string): string[] {
  try {
    const { cells } = JSON.parse(text) as { cells: { cell_type: string; source: string | string[] }[] };
    const code = cells.filter((each) => each.cell_type === "code").map(({ source }) => sourceOf(source));
    return code.length ? code : [""];
  } catch {
    throw new SyntaxError("it is not a notebook of Jupyter");
  }
}

function sourceOf(source: string | string[]): string {
  const lines = [source].flat();
  if (lines.some((line) => typeof line !== "string")) throw new TypeError("a source that is not text");
  return withNewlines(lines.join(""));
}
