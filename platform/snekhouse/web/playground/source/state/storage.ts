/** What the browser keeps for this page. A browser may forbid that; then nothing is kept. */

/** A storage of the browser: `localStorage`, or `sessionStorage` until the tab closes. */
export interface Kept {
  read(): string;
  write(text: string): boolean;
}

/**
 * Name a text that a storage keeps.
 *
 * @param storage Returns the storage; an error means that the browser forbids it.
 * @param name Name of the text.
 */
export function kept(storage: () => Storage, name: string): Kept {
  return {
    /** The text; empty if there is none. */
    read() {
      try {
        return storage().getItem(name) ?? "";
      } catch {
        return "";
      }
    },
    /** Keep a text, or nothing if it is empty; return whether that worked. */
    write(text) {
      try {
        if (text) storage().setItem(name, text);
        else storage().removeItem(name);
        return true;
      } catch {
        return false;
      }
    },
  };
}
