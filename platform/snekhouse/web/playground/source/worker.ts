/** A worker that holds connections, parses JSON and compares texts for a page: `api/worker.ts` has its other side. */

import type { Order, Report } from "./api/worker";
import { marked } from "./text/differences";

const sockets = new Map<number, WebSocket>();

self.onmessage = ({ data }: MessageEvent<Order>) => {
  if (data.kind === "parse") parse(data.id, data.text);
  if (data.kind === "compare") {
    report({ id: data.id, kind: "compared", parts: marked(data.text, data.other, data.ignored) });
  }
  if (data.kind === "open") open(data.id, data.url);
  if (data.kind === "send") send(data.id, data.text);
  if (data.kind === "close") sockets.get(data.id)?.close();
};

function parse(id: number, text: string): void {
  try {
    report({ id, kind: "parsed", value: JSON.parse(text) });
  } catch {
    sockets.get(id)?.close();
    report({ id, kind: "closed" });
  }
}

function open(id: number, url: string): void {
  report({ id, kind: "opening" });
  const socket = new WebSocket(url);
  sockets.set(id, socket);
  socket.onopen = () => report({ id, kind: "opened" });
  socket.onmessage = ({ data }: MessageEvent<string>) => parse(id, data);
  socket.onclose = () => {
    sockets.delete(id);
    report({ id, kind: "closed" });
  };
}

function send(id: number, text: string): void {
  const socket = sockets.get(id);
  if (socket?.readyState === WebSocket.OPEN) socket.send(text);
}

function report(told: Report): void {
  self.postMessage(told);
}
