import type { ReadonlySignal } from "@preact/signals";

/** What the buttons above the editor do in a mode. */
export interface Actions {
  /** The label of the button that runs the program. */
  label: ReadonlySignal<string>;
  isRunning: ReadonlySignal<boolean>;
  /** The line of the program that failed; null if none did. */
  failedLine: ReadonlySignal<number | null>;
  /** Whether there is a runtime to run it. */
  canRun: ReadonlySignal<boolean>;
  run(): Promise<void>;
  stop(): void;
}
