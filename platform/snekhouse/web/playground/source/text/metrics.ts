/**
 * Metrics in the text format of Prometheus, and how they change.
 *
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */

/** The samples of a metric: its labels, and its value. */
export interface Sample {
  labels: Record<string, string>;
  value: number;
}

export type Metrics = Map<string, Sample[]>;

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([A-Za-z_]\w*)="((?:\\.|[^"\\])*)"/g;

/** Read the metrics of an answer. */
export function parsed(text: string): Metrics {
  const found: Metrics = new Map();
  for (const line of text.split("\n")) {
    const parts = LINE.exec(line);
    if (!parts) continue;
    const labels = Object.fromEntries(Array.from((parts[2] ?? "").matchAll(LABEL), ([, name, value]) => [name, value]));
    const name = parts[1] as string;
    found.set(name, [...(found.get(name) ?? []), { labels, value: Number(parts[3]) }]);
  }
  return found;
}

/** Add up the samples of a metric that have some labels; 0 if there are none. */
export function total(metrics: Metrics, name: string, labels: Record<string, string> = {}): number {
  const wanted = Object.entries(labels);
  const samples = (metrics.get(name) ?? []).filter((each) =>
    wanted.every(([key, value]) => each.labels[key] === value),
  );
  return samples.reduce((sum, each) => sum + each.value, 0);
}

/** The quantile of a histogram between two readings, by the bounds of its buckets; null if nothing was counted. */
export function quantile(before: Metrics, after: Metrics, name: string, share: number): number | null {
  const bounds = new Set((after.get(`${name}_bucket`) ?? []).map((each) => each.labels.le as string));
  const counted = [...bounds]
    .map((le) => ({
      bound: Number(le.replace("+Inf", "Infinity")),
      count: between(before, after, `${name}_bucket`, { le }),
    }))
    .sort((one, other) => one.bound - other.bound);
  const all = counted.at(-1)?.count ?? 0;
  if (all <= 0) return null;
  const reached = counted.findIndex((each) => each.count >= share * all);
  const { bound } = counted[reached] as { bound: number };
  return Number.isFinite(bound) ? bound : (counted.at(-2)?.bound ?? null);
}

/** How much a counter grew between two readings; after a restart of the server, what it counted since. */
export function between(before: Metrics, after: Metrics, name: string, labels: Record<string, string> = {}): number {
  const grown = total(after, name, labels) - total(before, name, labels);
  return grown >= 0 ? grown : total(after, name, labels);
}
