// Subscribes with the npm package `eventsource` and prints what happens, one JSON object a line.
// Usage: node eventsource.mjs URL [EVENT NAME]...

import { EventSource } from "eventsource";

const [url, ...names] = process.argv.slice(2);
const source = new EventSource(url);
const print = (record) => process.stdout.write(JSON.stringify(record) + "\n");
const seen = ({ type, data, lastEventId }) => print({ type, data, id: lastEventId });

source.onopen = () => print({ type: "open" });
source.onerror = ({ code }) => print({ type: "error", code, state: source.readyState });
for (const name of ["message", "relay.live", "relay.reset", ...names]) source.addEventListener(name, seen);
