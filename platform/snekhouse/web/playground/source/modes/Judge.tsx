import { computed, signal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { events, throwIfRefused } from "../api/client";
import type { CaseResult, Judgement, Runtime } from "../api/types";
import { focusOn } from "../parts/focus";
import { Icon } from "../parts/Icon";
import { Failure, Notice } from "../parts/Notice";
import { Badge } from "../parts/Status";
import { announce } from "../state/announce";
import { asked, type Case, cases, isSame, judged, MOST, match, request, runtimeName } from "../state/program";
import { available, runtimeOf } from "../state/server";
import { casesOf, pairsOf } from "../text/cases";
import { bytes, counted, seconds, words } from "../text/format";
import { visible } from "../text/screen";
import type { Actions } from "./actions";

/** Bytes of files that become cases: text fields are slow with more. */
const MAX_SIZE = 4 * 1024 * 1024;

/** The result of each case that has one. An edited case is another one, without a result. */
const results = signal<Map<Case, CaseResult>>(new Map());
const judgement = signal<Judgement | null>(null);
const failure = signal<Error | null>(null);
const running = signal<AbortController | null>(null);
const stopsEarly = signal(false);
const isStopped = signal(false);
/** How many cases are judged. */
const count = signal(0);
/** What would be judged now, and what the results are of. */
const judgedNow = computed(() => [...asked.value, runtimeName.value, match.value, cases.value]);
const ran = signal<unknown[]>([]);
/** What became of files that were added. */
const outcome = signal("");

export const actions: Actions = {
  label: computed(() => `Judge ${counted(cases.value.length, "case")}`),
  isRunning: computed(() => running.value !== null),
  failedLine: signal(null),
  canRun: computed(() => available.value.length > 0),
  run,
  stop: () => running.value?.abort(),
};

async function run(): Promise<void> {
  if (running.value) return;
  if (!cases.value.length) {
    failure.value = new Error("Add a case first: its input, and the output that you expect.");
    return;
  }
  const runtime = runtimeOf(runtimeName.value);
  if (!runtime) return;
  const tried = cases.value;
  const aborting = new AbortController();
  running.value = aborting;
  const arrived = new Map<Case, CaseResult>();
  let frame = 0;
  results.value = arrived;
  judgement.value = null;
  failure.value = null;
  isStopped.value = false;
  outcome.value = "";
  count.value = tried.length;
  ran.value = judgedNow.value;
  try {
    const path = `judge/${encodeURIComponent(runtime.name)}`;
    for await (const event of events(path, { body: judgeRequest(runtime), signal: aborting.signal })) {
      throwIfRefused(event);
      if (event.event === "case") {
        arrived.set(tried[event.index as number] as Case, event as unknown as CaseResult);
        frame ||= requestAnimationFrame(() => {
          frame = 0;
          results.value = new Map(arrived);
        });
      } else if (event.event === "end") {
        judgement.value = event as unknown as Judgement;
      }
    }
    if (judgement.value) announce(told(judgement.value));
  } catch (error) {
    if ((error as Error).name !== "AbortError") failure.value = error as Error;
    else isStopped.value = true;
  } finally {
    cancelAnimationFrame(frame);
    results.value = new Map(arrived);
    running.value = null;
  }
}

function judgeRequest(runtime: Runtime): object {
  const { stdin: _, ...rest } = request([runtime]);
  return {
    ...rest,
    colors: false,
    separate_stderr: true,
    ...judged(cases.value, match.value),
    outputs: "failed",
    stop: stopsEarly.value ? "first_failure" : "never",
  };
}

function told(found: Judgement): string {
  return `${words(found.verdict)}: ${found.passed} of ${counted(found.count, "case")} passed.`;
}

/** The panel beside the editor: the cases, with their verdicts as they come. */
export function JudgePanel() {
  const found = judgement.value;
  return (
    <section class="panel scrolls" aria-label="Cases" aria-busy={running.value !== null}>
      <header class="panel-head">
        <h2>Cases</h2>
        {running.value && !found && <Badge name="running" more={`, ${results.value.size} of ${count.value}`} />}
        {isStopped.value && <Badge name="stopped" />}
        {found && (
          <>
            <Badge name={found.verdict} />
            <span class="faint">
              {found.passed} of {found.count} passed, {seconds(found.usage.wall_time)}
            </span>
            {!isSame(ran.value, judgedNow.value) && <small class="faint">from before the last change</small>}
          </>
        )}
      </header>
      <Tools />
      {failure.value && <Failure error={failure.value} onRetry={run} />}
      {outcome.value && <Notice>{outcome.value}</Notice>}
      <ol class="cases">
        {cases.value.map((each, index) => (
          <CaseRow key={index} index={index} each={each} result={results.value.get(each)} />
        ))}
      </ol>
      {!cases.value.length && (
        <div class="empty">
          <p>Judge a program by its cases: an input, and the output that is expected.</p>
          <p class="faint">Add cases by hand, or drop a folder here that has pairs such as 1.in and 1.out.</p>
        </div>
      )}
    </section>
  );
}

/** Add the cases in files; say so if there are none. */
export async function addCases(found: File[]): Promise<void> {
  const pairs = pairsOf(found);
  const size = pairs.reduce((sum, { input, output }) => sum + input.size + output.size, 0);
  if (cases.value.length + pairs.length > MOST.cases || size > MAX_SIZE) {
    const most = `${MOST.cases} cases, and ${bytes(MAX_SIZE)} at once`;
    throw new Error(`The page takes at most ${most}. For more, use "snekhouse judge" or POST /judge.`);
  }
  const added = await casesOf(pairs);
  if (!added.length) {
    failure.value = new Error("No cases found: each needs a file NAME.in, and beside it NAME.out or NAME.ans.");
    return;
  }
  failure.value = null;
  cases.value = [...cases.value, ...added];
  const left = found.length - 2 * added.length;
  outcome.value = `${counted(added.length, "case")} added.${left ? ` Left out: ${counted(left, "file")} without a partner.` : ""}`;
  announce(outcome.value);
}

function Tools() {
  const folder = useRef<HTMLInputElement>(null);
  const add = () => {
    failure.value = null;
    cases.value = [...cases.value, { name: "", stdin: "", expected: "" }];
    focusOn(".case:last-child textarea");
  };
  return (
    <div class="tools">
      <button type="button" onClick={add}>
        <Icon name="add" /> Add case
      </button>
      <button type="button" onClick={() => folder.current?.click()}>
        <Icon name="file" /> Add folder
      </button>
      <input
        ref={folder}
        type="file"
        hidden
        multiple
        {...{ webkitdirectory: true }}
        onChange={(event) => {
          addCases(Array.from(event.currentTarget.files ?? [])).catch((error: Error) => {
            failure.value = error;
          });
          event.currentTarget.value = "";
        }}
      />
      {cases.value.length > 1 && (
        <button
          type="button"
          class="quiet"
          onClick={() => {
            running.value?.abort();
            cases.value = [];
            results.value = new Map();
            judgement.value = null;
            focusOn(".tools button");
          }}
        >
          <Icon name="trash" /> Remove all
        </button>
      )}
      <label class="select">
        <span>Compare</span>
        <select
          value={match.value}
          onChange={(event) => {
            match.value = event.currentTarget.value;
          }}
        >
          <option value="trimmed">ignore spaces at line ends</option>
          <option value="exact">every character</option>
          <option value="tokens">word by word</option>
          <option value="float">numbers to 1e-6</option>
        </select>
      </label>
      <label>
        <input
          type="checkbox"
          checked={stopsEarly.value}
          onChange={() => {
            stopsEarly.value = !stopsEarly.value;
          }}
        />
        Stop at the first failure
      </label>
    </div>
  );
}

function CaseRow({ index, each, result }: { index: number; each: Case; result: CaseResult | undefined }) {
  const number = index + 1;
  const set = (changed: Partial<Case>) => {
    cases.value = cases.value.with(index, { ...each, ...changed });
  };
  return (
    <li class="card case">
      <header>
        <h3>{each.name || `Case ${number}`}</h3>
        {result && <Badge name={result.verdict} />}
        {result?.usage && <small class="faint">{seconds(result.usage.wall_time)}</small>}
        <button
          type="button"
          class="quiet"
          aria-label={`Remove case ${number}`}
          onClick={() => {
            cases.value = cases.value.toSpliced(index, 1);
            focusOn(".tools button");
          }}
        >
          <Icon name="close" />
        </button>
      </header>
      <div class="pair">
        <label>
          <span>Input</span>
          <textarea
            rows={2}
            spellcheck={false}
            aria-label={`Input of case ${number}`}
            value={each.stdin}
            onInput={(event) => set({ stdin: event.currentTarget.value })}
          />
        </label>
        <label>
          <span>Expected output</span>
          <textarea
            rows={2}
            spellcheck={false}
            aria-label={`Expected output of case ${number}`}
            value={each.expected}
            onInput={(event) => set({ expected: event.currentTarget.value })}
          />
        </label>
      </div>
      {result && result.verdict !== "accepted" && <Why result={result} />}
    </li>
  );
}

/** Why a case was not accepted. */
function Why({ result }: { result: CaseResult }) {
  const difference = result.difference;
  const output = difference ? result.stderr : result.stderr || result.stdout;
  return (
    <div class="why">
      {result.reason && <p>{result.reason}</p>}
      {difference && (
        <dl>
          <dt>Line {difference.line}, expected</dt>
          <dd>
            {difference.expected === null ? <em>no line</em> : <code>{visible(difference.expected) || " "}</code>}
          </dd>
          <dt>But the program printed</dt>
          <dd>{difference.actual === null ? <em>no line</em> : <code>{visible(difference.actual) || " "}</code>}</dd>
        </dl>
      )}
      {output && <pre class="text">{visible(output.slice(-2000))}</pre>}
    </div>
  );
}
