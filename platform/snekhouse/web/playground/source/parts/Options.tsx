import { args, type LimitName, limits, mode, runtimeName, stdin } from "../state/program";
import { runtimeOf } from "../state/server";
import { bytes } from "../text/format";

/** Arguments, standard input and limits of the program. */
export function Options({ withInput = true }: { withInput?: boolean }) {
  const changed = Object.keys(limits.value).length + (args.value ? 1 : 0) + (withInput && stdin.value ? 1 : 0);
  return (
    <details class="options">
      <summary>Options{changed ? ` (${changed} set)` : ""}</summary>
      <div class="fields">
        <label>
          <span>Arguments</span>
          <input
            type="text"
            spellcheck={false}
            value={args.value}
            placeholder="sys.argv[1:], as in a shell"
            onInput={(event) => {
              args.value = event.currentTarget.value;
            }}
          />
        </label>
        {withInput && (
          <label>
            <span>{mode.value === "run" ? "Standard input, before what you type" : "Standard input"}</span>
            <textarea
              rows={2}
              spellcheck={false}
              value={stdin.value}
              onInput={(event) => {
                stdin.value = event.currentTarget.value;
              }}
            />
          </label>
        )}
        <Limits />
      </div>
    </details>
  );
}

interface Range {
  name: LimitName;
  label: string;
  least: number;
  /** The smallest step. */
  unit: number;
  shown(value: number): string;
}

const RANGES: Range[] = [
  {
    name: "wall_time",
    label: "Time",
    least: 0.1,
    unit: 0.1,
    shown: (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} s`,
  },
  { name: "memory", label: "Memory", least: 8 << 20, unit: 1 << 20, shown: bytes },
  { name: "processes", label: "Processes", least: 1, unit: 1, shown: String },
  { name: "output", label: "Output", least: 1024, unit: 1024, shown: bytes },
];

const STEPS = 100;
const DIRECTIONS: Record<string, number> = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

/** A slider for each limit, up to the runtime's own. */
function Limits() {
  const own = runtimeOf(runtimeName.value)?.limits;
  if (!own) return null;
  return (
    <fieldset>
      <legend>Limits</legend>
      {RANGES.map((range) => {
        const most = own[range.name];
        return most === null || most <= range.least ? null : <Slider key={range.name} range={range} most={most} />;
      })}
    </fieldset>
  );
}

/** A slider with a logarithmic scale, so that small limits can be chosen as well as large ones. */
function Slider({ range, most }: { range: Range; most: number }) {
  const { name, label, least, unit, shown } = range;
  const value = Math.min(limits.value[name] ?? most, most);
  const ratio = most / least;
  const position = Math.round((STEPS * Math.log(value / least)) / Math.log(ratio));
  const set = (wanted: number) => {
    const { [name]: _, ...others } = limits.value;
    limits.value = wanted >= most ? others : { ...others, [name]: Math.max(least, rounded(wanted, unit)) };
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const direction = DIRECTIONS[event.key];
    if (!direction) return;
    event.preventDefault(); // a step of the slider may be less than a unit
    set(value + direction * unit);
  };
  return (
    <label class="slider">
      <span>{label}</span>
      <input
        type="range"
        min={0}
        max={STEPS}
        value={position}
        aria-label={label}
        aria-valuetext={shown(value)}
        onKeyDown={onKeyDown}
        onInput={({ currentTarget: { valueAsNumber: step } }) =>
          set(step >= STEPS ? most : least * ratio ** (step / STEPS))
        }
      />
      <output>{shown(value)}</output>
    </label>
  );
}

function rounded(value: number, unit: number): number {
  return Math.round(Math.round(value / unit) * unit * 10) / 10;
}
