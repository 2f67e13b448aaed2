/** Differences between two texts, by word. */

import { diffWordsWithSpace } from "diff";

/** A part of a text, and whether the other text lacks it. */
export interface Part {
  text: string;
  differs: boolean;
}

/** Characters of a text that are compared; the rest is shown without marks. */
const MAX_COMPARED = 20_000;
/** Milliseconds for comparing; if they are not enough, everything counts as different. */
const TIMEOUT_MS = 100;

/**
 * Mark the words of a text that another one does not have.
 *
 * @param ignored Words that are not marked.
 */
export function marked(text: string, other: string, ignored: RegExp | null = null): Part[] {
  const compared = text.slice(0, MAX_COMPARED);
  const changes = diffWordsWithSpace(other.slice(0, MAX_COMPARED), compared, { timeout: TIMEOUT_MS });
  const parts = changes?.filter((change) => !change.removed) ?? [{ value: compared, added: true }];
  const found = parts.map((change) => ({
    text: change.value,
    differs: Boolean(change.added) && !ignored?.test(change.value.trim()),
  }));
  const rest = text.slice(MAX_COMPARED);
  return rest ? [...found, { text: rest, differs: false }] : found;
}
