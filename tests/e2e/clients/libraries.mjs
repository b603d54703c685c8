// Reads a stream with a library of JavaScript and prints what it delivers, one JSON object a line.
// Usage: node libraries.mjs LIBRARY URL

const [library, url] = process.argv.slice(2);
const print = (record) => process.stdout.write(JSON.stringify(record) + "\n");
const message = (event, data, id) => print({ type: "message", event: event || "message", data, id: id ?? "" });
const fail = (error) => print({ type: "error", text: String(error?.message ?? error) });
const NAMES = ["message", "relay.live", "relay.reset", "relay.large", "relay.ping", "relay.close", "greeting", ""];

function eventSource(EventSource) {
  const source = new EventSource(url);
  source.onopen = () => print({ type: "open" });
  source.onerror = fail;
  for (const name of NAMES) source.addEventListener(name, (e) => message(e.type, e.data, e.lastEventId));
}

// A library that reads one answer and leaves coming back to its user.
async function once(each) {
  let id;
  for (;;) {
    try {
      const response = await fetch(url, { headers: { Accept: "text/event-stream", ...(id ? { "Last-Event-ID": id } : {}) } });
      print({ type: "open" });
      for await (const e of await each(response)) {
        const last = e.id ?? e.lastEventId;
        message(e.event ?? e.type, e.data, last);
        if (last) id = last;
      }
      print({ type: "end" });
    } catch (error) {
      fail(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const libraries = {
  async eventsource() {
    eventSource((await import("eventsource")).EventSource);
  },
  async eventsource2() {
    eventSource((await import("eventsource2")).default);
  },
  async "extended-eventsource"() {
    eventSource((await import("extended-eventsource")).EventSource);
  },
  async "launchdarkly-eventsource"() {
    const { EventSource } = await import("launchdarkly-eventsource");
    eventSource(EventSource);
  },
  async "event-source-polyfill"() {
    const { EventSourcePolyfill } = (await import("event-source-polyfill")).default;
    eventSource(EventSourcePolyfill);
  },
  async "eventsource-client"() {
    const { createEventSource } = await import("eventsource-client");
    createEventSource({
      url,
      onConnect: () => print({ type: "open" }),
      onDisconnect: () => print({ type: "end" }),
      onScheduleReconnect: ({ delay }) => print({ type: "retry", ms: delay }),
      onMessage: ({ event, data, id }) => message(event, data, id),
    });
  },
  async "@microsoft/fetch-event-source"() {
    globalThis.window = globalThis; // it is written for browsers, and used in Node with these two
    globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
    const { fetchEventSource } = (await import("@microsoft/fetch-event-source")).default;
    const headers = {};
    for (;;) {
      await fetchEventSource(url, {
        headers,
        openWhenHidden: true,
        onopen: async () => print({ type: "open" }),
        onmessage: ({ event, data, id }) => { message(event, data, id); if (id) headers["last-event-id"] = id; },
        onclose: () => print({ type: "end" }),
        onerror: fail,
      });
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  },
  async "fetch-event-stream"() {
    const { events } = await import("fetch-event-stream");
    await once((response) => events(response));
  },
  async "parse-sse"() {
    const { parseServerSentEvents } = await import("parse-sse");
    await once((response) => parseServerSentEvents(response));
  },
};

await libraries[library]();
