import { described, listingError, loadRuntimes, runtimeOf, runtimes } from "../state/server";

interface Props {
  value: string;
  onChange(name: string): void;
  /** Why another one cannot be chosen now. */
  locked?: string;
}

/** A list of runtimes with their versions; those that are unavailable cannot be chosen. */
export function RuntimeSelect({ value, onChange, locked = "" }: Props) {
  const found = runtimes.value;
  if (!found) {
    return listingError.value ? (
      <button type="button" onClick={loadRuntimes} title={listingError.value}>
        Load the runtimes again
      </button>
    ) : (
      <span class="skeleton select" role="status" aria-label="Loading the runtimes" />
    );
  }
  const current = runtimeOf(value);
  return (
    <span class="select">
      <select
        aria-label="Runtime"
        value={current?.name ?? ""}
        disabled={locked !== "" || !found.length}
        title={locked}
        onChange={(event) => onChange(event.currentTarget.value)}
      >
        {!found.length && <option value="">No runtimes</option>}
        {found.map((each) => (
          <option key={each.name} value={each.name} disabled={each.status !== "available"} title={each.reason}>
            {described(each)}
          </option>
        ))}
      </select>
    </span>
  );
}

/** Why the chosen runtime cannot run a program; empty if it can. */
export function unavailability(name: string): string {
  const found = runtimes.value;
  if (found && !found.length) return "The registry of this server lists no runtime.";
  const current = runtimeOf(name);
  return current?.status === "unavailable" ? `${current.name} is unavailable: ${current.reason}` : "";
}
