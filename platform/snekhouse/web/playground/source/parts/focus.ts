/**
 * Do work that may disable, move or remove the pressed button; then give it back the focus, unless the user went on.
 *
 * @param fallback Selects what gets the focus if the button cannot.
 */
export async function keepingFocus(event: Event, work: () => unknown, fallback: string): Promise<void> {
  const button = event.currentTarget as HTMLButtonElement;
  await work();
  setTimeout(() => {
    const now = document.activeElement;
    if (now && now !== document.body && now !== button) return;
    if (button.isConnected && !button.disabled) button.focus();
    else document.querySelector<HTMLElement>(fallback)?.focus();
  });
}

/** Give an element the focus once it is shown: what had the focus is removed, or the element is new. */
export function focusOn(selector: string): void {
  setTimeout(() => document.querySelector<HTMLElement>(selector)?.focus());
}
