/** The page at `/admin/`: the state of the server for operators. It changes nothing, except by a probe or a reload. */

import { render } from "preact";
import { useRef } from "preact/hooks";
import { Chart, type Line } from "./admin/Chart";
import { Runtimes } from "./admin/Runtimes";
import {
  begin,
  busy,
  enter,
  failure,
  isOff,
  isOpen,
  leave,
  type Overview,
  overview,
  type Reading,
  readings,
  reload,
  told,
} from "./admin/state";
import { Brand } from "./parts/Brand";
import { Icon } from "./parts/Icon";
import { Failure, Notice } from "./parts/Notice";
import { Badge } from "./parts/Status";
import { ThemeButton } from "./parts/ThemeButton";
import { applyTheme } from "./state/theme";
import { bytes, seconds } from "./text/format";
import { between, quantile, total } from "./text/metrics";

function Admin() {
  return (
    <div class="page admin">
      <header class="bar">
        <Brand home=".." />
        <span class="spacer" />
        <ThemeButton />
        {isOpen.value && (
          <button type="button" class="quiet" onClick={leave}>
            Forget the token
          </button>
        )}
      </header>
      <main class="admin-main">
        <h1>Operators</h1>
        {failure.value && <Failure error={failure.value} />}
        {overview.value ? <Overviews found={overview.value} /> : !isOff.value && <Entry />}
      </main>
    </div>
  );
}

function Entry() {
  const field = useRef<HTMLInputElement>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    enter((field.current as HTMLInputElement).value.trim());
  };
  return (
    <form class="panel entry" onSubmit={submit}>
      <label>
        <span>Admin token</span>
        <input ref={field} type="password" autocomplete="off" required />
      </label>
      <p class="faint">
        The token that the server was started with (SNEKHOUSE_ADMIN_TOKEN or SNEKHOUSE_ADMIN_TOKEN_FILE). The page keeps
        it until you close this tab.
      </p>
      <button type="submit" class="run">
        Show the state
      </button>
    </form>
  );
}

function Overviews({ found }: { found: Overview }) {
  return (
    <>
      <Registry found={found} />
      {told.value && <Notice>{told.value}</Notice>}
      <Charts all={readings.value} />
      <Runtimes found={found.runtimes} />
    </>
  );
}

function Registry({ found }: { found: Overview }) {
  const { source, hash, last_reload: last } = found.registry;
  return (
    <section class="panel registry" aria-label="Registry">
      <dl>
        <div>
          <dt>Registry</dt>
          <dd>{source}</dd>
        </div>
        <div>
          <dt>SHA-256</dt>
          <dd title={hash}>{hash.slice(0, 12)}</dd>
        </div>
        <div>
          <dt>Last reload</dt>
          <dd>
            {last ? (
              <>
                <Badge name={last.outcome === "reloaded" ? "ok" : last.outcome} /> {new Date(last.at).toLocaleString()}
              </>
            ) : (
              "none"
            )}
          </dd>
        </div>
      </dl>
      <button type="button" disabled={busy.value !== ""} onClick={reload}>
        <Icon name="refresh" /> {busy.value === "reload" ? "Reloading" : "Reload"}
      </button>
      {last?.error && <Notice kind="bad">{last.error}</Notice>}
    </section>
  );
}

function Charts({ all }: { all: Reading[] }) {
  const gauge = (name: string, label: string): Line => ({
    label,
    points: all.map(({ at, metrics }) => ({ at, value: total(metrics, name) })),
  });
  const change = (label: string, of: (before: Reading, after: Reading) => number | null): Line => ({
    label,
    points: all.slice(1).flatMap((after, index) => {
      const value = of(all[index] as Reading, after);
      return value === null ? [] : [{ at: after.at, value }];
    }),
  });
  const rate = (name: string, label: string, labels = {}) =>
    change(
      label,
      (before, after) => (1000 * between(before.metrics, after.metrics, name, labels)) / (after.at - before.at),
    );
  const slow = (name: string, share: number, label: string) =>
    change(label, (before, after) => quantile(before.metrics, after.metrics, name, share));
  const whole = (value: number) => String(Math.round(value));
  const each = (value: number) => `${value.toFixed(1)}/s`;
  return (
    <section class="graphs" aria-label="The last minutes">
      <Chart title="Evaluations" lines={[rate("snekhouse_evals_total", "all")]} format={each} />
      <Chart
        title="Evaluations in progress"
        lines={[gauge("snekhouse_evals_in_progress", "running"), gauge("snekhouse_queue_length", "waiting")]}
        format={whole}
      />
      <Chart
        title="Time of an evaluation"
        lines={[slow("snekhouse_eval_seconds", 0.5, "median"), slow("snekhouse_eval_seconds", 0.95, "95th percentile")]}
        format={seconds}
      />
      <Chart title="Refused" lines={[rate("snekhouse_evals_total", "refused", { status: "refused" })]} format={each} />
      <Chart title="Sessions" lines={[gauge("snekhouse_sessions", "open")]} format={whole} />
      <Chart title="Memory of the server" lines={[gauge("process_resident_memory_bytes", "resident")]} format={bytes} />
    </section>
  );
}

applyTheme();
begin();
const place = document.getElementById("page") as HTMLElement;
place.replaceChildren();
render(<Admin />, place);
