/** What screen readers say: the text of a live region that nobody sees. */

import { signal } from "@preact/signals";

export const announced = signal("");

/** Make screen readers say a text after the current one. */
export function announce(text: string): void {
  announced.value = announced.value === text ? `${text}\u00a0` : text; // the same text twice is said twice
}
