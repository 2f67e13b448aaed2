/** What this page knows of the server: its runtimes, and whether it answers. */

import { computed, effect, signal } from "@preact/signals";
import { isKeyWanted, isOffline, json, send } from "../api/client";
import type { Runtime } from "../api/types";

/** Milliseconds between two checks whether the server answers again. */
const RETRY_MS = 2000;
/** Milliseconds for an answer. */
const ANSWER_MS = 10_000;

/** The runtimes in the order of the registry; null until they are known. */
export const runtimes = signal<Runtime[] | null>(null);
/** Why the runtimes could not be listed; empty if they could. */
export const listingError = signal("");
export const available = computed(() => runtimes.value?.filter((each) => each.status === "available") ?? []);

export async function loadRuntimes(): Promise<void> {
  try {
    const inTime = AbortSignal.timeout(ANSWER_MS);
    runtimes.value = (await json<{ runtimes: Runtime[] }>("runtimes", { signal: inTime })).runtimes;
    listingError.value = "";
  } catch (error) {
    listingError.value = reasonOf(error as Error);
  }
}

/** Why a request failed. If no answer came in time, the server does not answer. */
function reasonOf(error: Error): string {
  if (error.name !== "TimeoutError") return error.message;
  isOffline.value = true;
  return "The server does not answer.";
}

/** Return the runtime with a name or alias; the default if the name is empty or unknown. */
export function runtimeOf(name: string): Runtime | undefined {
  const found = runtimes.value ?? [];
  const named = found.find((each) => each.name === name || each.aliases.includes(name));
  return named ?? found.find((each) => each.default) ?? found[0];
}

/** Describe a runtime in a few words, e.g. `CPython 3.13.1, free-threaded`. */
export function described(runtime: Runtime): string {
  const kinds = [
    runtime.implementation && runtime.version ? `${runtime.implementation} ${runtime.version}` : "",
    runtime.free_threaded ? "free-threaded" : "",
    runtime.jit ? "JIT" : "",
    runtime.status === "unavailable" ? "unavailable" : "",
  ];
  const text = kinds.filter(Boolean).join(", ");
  return runtime.version?.startsWith(runtime.name.replace(/[tj]+$/, "")) ? text : `${runtime.name}: ${text}`;
}

/** Ask again and again while the server does not answer, or does not list its runtimes. */
export function watchServer(): void {
  effect(() => {
    if (!isOffline.value && (!listingError.value || isKeyWanted.value)) return;
    let isAsking = false;
    const timer = setInterval(async () => {
      if (isAsking) return;
      isAsking = true;
      try {
        await send("healthz", { accept: "text/plain", signal: AbortSignal.timeout(ANSWER_MS) });
        await loadRuntimes();
      } catch {
        // It is still down; the banner says so.
      } finally {
        isAsking = false;
      }
    }, RETRY_MS);
    return () => clearInterval(timer);
  });
}
