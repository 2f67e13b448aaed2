import { useId } from "preact/hooks";

export interface Line {
  label: string;
  points: { at: number; value: number }[];
}

interface Props {
  title: string;
  lines: Line[];
  format(value: number): string;
}

const WIDTH = 300;
const HEIGHT = 84;

/** Lines over the last minutes. The newest value is shown beside the title, and the largest below. */
export function Chart({ title, lines, format }: Props) {
  const id = useId();
  const points = lines.flatMap((line) => line.points);
  const most = Math.max(...points.map((point) => point.value), 0);
  const [first, last] = [Math.min(...points.map(({ at }) => at)), Math.max(...points.map(({ at }) => at))];
  const span = Math.max(last - first, 1);
  const path = (line: Line) => line.points.map(({ at, value }) => `${x(at, first, span)},${y(value, most)}`).join(" ");
  return (
    <figure class="panel graph">
      <figcaption id={id}>
        <h2>{title}</h2>
        {lines.map((line, index) => (
          <span key={line.label} class={`legend line-${index}`}>
            {lines.length > 1 && `${line.label} `}
            <strong>{line.points.length ? format((line.points.at(-1) as { value: number }).value) : "none"}</strong>
          </span>
        ))}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        <line class="axis" x1="0" x2={WIDTH} y1={HEIGHT - 1} y2={HEIGHT - 1} />
        {lines.map((line, index) => (
          <polyline key={line.label} class={`line-${index}`} points={path(line)} />
        ))}
      </svg>
      <small class="faint">
        {points.length ? `at most ${format(most)} in the last ${Math.ceil(span / 60_000)} min` : "waiting for readings"}
      </small>
    </figure>
  );
}

function x(at: number, first: number, span: number): string {
  return ((WIDTH * (at - first)) / span).toFixed(1);
}

function y(value: number, most: number): string {
  return (HEIGHT - 3 - (most > 0 ? (HEIGHT - 8) * (value / most) : 0)).toFixed(1);
}
