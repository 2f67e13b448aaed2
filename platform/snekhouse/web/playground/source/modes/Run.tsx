import { computed, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { key } from "../api/client";
import { type Running, start } from "../api/running";
import type { Answer } from "../api/types";
import { OutputFiles } from "../parts/Files";
import { Icon } from "../parts/Icon";
import { Failure, Notice } from "../parts/Notice";
import { Output, OutputLog } from "../parts/Output";
import { Badge, Ending, ending, Used } from "../parts/Status";
import { announce } from "../state/announce";
import { code, limits, request, runtimeName } from "../state/program";
import { available, runtimeOf } from "../state/server";
import { counted, seconds } from "../text/format";
import type { Actions } from "./actions";

type Phase = "idle" | "waiting" | "running" | "ended";

/** Milliseconds after which a program counts as long: then it shows where to type input. */
const LONG_MS = 150;
/** Milliseconds until a program ends that is killed; after that, the page closes the connection. */
const KILL_MS = 2000;
/** Characters of output that are read to tell a screen reader how much it is. */
const MAX_READ = 100_000;

const log = new OutputLog();
const phase = signal<Phase>("idle");
const answer = signal<Answer | null>(null);
const failure = signal<Error | null>(null);
const running = signal<Running | null>(null);
const isLong = signal(false);
const isInterrupted = signal(false);
const isStopped = signal(false);
const hasEndedInput = signal(false);
/** The code that ran last. */
const ranCode = signal("");
let aborting = new AbortController();

export const actions: Actions = {
  label: computed(() => "Run"),
  isRunning: computed(() => phase.value === "waiting" || phase.value === "running"),
  failedLine: computed(() => (ranCode.value === code.value ? (answer.value?.error?.line ?? null) : null)),
  canRun: computed(() => available.value.length > 0),
  run,
  stop,
};

async function run(): Promise<void> {
  if (actions.isRunning.value) return;
  const runtime = runtimeOf(runtimeName.value);
  if (!runtime) return;
  log.clear();
  answer.value = null;
  failure.value = null;
  isLong.value = false;
  isInterrupted.value = false;
  isStopped.value = false;
  hasEndedInput.value = false;
  ranCode.value = code.value;
  aborting = new AbortController();
  phase.value = "waiting";
  const timer = setTimeout(() => {
    isLong.value = true;
  }, LONG_MS);
  try {
    const wanted = { ...request([runtime]), separate_stderr: true, colors: true };
    const started = await start(runtime.name, wanted, aborting);
    running.value = started;
    for await (const event of started.events) {
      if (event.event === "start") phase.value = "running";
      else if (event.event === "end") answer.value = event as unknown as Answer;
      else log.add(event.event, event.text as string);
    }
    if (answer.value) announce(`The program ${ending(answer.value)}. ${summary()}`);
  } catch (error) {
    if ((error as Error).name !== "AbortError") failure.value = error as Error;
    else isStopped.value = true;
  } finally {
    clearTimeout(timer);
    log.end();
    running.value = null;
    phase.value = "ended";
  }
}

/** What a screen reader says of the output: all of it if it is short. */
function summary(): string {
  if (log.length > MAX_READ) return `${counted(log.length, "character")} of output.`;
  const text = log.text.trimEnd();
  const lines = text.split("\n");
  if (text.length < 400) return text || "No output.";
  return `${lines.length} lines of output, at the end: ${(lines.at(-1) as string).slice(0, 200)}`;
}

/** Interrupt the program as Ctrl-C does; the second time, kill it. Before it runs, withdraw it. */
function stop(): void {
  if (phase.value === "waiting") {
    aborting.abort();
    return;
  }
  running.value?.signal(isInterrupted.value ? "SIGKILL" : "SIGINT");
  if (isInterrupted.value) {
    const killed = aborting;
    setTimeout(() => killed.abort(), KILL_MS); // the server kills a program whose client is gone
  }
  isInterrupted.value = true;
}

/** What the stop button says. */
export const stopLabel = computed(() => (isInterrupted.value && phase.value === "running" ? "Kill" : "Stop"));

/** The panel beside the editor: output as it comes, input while the program runs, and files. */
export function RunPanel() {
  const found = answer.value;
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    if (phase.value === "running") place.current?.scrollIntoView({ block: "nearest" }); // below the editor on a phone
  }, [phase.value]);
  return (
    <section ref={place} class="panel" aria-label="Output">
      <header class="panel-head">
        <h2>Output</h2>
        <State />
        {found && <Used usage={found.usage} />}
      </header>
      {failure.value && <Failure error={failure.value} onRetry={run} />}
      {found?.message && <Notice kind={found.status === "error" ? "plain" : "warn"}>{found.message}</Notice>}
      {found?.error?.name === "EOFError" && !hasEndedInput.value && (
        <p class="faint centered">Write the input into “Standard input” in the options.</p>
      )}
      {phase.value === "idle" && <Empty />}
      {phase.value === "ended" && found && !log.length && <p class="faint centered">The program printed nothing.</p>}
      {phase.value !== "idle" && !(found && !log.length) && <Output log={log} label="Output of the program" />}
      {isLong.value && phase.value === "running" && !hasEndedInput.value && <Input />}
      {found && <OutputFiles found={found.files} />}
    </section>
  );
}

function Empty() {
  return (
    <div class="empty">
      <p>
        Press Run, or <kbd>Ctrl</kbd> <kbd>Enter</kbd>, to run the program.
      </p>
      <p class="faint">
        Its output appears here, line by line.{" "}
        {key.value ? "Its input is in the options." : "You can type input while it runs."}
      </p>
    </div>
  );
}

function State() {
  const found = answer.value;
  if (phase.value === "waiting") return isLong.value ? <Badge name="waiting" more=" in the queue" /> : null;
  if (phase.value === "running") return isLong.value ? <Runs /> : null;
  if (isStopped.value) return <Badge name="stopped" />;
  if (!found) return null;
  return (
    <>
      <Ending answer={found} />
      {ranCode.value !== code.value && <small class="faint">of the program before its last change</small>}
      {found.usage.queue_time > 0.05 && <small class="faint">waited {seconds(found.usage.queue_time)}</small>}
    </>
  );
}

/** Says that the program runs, and when it ends at the latest. */
function Runs() {
  const own = runtimeOf(runtimeName.value)?.limits.wall_time ?? 0;
  return (
    <>
      <Badge name="running" />
      <small class="faint">ends after {seconds(Math.min(limits.value.wall_time ?? own, own))} at the latest</small>
    </>
  );
}

/** A line to type input for the program that runs. */
function Input() {
  const current = running.value;
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (document.activeElement?.matches("body, button.stop")) field.current?.focus();
    const form = field.current?.form;
    return () => {
      const isInside = form?.contains(document.activeElement);
      if (isInside) document.querySelector<HTMLElement>(".panel .output .cm-content")?.focus();
    };
  }, []);
  if (!current?.isInteractive) {
    return (
      <p class="faint centered">
        This program cannot get input while it runs. Write it into “Standard input” in the options.
      </p>
    );
  }
  const endInput = () => {
    const rest = field.current?.value;
    if (rest) {
      log.add("stdin", rest);
      current.write(rest);
    }
    current.endInput();
    hasEndedInput.value = true;
  };
  const submit = (event: Event) => {
    event.preventDefault();
    const line = `${(field.current as HTMLInputElement).value}\n`;
    log.add("stdin", line);
    current.write(line);
    (field.current as HTMLInputElement).value = "";
  };
  return (
    <form class="stdin" onSubmit={submit}>
      <label>
        <span class="prompt" aria-hidden="true">
          ›
        </span>
        <span class="hidden">Input for the program</span>
        <input ref={field} type="text" autocomplete="off" spellcheck={false} placeholder="Type a line of input" />
      </label>
      <button type="submit">Send</button>
      <button type="button" title="Send end of file, as Ctrl-D does" onClick={endInput}>
        <Icon name="stop" /> End input
      </button>
    </form>
  );
}
