/** The theme: light, dark, or as the system has it. */

import { effect, signal } from "@preact/signals";
import { kept } from "./storage";

export type Theme = "system" | "light" | "dark";

const KEPT = kept(() => localStorage, "snekhouse-theme");
const ORDER: Theme[] = ["system", "light", "dark"];

export const theme = signal<Theme>(ORDER.find((each) => each === KEPT.read()) ?? "system");

/** Apply the theme now and whenever it changes. */
export function applyTheme(): void {
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    KEPT.write(theme.value);
  });
}

export function nextTheme(): void {
  theme.value = ORDER[(ORDER.indexOf(theme.value) + 1) % ORDER.length] as Theme;
}

/** The current colour scheme. */
export function scheme(): "light" | "dark" {
  if (theme.value !== "system") return theme.value;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
