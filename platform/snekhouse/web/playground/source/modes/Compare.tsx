import { computed, signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { events, throwIfRefused } from "../api/client";
import type { Answer, Comparison, Group, ServerEvent } from "../api/types";
import { compared } from "../api/worker";
import { Failure, Notice } from "../parts/Notice";
import { Scrolling } from "../parts/Scrolling";
import { Badge, Ending, Used } from "../parts/Status";
import { announce } from "../state/announce";
import { asked, chosen, isSame, request, stdin } from "../state/program";
import { available, described, runtimes } from "../state/server";
import type { Part } from "../text/differences";
import { bytes, counted, seconds } from "../text/format";
import { Screen } from "../text/screen";
import type { Actions } from "./actions";

type Normalization = "addresses" | "lines" | "versions";

/** Characters of output that a group shows. */
const MAX_SHOWN = 20_000;
const ADDRESS = /^0x[0-9a-f]+$/i;

const results = signal<Record<string, Answer>>({});
const comparison = signal<Comparison | null>(null);
const failure = signal<Error | null>(null);
const running = signal<AbortController | null>(null);
const normalize = signal<Record<Normalization, boolean>>({ addresses: true, lines: false, versions: false });
const selected = signal("");
const isStopped = signal(false);
/** What would be compared now, and what the results are of. */
const comparedNow = computed(() => [...asked.value, stdin.value, chosen.value, ...Object.values(normalize.value)]);
const ran = signal<unknown[]>([]);

/** The runtimes that are compared. */
const wanted = computed(() => {
  const names = available.value.map((each) => each.name);
  const kept = names.filter((name) => chosen.value.includes(name));
  return kept.length ? kept : names;
});

export const actions: Actions = {
  label: computed(() => `Run in ${counted(wanted.value.length, "version")}`),
  isRunning: computed(() => running.value !== null),
  failedLine: signal(null),
  canRun: computed(() => wanted.value.length > 0),
  run,
  stop: () => running.value?.abort(),
};

/** Run the program in the chosen runtimes; a comparison that still runs is given up. */
async function run(): Promise<void> {
  running.value?.abort();
  if (!wanted.value.length) return;
  const aborting = new AbortController();
  running.value = aborting;
  results.value = {};
  comparison.value = null;
  failure.value = null;
  selected.value = "";
  isStopped.value = false;
  ran.value = comparedNow.value;
  const included = available.value.filter((each) => wanted.value.includes(each.name));
  const body = { ...request(included), colors: false, runtimes: wanted.value, normalize: normalize.value };
  try {
    for await (const event of events("compare", { body, signal: aborting.signal })) {
      aborting.signal.throwIfAborted();
      throwIfRefused(event);
      take(event);
    }
    const groups = (comparison.value as Comparison | null)?.groups.length ?? 0;
    announce(groups === 1 ? "All results are equal." : `${groups} different results.`);
  } catch (error) {
    if ((error as Error).name !== "AbortError") failure.value = error as Error;
    else if (running.value === aborting) isStopped.value = true;
  } finally {
    if (running.value === aborting) running.value = null;
  }
}

function take(event: ServerEvent): void {
  if (event.event === "result") {
    results.value = { ...results.value, [event.runtime as string]: event as unknown as Answer };
  } else if (event.event === "end") {
    comparison.value = event as unknown as Comparison;
  }
}

/** The panel beside the editor: a card for each group of equal results, and a chart of time and memory. */
export function ComparePanel() {
  const arrived = Object.keys(results.value).map((name): Group => ({ runtimes: [name], diff: "" }));
  const groups = comparison.value?.groups ?? arrived;
  const done = Object.keys(results.value).length;
  return (
    <section class="panel scrolls" aria-label="Every version" aria-busy={running.value !== null}>
      <header class="panel-head">
        <h2>Every version</h2>
        {running.value && !comparison.value && <Badge name="running" more={`, ${done} of ${wanted.value.length}`} />}
        {isStopped.value && <Badge name="stopped" />}
        {comparison.value && (
          <span class="faint">
            {groups.length === 1 ? "All results are equal." : `${groups.length} different results`}
          </span>
        )}
        {comparison.value && !isSame(ran.value, comparedNow.value) && (
          <small class="faint">from before the last change</small>
        )}
      </header>
      <Choice />
      {failure.value && <Failure error={failure.value} onRetry={run} />}
      {comparison.value?.skipped.length ? (
        <Notice kind="warn">Skipped, because the time was up: {comparison.value.skipped.join(", ")}.</Notice>
      ) : null}
      {groups.map((group) => (
        <GroupCard key={group.runtimes[0]} group={group} first={groups[0] as Group} />
      ))}
      {done > 1 && <Chart />}
      {!done && !running.value && !failure.value && (
        <div class="empty">
          <p>Run one program in every Python, and see what differs.</p>
          <p class="faint">
            Versions with equal results share a card. Words that differ from the first card are marked.
          </p>
        </div>
      )}
    </section>
  );
}

/** Which runtimes to compare, and what does not count as a difference. */
function Choice() {
  const toggle = (name: string) => {
    const names = wanted.value.includes(name) ? wanted.value.filter((each) => each !== name) : [...wanted.value, name];
    chosen.value = names.length === available.value.length ? [] : names;
  };
  return (
    <div class="choice">
      <fieldset class="chips" aria-label="Versions to compare">
        {(runtimes.value ?? []).map((each) => (
          <button
            key={each.name}
            type="button"
            class={`chip toggle ${results.value[each.name]?.status ?? ""}`}
            aria-pressed={wanted.value.includes(each.name)}
            disabled={each.status !== "available"}
            title={each.reason || described(each)}
            onClick={() => toggle(each.name)}
          >
            {each.name}
          </button>
        ))}
      </fieldset>
      <fieldset class="checks" aria-label="What does not count as a difference">
        <span class="faint">Ignore</span>
        {(["addresses", "lines", "versions"] as const).map((name) => (
          <label key={name}>
            <input
              type="checkbox"
              checked={normalize.value[name]}
              onChange={() => {
                normalize.value = { ...normalize.value, [name]: !normalize.value[name] };
              }}
            />
            {name === "lines" ? "line numbers" : name}
          </label>
        ))}
      </fieldset>
    </div>
  );
}

/** The result of some runtimes; a click on one of them shows its own output and cost. */
function GroupCard({ group, first }: { group: Group; first: Group }) {
  const name = group.runtimes.find((each) => each === selected.value) ?? (group.runtimes[0] as string);
  const result = results.value[name];
  const reference = results.value[first.runtimes[0] as string];
  return result && reference ? (
    <Card group={group} first={first} name={name} result={result} reference={reference} />
  ) : null;
}

interface CardProps {
  group: Group;
  first: Group;
  /** The runtime whose result is shown. */
  name: string;
  result: Answer;
  reference: Answer;
}

function Card({ group, first, name, result, reference }: CardProps) {
  const isFirst = group === first || !comparison.value;
  const text = shown(result);
  const parts = useMarked(text, isFirst ? null : shown(reference));
  return (
    <article class={`card ${isFirst ? "first" : ""}`}>
      <header>
        <div class="chips">
          {group.runtimes.map((each) => (
            <button
              key={each}
              type="button"
              class="chip"
              aria-pressed={each === name}
              onClick={() => {
                selected.value = each;
              }}
            >
              {each}
            </button>
          ))}
        </div>
        <Ending answer={result} />
        <Used usage={result.usage} />
      </header>
      <Scrolling class="text" label={`Output of ${group.runtimes.join(", ")}`}>
        {parts.map((part, index) => (part.differs ? <mark key={index}>{part.text}</mark> : part.text))}
        {!text && <span class="faint">No output.</span>}
      </Scrolling>
      {result.error?.name === "EOFError" && <p class="faint">Write the input into “Standard input” in the options.</p>}
      {result.message && <p class="faint">{result.message}</p>}
      {result.stdout.length > MAX_SHOWN && <p class="faint">Only the first {MAX_SHOWN} characters are shown.</p>}
    </article>
  );
}

const texts = new WeakMap<Answer, string>();

/** The output without the sequences of a terminal. */
function shown(result: Answer): string {
  const known = texts.get(result);
  if (known !== undefined) return known;
  const screen = new Screen();
  const { added } = screen.push(result.stdout.slice(0, MAX_SHOWN));
  const text = [...added, ...screen.end().added].map((segment) => segment.text).join("");
  texts.set(result, text);
  return text;
}

/** A text with its differences from another one marked, if there is one. */
function useMarked(text: string, other: string | null): Part[] {
  const ignored = normalize.value.addresses ? ADDRESS : null;
  const [found, setFound] = useState<{ of: string; parts: Part[] } | null>(null);
  useEffect(() => {
    if (other === null) return;
    let isWanted = true;
    compared({ text, other, ignored }).then((parts) => isWanted && setFound({ of: text, parts }));
    return () => {
      isWanted = false;
    };
  }, [text, other, ignored]);
  return other !== null && found?.of === text ? found.parts : [{ text, differs: false }];
}

/** Time and memory of each runtime, as bars. */
function Chart() {
  const rows = Object.values(results.value).sort((one, other) => order(one.runtime) - order(other.runtime));
  const longest = Math.max(...rows.map((row) => row.usage.wall_time));
  const largest = Math.max(...rows.map((row) => row.usage.memory ?? 0));
  return (
    <section class="chart" aria-label="Time and memory by version">
      <h3>Time and memory</h3>
      <table>
        <thead>
          <tr>
            <th scope="col">Version</th>
            <th scope="col">Time</th>
            <th scope="col">Memory</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ runtime, usage }) => (
            <tr key={runtime}>
              <th scope="row">{runtime}</th>
              <td>
                <Bar share={usage.wall_time / longest} text={seconds(usage.wall_time)} />
              </td>
              <td>{usage.memory !== null && <Bar share={usage.memory / largest} text={bytes(usage.memory)} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Bar({ share, text }: { share: number; text: string }) {
  return (
    <span class="bar-line">
      <span class="track">
        <span class="fill" style={{ width: `${Math.round(100 * share)}%` }} />
      </span>
      <span>{text}</span>
    </span>
  );
}

function order(name: string): number {
  return (runtimes.value ?? []).findIndex((each) => each.name === name);
}
