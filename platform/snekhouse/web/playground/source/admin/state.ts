/** What the operators' page knows: the runtimes as the admin API has them, and readings of the metrics. */

import { computed, signal } from "@preact/signals";
import { ApiError, isHeaderText, json, send } from "../api/client";
import type { Runtime } from "../api/types";
import { kept } from "../state/storage";
import { type Metrics, parsed } from "../text/metrics";

export interface AdminRuntime extends Runtime {
  settings: Record<string, unknown>;
  evaluations: Record<string, number>;
  last_error: string;
  set_aside: { modules: string[]; memory: number; left_out: Record<string, string> } | null;
}

export interface Reload {
  at: string;
  outcome: "reloaded" | "refused";
  error: string | null;
  kept: string[];
}

export interface Overview {
  registry: { source: string; hash: string; default: string; last_reload: Reload | null };
  runtimes: AdminRuntime[];
}

export interface Reading {
  at: number;
  metrics: Metrics;
}

/** Milliseconds between two readings, and how many are kept: ten minutes. */
const INTERVAL_MS = 3000;
const KEPT = 200;
/** Milliseconds between two readings at least; less would make rates of chance. */
const MIN_INTERVAL_MS = 1000;
const TOKEN = kept(() => sessionStorage, "snekhouse-admin-token");

export const token = signal(TOKEN.read());
export const overview = signal<Overview | null>(null);
export const readings = signal<Reading[]>([]);
export const failure = signal<Error | null>(null);
/** The outcome of the last reload or probe. */
export const told = signal("");
/** The runtime that is probed, or `reload`; empty if idle. */
export const busy = signal("");
export const isOpen = computed(() => overview.value !== null);

let timer = 0;

/** Use a token from now on, and read again and again. */
export async function enter(text: string): Promise<void> {
  if (!isHeaderText(text)) {
    failure.value = new Error("A token has only ASCII characters, and no spaces.");
    return;
  }
  token.value = text;
  await read();
}

/** Forget the token. */
export function leave(): void {
  TOKEN.write("");
  clearTimeout(timer);
  token.value = "";
  overview.value = null;
  readings.value = [];
}

/** Whether the server has an admin API. */
export const isOff = signal(false);

/** Read the state of the server; without a token, ask whether it has an admin API. */
export async function begin(): Promise<void> {
  if (token.value) return read();
  const error = await json("admin/runtimes", { token: "" }).catch((error: Error) => error);
  if (!(error instanceof ApiError) || error.status !== 404) return;
  isOff.value = true;
  failure.value = error;
}

/** Read the state of the server now, and again after a while. */
export async function read(): Promise<void> {
  clearTimeout(timer);
  const used = token.value;
  if (!used) return;
  try {
    const found = await json<Overview>("admin/runtimes", { token: used });
    if (token.value !== used) return; // it was forgotten meanwhile
    TOKEN.write(used);
    overview.value = found;
    failure.value = null;
    await readMetrics(used);
  } catch (error) {
    if (token.value !== used) return; // it was forgotten meanwhile
    failure.value = error as Error;
    if (error instanceof ApiError && [401, 404, 429].includes(error.status)) {
      overview.value = null;
      return;
    }
  }
  if (token.value === used) timer = window.setTimeout(read, INTERVAL_MS);
}

async function readMetrics(used: string): Promise<void> {
  if (Date.now() - (readings.value.at(-1)?.at ?? 0) < MIN_INTERVAL_MS) return;
  const response = await send("metrics", { accept: "text/plain", token: used });
  const reading = { at: Date.now(), metrics: parsed(await response.text()) };
  if (token.value === used) readings.value = [...readings.value, reading].slice(-KEPT);
}

/** Reload the registry's file. */
export function reload(): Promise<void> {
  return perform("reload", async () => {
    const done = await json<Reload>("admin/reload", { method: "POST", token: token.value });
    const kept = done.kept.length ? ` A restart is needed for ${done.kept.join(", ")}.` : "";
    return `The registry was reloaded.${kept}`;
  });
}

/** Probe a runtime again. */
export function probe(name: string): Promise<void> {
  return perform(name, async () => {
    const path = `admin/runtimes/${encodeURIComponent(name)}/probe`;
    const found = await json<AdminRuntime>(path, { method: "POST", token: token.value });
    return `${name} was probed: ${found.status}.${found.reason ? ` ${found.reason}` : ""}`;
  });
}

async function perform(name: string, work: () => Promise<string>): Promise<void> {
  busy.value = name;
  told.value = "";
  try {
    told.value = await work();
  } catch (error) {
    if (name !== "reload") told.value = (error as Error).message; // the registry shows why a reload was refused
  } finally {
    busy.value = "";
  }
  await read();
}

/** Return the rendered profile of a runtime. */
export async function profileOf(name: string): Promise<string> {
  const path = `admin/runtimes/${encodeURIComponent(name)}`;
  return (await json<{ profile: string }>(path, { token: token.value })).profile;
}
