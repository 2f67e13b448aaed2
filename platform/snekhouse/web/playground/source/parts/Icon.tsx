const PATHS = {
  play: "M7 4.500v15l12-7.500z",
  stop: "M6 6h12v12H6z",
  share:
    "M8 12a3 3 0 1 1-6 0 3 3 0 0 1 6 0zm14-7a3 3 0 1 1-6 0 3 3 0 0 1 6 0zm0 14a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM7.600 10.600l8.800-4.300M7.600 13.400l8.800 4.300",
  close: "M6 6l12 12M18 6 6 18",
  add: "M12 5v14M5 12h14",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  folder: "M3 6h6l2 2h10v11H3z",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  branch: "M6 4v16M6 14c8 0 12-2 12-7M18 4v3",
  back: "M9 6 4 11l5 5M4 11h10a6 6 0 0 1 6 6v2",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  refresh: "M20 11a8 8 0 1 0-2 6M20 5v6h-6",
} as const;

const FILLED = new Set(["play", "stop"]);

/** A picture beside a word, or in a button with a label. */
export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class={`icon ${FILLED.has(name) ? "filled" : ""}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
