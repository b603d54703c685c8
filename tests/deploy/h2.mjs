// COUNT readers as streams of one HTTP/2 connection, each of which keeps its cursor and comes back as an EventSource does.
// Prints one JSON object a line: `session` (what was agreed on by ALPN), `connect` (an answer's head), `error` (an answer
// that ends an EventSource for good), events, and `end`.
// Usage: NODE_EXTRA_CA_CERTS=FILE node h2.mjs ORIGIN PATH COUNT

import http2 from "node:http2";

const [origin, path, count] = process.argv.slice(2);
const print = (record) => process.stdout.write(JSON.stringify({ at: Date.now() / 1000, ...record }) + "\n");

let session = null;
const connected = () => {
  if (session && !session.closed && !session.destroyed) return session;
  session = http2.connect(origin);
  session.on("connect", (it) => print({ type: "session", alpn: it.alpnProtocol, origin: it.originSet }));
  session.on("error", () => {});
  return session;
};

class Reader {
  constructor(number) {
    this.number = number;
    this.cursor = null;
    this.retry = 1000;
  }

  connect() {
    const headers = { ":path": path, accept: "text/event-stream", "accept-encoding": "gzip, br, zstd" };
    if (this.cursor) headers["last-event-id"] = this.cursor;
    const stream = connected().request(headers);
    this.block = { data: [] };
    this.rest = "";
    stream.setEncoding("utf8");
    stream.on("response", (head) => this.head(head, stream));
    stream.on("error", () => {});
    stream.on("close", () => {
      print({ reader: this.number, type: "end", id: this.cursor });
      setTimeout(() => this.connect(), this.retry);
    });
  }

  head(head, stream) {
    const type = head["content-type"], coding = head["content-encoding"] ?? null;
    const good = head[":status"] === 200 && type?.startsWith("text/event-stream");
    print({ reader: this.number, type: good ? "connect" : "error", status: head[":status"], coding, cursor: this.cursor });
    // Not before: data may overtake the event `response`.
    if (good) stream.on("data", (text) => this.feed(text));
    else stream.close();
  }

  // The relay ends its lines with LF alone.
  feed(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
  }

  line(line) {
    const [, field, value] = line.match(/^([^:]*):? ?(.*)$/);
    if (line === "") this.dispatch();
    else if (field === "data") this.block.data.push(value);
    else if (field === "retry") this.retry = Number(value);
    else if (field === "id" || field === "event") this.block[field] = value;
  }

  dispatch() {
    const { id, event, data } = this.block;
    this.block = { data: [] };
    if (id) this.cursor = id;
    if (data.length) print({ reader: this.number, type: event ?? "message", data: data.join("\n"), id: this.cursor ?? "" });
  }
}

for (let number = 0; number < Number(count); number++) new Reader(number).connect();
