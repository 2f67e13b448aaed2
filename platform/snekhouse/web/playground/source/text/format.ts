/** Numbers as people read them. */

const UNITS = ["B", "KiB", "MiB", "GiB"];

/** Format a number of bytes, e.g. `1.5 MiB`. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${UNITS[unit]}`;
}

/** Format seconds, e.g. `4.2 ms`. */
export function seconds(value: number): string {
  if (value < 1) return `${significant(value * 1000)} ms`;
  return `${significant(value)} s`;
}

function significant(value: number): string {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

/** Format a count with its noun, e.g. `1 case`, `2 cases`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Turn `out_of_memory` into `out of memory`. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}
