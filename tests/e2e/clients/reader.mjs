// Durable topics read with the npm package `eventsource`, from whichever relay comes next at each reconnect. Prints one
// JSON object a line: connections (with the cursor they came with), and what came on them.
// Usage: node reader.mjs PATH ORIGIN...

import { EventSource } from "eventsource";

const [path, ...origins] = process.argv.slice(2);
let next = 0;
const print = (record) => process.stdout.write(JSON.stringify({ at: Date.now() / 1000, ...record }) + "\n");

// The balancer: the same URL, each time another node.
const anyRelay = (url, init) => {
  const origin = origins[next++ % origins.length];
  print({ type: "connect", where: origin, cursor: init.headers["Last-Event-ID"] ?? null });
  return fetch(origin + path, init);
};
const source = new EventSource(origins[0] + path, { fetch: anyRelay });
const seen = ({ type, data, lastEventId }) => print({ type, data, id: lastEventId });
for (const name of ["message", "relay.live", "relay.reset"]) source.addEventListener(name, seen);
source.onerror = ({ code, message }) => print({ type: "error", code, message, state: source.readyState });
