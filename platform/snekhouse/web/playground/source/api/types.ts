/** The parts of the HTTP API that the pages use; docs/reference/http.md describes each field. */

export interface Limits {
  wall_time: number;
  memory: number | null;
  processes: number;
  output: number;
  address_space?: number;
  cpus?: number | null;
}

export interface Runtime {
  name: string;
  aliases: string[];
  default: boolean;
  status: "available" | "unavailable";
  reason: string;
  start: "fork" | "cold";
  start_reason: string;
  implementation: string | null;
  version: string | null;
  free_threaded: boolean | null;
  jit: boolean | null;
  packages: { name: string; version: string }[];
  limits: Limits;
}

/** A file of a request or an answer; `content` is in base64. */
export interface File64 {
  path: string;
  content: string;
  size: number;
}

export interface Usage {
  wall_time: number;
  cpu_time: number;
  queue_time: number;
  memory: number | null;
}

export interface Answer {
  stdout: string;
  stderr: string | null;
  returncode: number | null;
  status: string;
  message: string;
  error: { name: string; value: string; line: number | null } | null;
  signal: string | null;
  truncated: boolean;
  files: File64[];
  runtime: string;
  limits: Limits;
  usage: Usage;
}

export interface CellAnswer extends Answer {
  state: "kept" | "rolled_back" | "lost";
  execution_count: number;
  result: Record<string, string> | null;
  figures: string[];
}

export interface Session {
  id: string;
  runtime: string;
  execution_count: number;
  threads: number;
  checkpoints: number;
  expires: number;
}

export interface Request {
  input?: string;
  args?: string[];
  files?: { path: string; content: string }[];
  stdin?: string;
  separate_stderr?: boolean;
  colors?: boolean;
  limits?: Partial<Pick<Limits, "wall_time" | "memory" | "processes" | "output">>;
}

export interface Group {
  runtimes: string[];
  diff: string;
}

export interface Comparison {
  default: string;
  groups: Group[];
  skipped: string[];
}

export interface Difference {
  line: number;
  expected: string | null;
  actual: string | null;
  diff: string;
}

export interface CaseResult {
  index: number;
  id: string;
  verdict: string;
  reason: string;
  difference: Difference | null;
  stdout: string | null;
  stderr: string | null;
  usage: Usage | null;
}

export interface Judgement {
  verdict: string;
  passed: number;
  count: number;
  usage: { wall_time: number; cpu_time: number };
}

export interface ErrorBody {
  title: string;
  description: string;
}

/** An event of a stream; the other fields depend on its name. */
export type ServerEvent = { event: string } & Record<string, unknown>;
