/** The URLs of the server. */

/** The URL of the style sheet. */
const STYLE_SHEET = new URL(document.querySelector<HTMLLinkElement>("link[rel=stylesheet]")?.href ?? location.href);
/** The root of the API: the folder above that of the style sheet. */
const BASE = new URL("..", STYLE_SHEET);

/** The URL of a path of the API. */
export function urlOf(path: string): URL {
  return new URL(path, BASE);
}
