/** Events of the server, parsed beside the page if they are long: files of 40 MiB would freeze it. */

import { urlOf } from "./client";
import type { ServerEvent } from "./types";

/** Characters of JSON that the page parses itself. */
const MAX_OWN = 2_000_000;

/** Parse an event. */
export async function parsed(text: string): Promise<ServerEvent> {
  if (text.length <= MAX_OWN) return JSON.parse(text) as ServerEvent;
  const parser = new Worker(urlOf("page/parser.js"));
  try {
    return await new Promise((done, failed) => {
      parser.onmessage = (message: MessageEvent<ServerEvent>) => done(message.data);
      parser.onerror = () => failed(new Error("The answer cannot be read."));
      parser.postMessage(text);
    });
  } finally {
    parser.terminate();
  }
}
