import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, OfflineError } from "../api/client";
import { keepingFocus } from "./focus";

/** A message in a box. `kind` is `bad`, `warn` or `plain`. */
export function Notice({ kind = "plain", children }: { kind?: string; children: ComponentChildren }) {
  return (
    <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : "status"}>
      {children}
    </div>
  );
}

/** An error of a request, and what to do about it. */
export function Failure({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const title = titleOf(error);
  const isBusy = error instanceof ApiError && error.retryAfter !== null;
  return (
    <div class={`notice ${isBusy ? "warn" : "bad"}`}>
      <p role={isBusy ? "status" : "alert"}>
        {title && <strong>{title}</strong>}
        {title && " "}
        {error.message}
      </p>
      {onRetry && (isBusy || error instanceof OfflineError) && (
        <Retry seconds={isBusy ? ((error as ApiError).retryAfter as number) : 0} onRetry={onRetry} />
      )}
    </div>
  );
}

function titleOf(error: Error): string {
  if (error instanceof OfflineError) return "No answer.";
  if (error instanceof ApiError) return `${error.title}.`;
  return "";
}

/** A button that can be used after some seconds. */
function Retry({ seconds, onRetry }: { seconds: number; onRetry: () => void }) {
  const [left, setLeft] = useState(seconds);
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return (
    <button
      type="button"
      disabled={left > 0}
      onClick={(event) => {
        keepingFocus(event, () => void onRetry(), ".panel-head .stop, .panel-head .run");
      }}
    >
      {left > 0 ? `Try again in ${left} s` : "Try again"}
    </button>
  );
}
