/** Cases of a judge from pairs of files, such as `1.in` and `1.out`. */

import type { Case } from "../state/program";

const INPUT = /\.(?:in|input)$/i;
const OUTPUT = /\.(?:out|ans|output|answer)$/i;

/** Paths of dropped files, whose `webkitRelativePath` is empty. */
const paths = new WeakMap<File, string>();

/** The files of a case. */
export interface Pair {
  name: string;
  input: File;
  output: File;
}

/** Find pairs of files; files without a partner are left out. Numbers in names count as numbers. */
export function pairsOf(files: File[]): Pair[] {
  const outputs = new Map(files.filter(({ name }) => OUTPUT.test(name)).map((file) => [stem(file, OUTPUT), file]));
  const pairs = files
    .filter(({ name }) => INPUT.test(name))
    .map((input) => ({ name: stem(input, INPUT), input, output: outputs.get(stem(input, INPUT)) }))
    .sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
  return pairs.flatMap(({ name, input, output }) => (output ? [{ name, input, output }] : []));
}

/** Read pairs of files as cases. */
export function casesOf(pairs: Pair[]): Promise<Case[]> {
  return Promise.all(
    pairs.map(async ({ name, input, output }) => ({
      name: name.split("/").pop() as string,
      stdin: await input.text(),
      expected: await output.text(),
    })),
  );
}

function stem(file: File, ending: RegExp): string {
  return (paths.get(file) ?? (file.webkitRelativePath || file.name)).replace(ending, "");
}

/** List what was dropped on the page, with the files in folders. */
export async function droppedFiles(transfer: DataTransfer): Promise<File[]> {
  const dropped = Array.from(transfer.items, (item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const found = await Promise.all(dropped.map(({ entry, file }) => (entry ? filesOf(entry) : file ? [file] : [])));
  return found.flat();
}

async function filesOf(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed));
    paths.set(file, entry.fullPath);
    return [file];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    const read = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (!read.length) return found; // a browser returns a folder in parts
    for (const each of read) found.push(...(await filesOf(each)));
  }
}
