/** A worker that parses JSON. */

self.onmessage = (message: MessageEvent<string>) => self.postMessage(JSON.parse(message.data));
