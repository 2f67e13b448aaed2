/** Requests to the server, its errors as exceptions, and its streams of events. */

import { signal } from "@preact/signals";
import { kept } from "../state/storage";
import type { ErrorBody, ServerEvent } from "./types";
import { urlOf } from "./urls";
import { parsed } from "./worker";

/** The server answered with an error. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    message: string,
    /** Seconds after which the request may succeed; null if the server does not say. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

/** No answer came: the server or the network is down. */
export class OfflineError extends Error {}

/** Statuses that only a proxy sends: it does not reach the server. */
const UNREACHABLE = new Set([502, 504]);
const KEPT = kept(() => sessionStorage, "snekhouse-key");
/** Seconds until the client may retry a stream that was refused because the queue was full: it has no Retry-After. */
const RETRY_AFTER = 1;

/** The key that a gateway in front of the server needs; empty if none is known. It is kept until the tab closes. */
export const key = signal(KEPT.read());
/** Whether a request was refused because of a missing or wrong key. */
export const isKeyWanted = signal(false);
/** Whether the last request got no answer. */
export const isOffline = signal(false);

/**
 * Use a key from now on.
 *
 * @throws {Error} No header can carry it.
 */
export function setKey(text: string): void {
  if (!isHeaderText(text)) throw new Error("A key has only ASCII characters, and no spaces.");
  KEPT.write(text);
  key.value = text;
}

/** Whether a header can carry a key or token. */
export function isHeaderText(text: string): boolean {
  return /^[!-~]+$/.test(text);
}

export interface Options {
  method?: string;
  body?: unknown;
  accept?: string;
  signal?: AbortSignal;
  token?: string;
}

/**
 * Send a request.
 *
 * @param path Path of the API, without a slash at the start.
 * @throws {ApiError} The answer is an error.
 * @throws {OfflineError} There is no answer.
 */
export async function send(path: string, options: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: options.accept ?? "application/json" };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  Object.assign(headers, authorization(options.token));
  const init: RequestInit = { method: options.method ?? (options.body === undefined ? "GET" : "POST"), headers };
  if (options.body !== undefined) init.body = JSON.stringify(options.body);
  if (options.signal) init.signal = options.signal;
  const response = await translated(() => fetch(urlOf(path), init));
  if (UNREACHABLE.has(response.status)) throw offline("The proxy does not reach the server.");
  isOffline.value = false;
  if (response.status !== 401) isKeyWanted.value = false;
  if (!response.ok) throw await refusal(response, options.token !== undefined);
  return response;
}

/** The header with the key, or with a token, if there is one. */
export function authorization(token = key.value): Record<string, string> {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Send a request, and parse the JSON of its answer. */
export async function json<T>(path: string, options: Options = {}): Promise<T> {
  const response = await send(path, options);
  return (await translated(() => response.json())) as T;
}

/** Send a request, and yield the events of its answer. */
export async function* events(path: string, options: Options): AsyncGenerator<ServerEvent> {
  const response = await send(path, { ...options, accept: "application/x-ndjson" });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let pieces: string[] = []; // of a line that has not ended
  let last = "";
  try {
    for (;;) {
      const { done, value } = await translated(() => reader.read());
      if (done) break;
      const [piece = "", ...more] = decoder.decode(value, { stream: true }).split("\n");
      pieces.push(piece);
      for (const next of more) {
        const line = pieces.join("");
        pieces = [next];
        const event = await parsed(line);
        last = event.event;
        yield event;
      }
    }
    if (last !== "end") throw offline("The connection was lost.");
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/** Turn an error of a stream's last event into an exception. */
export function throwIfRefused(event: ServerEvent): void {
  const error = event.error as (ErrorBody & { name?: string }) | null | undefined;
  if (event.event !== "end" || !error?.title) return;
  throw new ApiError(0, error.title, error.description, error.title === "Service Unavailable" ? RETRY_AFTER : null);
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw offline("The server does not answer.");
  }
}

function offline(message: string): OfflineError {
  isOffline.value = true;
  return new OfflineError(message);
}

async function refusal(response: Response, hasToken: boolean): Promise<ApiError> {
  if (response.status === 401 && !hasToken) isKeyWanted.value = true;
  const retryAfter = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const text = await response.text();
  let told: ErrorBody = { title: response.statusText || `Error ${response.status}`, description: text.slice(0, 500) };
  try {
    told = { ...told, ...(JSON.parse(text) as ErrorBody) };
  } catch {
    // A proxy answered, not the server. Show its text.
  }
  return new ApiError(response.status, told.title, told.description, Number.isNaN(retryAfter) ? null : retryAfter);
}
