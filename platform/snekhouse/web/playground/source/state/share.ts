/** Links that hold a program, after the `#`, which browsers never send to a server; and the program as commands. */

import { urlOf } from "../api/urls";
import { decode, encode } from "../text/base64";
import { quote } from "../text/shell";
import { forgetLink, open } from "./keeping";
import { cases, chosen, judged, MOST, match, mode, request, runtimeName, type Saved, saved } from "./program";
import { runtimeOf } from "./server";

/** Bytes of files that a link or a command holds; it has no files if they are larger. */
export const MAX_FILES = 32 * 1024;
/** Largest content of a link, unpacked, in bytes. */
const MAX_LENGTH = 4_000_000;
/** Longest link that browsers and chat programs commonly pass on, in characters. */
const MAX_LINK = 500_000;
const PREFIX = "#p=";

/** Whether the files of the program are small enough for a link. */
export function holdsFiles(): boolean {
  return saved.value.files.reduce((sum, file) => sum + file.size, 0) <= MAX_FILES;
}

/**
 * Make the link of the program.
 *
 * @throws {RangeError} The program is too large for a link.
 */
export async function link(): Promise<string> {
  const { files, cells, ...others } = saved.value;
  const kept: Partial<Saved> & Pick<Saved, "cases"> = {
    ...others,
    ...(holdsFiles() && { files }),
    ...(mode.value === "notebook" && { cells }),
  };
  const content = new TextEncoder().encode(JSON.stringify(kept));
  const packed = await piped(content, new CompressionStream("deflate-raw"));
  const text = encode(packed).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  const isLarge = content.length > MAX_LENGTH || text.length > MAX_LINK;
  const counts = { files: kept.files?.length ?? 0, cells: kept.cells?.length ?? 0, cases: kept.cases.length };
  const hasMany = (["files", "cells", "cases"] as const).some((name) => counts[name] > MOST[name]);
  if (isLarge || hasMany) throw new RangeError("The program, its cells or its cases are too large for a link.");
  return `${location.origin}${location.pathname}${PREFIX}${text}`;
}

/** Open the program of the link in the address, if there is one; return whether there is. */
export async function openLink(): Promise<boolean> {
  const { hash } = location;
  if (!hash.startsWith(PREFIX)) return false;
  const text = hash.slice(PREFIX.length).replaceAll("-", "+").replaceAll("_", "/");
  try {
    const unpacked = await piped(decode(text), new DecompressionStream("deflate-raw"), MAX_LENGTH);
    if (location.hash !== hash) return false; // another link has come meanwhile
    open(JSON.parse(new TextDecoder().decode(unpacked)) as Partial<Saved>);
    return true;
  } catch (error) {
    if (location.hash !== hash) return false;
    forgetLink();
    if (error instanceof RangeError) throw new Error(`This link cannot be opened: ${error.message}.`);
    throw new Error("This link is damaged. Copy the whole link again.");
  }
}

async function piped(
  content: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
  most = Number.POSITIVE_INFINITY,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: BlobPart[] = [];
  let size = 0;
  const reader = new Blob([content]).stream().pipeThrough(stream).getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    pieces.push(read.value);
    size += read.value.length;
    if (size > most) throw new RangeError("it is too large");
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/** Why there is no single request that does what the mode does; empty if there is one. */
export function lackOfCommands(): string {
  if (mode.value === "notebook") return "A notebook is several requests, so there is no single command for it.";
  return mode.value === "judge" && !cases.value.length ? "Add a case: a request to judge needs at least one." : "";
}

/** The request as JSON without the parts that have their defaults. */
function body(indent?: number): string {
  const runtime = runtimeOf(runtimeName.value);
  const { files, stdin, limits, ...rest } = request(runtime ? [runtime] : []);
  const made = {
    ...rest,
    ...(stdin && mode.value !== "judge" ? { stdin } : {}),
    ...(files?.length && holdsFiles() ? { files } : {}),
    ...(limits && Object.keys(limits).length ? { limits } : {}),
    ...(mode.value === "judge" ? judged(cases.value, match.value) : {}),
    ...(mode.value === "compare" && chosen.value.length ? { runtimes: chosen.value } : {}),
  };
  return JSON.stringify(made, null, indent);
}

function target(): string {
  if (mode.value === "compare") return urlOf("compare").href;
  const route = mode.value === "judge" ? "judge" : "eval";
  return urlOf(runtimeName.value ? `${route}/${encodeURIComponent(runtimeName.value)}` : route).href;
}

/** The program as a curl command. */
export function asCurl(): string {
  return `curl ${quote(target())} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quote(body())}`;
}

/** The program as Python code that needs only the standard library. Texts, numbers, lists and objects are written the same in JSON. */
export function asPython(): string {
  const shown =
    mode.value === "run"
      ? `print(answer["stdout"], end="")\nprint(answer["status"], answer["returncode"])`
      : "print(json.dumps(answer, indent=2))";
  return `import json
from urllib.request import Request, urlopen

request = ${body(4)}
headers = {"Content-Type": "application/json"}
answer = json.load(urlopen(Request(${pythonText(target())}, json.dumps(request).encode(), headers)))
${shown}
`;
}

/** A literal of Python: JSON's escapes mean the same there. */
function pythonText(text: string): string {
  return JSON.stringify(text);
}
