import type { Answer, Usage } from "../api/types";
import { bytes, seconds, words } from "../text/format";

const KINDS: Record<string, string> = {
  ok: "good",
  accepted: "good",
  kept: "good",
  available: "good",
  running: "busy",
  waiting: "busy",
  skipped: "plain",
  unavailable: "plain",
  ended: "plain",
  stopped: "plain",
};

/** A status or verdict, in a word and a colour. */
export function Badge({ name, more = "" }: { name: string; more?: string }) {
  return (
    <span class={`badge ${KINDS[name] ?? "bad"}`}>
      {words(name)}
      {more}
    </span>
  );
}

/** How an evaluation ended: its status, with the exception or the exit code if there is one. */
export function Ending({ answer }: { answer: Answer }) {
  const code = answer.status === "error" && answer.returncode !== null ? `, exit code ${answer.returncode}` : "";
  return <Badge name={answer.status} more={answer.error ? ` ${answer.error.name}` : code} />;
}

/** Time, CPU time and memory of an evaluation. */
export function Used({ usage }: { usage: Usage }) {
  return (
    <dl class="used">
      <div title="From the start of the program to its end">
        <dt>Time</dt>
        <dd>{seconds(usage.wall_time)}</dd>
      </div>
      <div>
        <dt>CPU</dt>
        <dd>{seconds(usage.cpu_time)}</dd>
      </div>
      {usage.memory !== null && (
        <div title="Peak, without the start of the interpreter">
          <dt>Memory</dt>
          <dd>{bytes(usage.memory)}</dd>
        </div>
      )}
    </dl>
  );
}

/** How an evaluation ended, in a few words. */
export function ending(answer: Answer): string {
  if (answer.status === "ok") return "succeeded";
  if (answer.status === "error" && answer.error) return `failed with ${answer.error.name}`;
  if (answer.status === "error") return `ended with exit code ${answer.returncode}`;
  return `ended with ${words(answer.status)}: ${answer.message}`;
}
