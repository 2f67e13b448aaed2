/**
 * Work beside the page: WebSockets, the parsing of long events, and differences between texts.
 *
 * Files of 16 MiB in one message would freeze a page that received it itself, and so would texts that differ a lot.
 */

import type { Part } from "../text/differences";
import type { ServerEvent } from "./types";
import { urlOf } from "./urls";

/** Texts whose differences are wanted: those of `text` from `other`, without the words that do not count. */
export interface Compared {
  text: string;
  other: string;
  ignored: RegExp | null;
}

/** What the worker does; `id` is of a connection, or of a question. */
export type Order = { id: number } & (
  | { kind: "open"; url: string }
  | { kind: "send"; text: string }
  | { kind: "close" }
  | Question
);

type Question = { kind: "parse"; text: string } | ({ kind: "compare" } & Compared);

/** What the worker tells. */
export type Report = { id: number } & (
  | { kind: "opening" }
  | { kind: "opened" }
  | { kind: "parsed"; value: ServerEvent }
  | { kind: "compared"; parts: Part[] }
  | { kind: "closed" }
);

/** Characters of JSON that the page parses itself. */
const MAX_OWN = 2_000_000;

const listeners = new Map<number, (report: Report) => void>();
let worker: Worker | null = null;
let last = 0;

/** Start the worker, which then takes its first order without delay. */
export function startWorker(): void {
  if (worker) return;
  const started = new Worker(urlOf("page/worker.js"));
  started.onmessage = ({ data }: MessageEvent<Report>) => listeners.get(data.id)?.(data);
  started.onerror = () => {
    if (started === worker) stopWorker(); // it could not be loaded
  };
  worker = started;
}

/** Close all connections: the server ends programs whose clients are gone. */
function stopWorker(): void {
  worker?.terminate();
  worker = null;
  for (const [id, tell] of listeners) tell({ id, kind: "closed" });
}

addEventListener("pagehide", stopWorker); // a page that a browser keeps would keep its connections too

function give(order: Order): void {
  startWorker();
  worker?.postMessage(order);
}

/** Parse an event. */
export async function parsed(text: string): Promise<ServerEvent> {
  if (text.length <= MAX_OWN) return JSON.parse(text) as ServerEvent;
  const report = await answer({ kind: "parse", text });
  if (report.kind !== "parsed") throw new Error("The answer cannot be read.");
  return report.value;
}

/** Mark the differences between two texts; without a worker, nothing is marked. */
export async function compared(texts: Compared): Promise<Part[]> {
  const report = await answer({ kind: "compare", ...texts });
  return report.kind === "compared" ? report.parts : [{ text: texts.text, differs: false }];
}

/** Ask the worker; its report is `closed` if it cannot answer. */
async function answer(question: Question): Promise<Report> {
  last += 1;
  const id = last;
  try {
    return await new Promise((done) => {
      listeners.set(id, done);
      give({ id, ...question });
    });
  } finally {
    listeners.delete(id);
  }
}

/** A WebSocket of the worker. It passes the events that it gets, parsed. */
export class Socket {
  readonly #id: number;
  /** The worker has begun to connect. */
  onopening = () => {};
  onopen = () => {};
  onevent = (_event: ServerEvent) => {};
  onclose = () => {};

  constructor(url: URL) {
    last += 1;
    this.#id = last;
    listeners.set(this.#id, (report) => this.#take(report));
    give({ id: this.#id, kind: "open", url: url.href });
  }

  /** Send a text, unless the connection is closed. */
  send(text: string): void {
    give({ id: this.#id, kind: "send", text });
  }

  /** Close the connection, and tell nothing more of it. */
  close(): void {
    if (listeners.delete(this.#id)) give({ id: this.#id, kind: "close" });
  }

  #take(report: Report): void {
    if (report.kind === "opening") this.onopening();
    if (report.kind === "opened") this.onopen();
    if (report.kind === "parsed") this.onevent(report.value);
    if (report.kind !== "closed") return;
    listeners.delete(this.#id);
    this.onclose();
  }
}
