// Reads a stream to its end over an agent that keeps connections, and publishes over the same agent right behind it,
// again and again; prints the status or the error of each POST, one JSON object a line.
// Usage: node pooled.mjs URL TIMES
import http from "node:http";
const [url, times] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });
const request = (method, body) => new Promise((resolve, reject) => {
  const r = http.request(url, { agent, method, headers: { Accept: "text/event-stream" } }, (response) => {
    response.resume().on("end", () => resolve(response.statusCode)).on("error", reject);
  });
  r.on("error", reject).end(body);
});
for (let i = 0; i < Number(times); i++) {
  await request("GET");
  const status = await request("POST", "behind the stream").catch((error) => error.code ?? String(error));
  process.stdout.write(JSON.stringify({ status }) + "\n");
}
