/**
 * A program that runs: its events, and its standard input while it runs.
 *
 * It runs over a WebSocket. If the request is too large for one, or if no WebSocket can be opened (some proxies, and a
 * key that only a header carries), it runs as a stream, and gets no input while it runs.
 */

import { pieces } from "../text/pieces";
import { ApiError, events, isOffline, key, OfflineError, throwIfRefused } from "./client";
import type { ErrorBody, Request, ServerEvent } from "./types";
import { urlOf } from "./urls";
import { Socket } from "./worker";

/** Characters of a message that the server takes. */
const MAX_MESSAGE = 131_072;
/** Milliseconds to open a WebSocket; some proxies swallow the request for one. */
const OPEN_TIMEOUT_MS = 5000;
/** Characters of standard input in one message; each may take six as JSON. */
const INPUT_STEP = 16_384;

export type SignalName = "SIGINT" | "SIGTERM" | "SIGKILL";

/** Controls of a program that runs. */
export interface Running {
  /** Whether it gets input and signals while it runs. */
  readonly isInteractive: boolean;
  /** Its events; the last is `end`. */
  readonly events: AsyncIterable<ServerEvent>;
  write(text: string): void;
  /** End its standard input. */
  endInput(): void;
  /** Send a signal; a program without a WebSocket is ended instead. */
  signal(name: SignalName): void;
}

/**
 * Start a program.
 *
 * @param runtime Name of the runtime.
 * @param aborted Ends the program before it runs, and a program without a WebSocket at any time.
 * @throws {ApiError} The server refuses it; also thrown while its events are read.
 */
export async function start(runtime: string, request: Request, aborted: AbortController): Promise<Running> {
  const message = JSON.stringify(request);
  wasSilent = false;
  if (message.length <= MAX_MESSAGE && !key.value && !areSwallowed) {
    const socket = await opened(`eval/${encodeURIComponent(runtime)}/interactive`, aborted.signal);
    aborted.signal.throwIfAborted();
    if (socket) return interactive(socket, message, aborted.signal);
  }
  return streamed(runtime, request, aborted);
}

function streamed(runtime: string, request: Request, aborting: AbortController): Running {
  async function* all(): AsyncGenerator<ServerEvent> {
    for await (const event of events(`eval/${encodeURIComponent(runtime)}`, {
      body: request,
      signal: aborting.signal,
    })) {
      areSwallowed ||= wasSilent;
      throwIfRefused(event);
      if (event.event !== "keep-alive") yield event;
    }
  }
  const nothing = () => undefined;
  return { isInteractive: false, events: all(), write: nothing, endInput: nothing, signal: () => aborting.abort() };
}

/** Whether something between the page and the server swallows WebSockets; the page does not wait for it again. */
let areSwallowed = false;
/** Whether the WebSocket of this program neither opened nor failed. If the server answers then, it was swallowed. */
let wasSilent = false;

/** Open a WebSocket; null if that is refused, takes too long, or is aborted. */
function opened(path: string, aborted: AbortSignal): Promise<Socket | null> {
  const url = urlOf(path);
  url.protocol = url.protocol.replace("http", "ws");
  return new Promise((done) => {
    const socket = new Socket(url);
    const giveUp = () => {
      clearTimeout(timer);
      socket.close();
      done(null);
    };
    let timer = setTimeout(giveUp, OPEN_TIMEOUT_MS); // until the worker is there
    socket.onopening = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        wasSilent = true;
        giveUp();
      }, OPEN_TIMEOUT_MS);
    };
    aborted.addEventListener("abort", giveUp);
    socket.onopen = () => {
      clearTimeout(timer);
      done(socket);
    };
    socket.onclose = giveUp;
  });
}

function interactive(socket: Socket, message: string, aborted: AbortSignal): Running {
  const queue = received(socket, aborted);
  socket.send(message);
  const tell = (fields: object) => socket.send(JSON.stringify(fields));
  return {
    isInteractive: true,
    events: queue,
    write(text) {
      for (const piece of pieces(text, INPUT_STEP)) tell({ stdin: piece });
    },
    endInput: () => tell({ stdin: null }),
    signal: (name) => tell({ signal: name }),
  };
}

/** Collect the events that arrive from now on. */
function received(socket: Socket, aborted: AbortSignal): AsyncIterable<ServerEvent> {
  const waiting: ServerEvent[] = [];
  let isClosed = false;
  let wake = () => {};
  socket.onevent = (event) => {
    waiting.push(event);
    wake();
  };
  const close = () => {
    isClosed = true;
    wake();
  };
  socket.onclose = close;
  aborted.addEventListener("abort", close); // a connection that is lost closes late
  async function* all(): AsyncGenerator<ServerEvent> {
    try {
      for (;;) {
        const event = waiting.shift();
        if (event !== undefined) {
          throwIfRefused(event);
          if (event.event === "error") throw refusedMessage(event);
          yield event;
          if (event.event === "end") return;
        } else if (isClosed) {
          aborted.throwIfAborted();
          isOffline.value = true;
          throw new OfflineError("The connection was lost, so the server killed the program.");
        } else {
          await new Promise<void>((done) => {
            wake = done;
          });
        }
      }
    } finally {
      socket.close();
    }
  }
  return all();
}

function refusedMessage(event: ServerEvent): ApiError {
  const { title, description } = event.error as ErrorBody;
  return new ApiError(0, title, description);
}
