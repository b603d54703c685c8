"""The libraries that people read streams with, and the pools that they publish over: what each delivers of a real relay.

The library itself runs, in its own language; where its tool is not on this machine, its tests are skipped with the reason
(clients/tools.sh).
"""

import json
import os
import re

import pytest
from harness import Process, json_lines, wait_until
from settings import HERE, ROOT

TOOLS = ROOT / "build/tools/clients"
ENDS = 2  # a library has to come back this often

LIBRARIES = {
    "npm": [
        "eventsource",
        "eventsource2",
        "extended-eventsource",
        "launchdarkly-eventsource",
        "event-source-polyfill",
        "eventsource-client",
        "@microsoft/fetch-event-source",
        "fetch-event-stream",
        "parse-sse",
    ],
    "python": [
        "httpx-sse",
        "sseclient",
        "sseclient-py",
        "requests-sse",
        "aiohttp-sse-client2",
        "aiosseclient",
        "launchdarkly-eventsource",
    ],
    "go": ["r3labs", "launchdarkly", "donovanhide", "tmaxmax"],
    "java": ["okhttp-sse", "okhttp-eventsource", "jersey", "spring-webflux"],
}
ALL = [(kind, name) for kind, names in LIBRARIES.items() for name in names]
# It delivers an empty message of its own where a stream ends, whatever the last bytes were.
EMPTY_AT_THE_END = {("python", "sseclient")}


def command_of(kind, name):
    """How a library's program is started, and its surroundings. Skips the test where it cannot be."""
    missing = TOOLS / f"missing.{kind}"
    if missing.exists():
        pytest.skip(missing.read_text().strip())
    if kind == "npm":
        return ["node", HERE / "clients/libraries.mjs"], None
    if kind == "go":
        return [TOOLS / "go-libraries"], None
    if kind == "java":
        return ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{TOOLS}/java/*:{TOOLS}/java/classes", "Libraries"], None
    own = TOOLS / f"python-{name}"
    path = [str(p) for p in (own, TOOLS / "python") if p.exists()]
    python = (TOOLS / "python.path").read_text().strip()
    return [python, HERE / "clients/libraries.py"], os.environ | {"PYTHONPATH": os.pathsep.join(path)}


class Library(Process):
    """A library that reads @url; `messages` is what it has delivered so far."""

    def __init__(self, directory, kind, name, url):
        argv, env = command_of(kind, name)
        super().__init__([*argv, name, url], directory, re.sub(r"\W", "_", f"{kind}-{name}"), env=env)

    @property
    def messages(self):
        lines = [line + "\n" for line in self.out.split("\n")[:-1] if line.startswith("{")]  # sseclient prints words too
        return [r for r in json_lines("".join(lines)) if r["type"] == "message"]

    def named(self, name):
        return [m for m in self.messages if m["event"] == name]


@pytest.fixture(scope="module")
def node(relay_with):
    """Heartbeats and ends as often as they can be."""
    return relay_with("--allow-anonymous-publish", "--heartbeat", "100ms", "--max-age", "1s", "--retry", "100ms")


@pytest.mark.parametrize("kind, name", ALL)
def test_it_delivers_what_was_published_and_nothing_else(node, redis, tmp_path, npm, topic, kind, name):
    """Each durable event once and in order, over streams that end and begin again and heartbeats between; no message is
    empty, and each one can be parsed as the JSON that it is."""
    library = Library(tmp_path, kind, name, f"{node.url}/sse?topic={topic}")
    sent = []

    def publish():
        assert library.running, library.err
        assert node.post(f"/sse?topic={topic}", json.dumps({"n": len(sent)}).encode()).status == 200
        sent.append({"n": len(sent)})

    def delivered(name):
        assert library.running, library.err
        return library.named(name)

    data = lambda: [json.loads(m["data"]) for m in delivered("message") if m["data"]]
    try:
        wait_until(lambda: delivered("relay.live"), f"relay.live in {name}")
        while len(library.named("relay.live")) <= ENDS:
            publish()
            wait_until(lambda: data() and data()[-1] == sent[-1], f"event {sent[-1]} in {name}")
        publish()
        wait_until(lambda: data() and data()[-1] == sent[-1], f"the last event in {name}")
        assert data() == sent
    finally:
        library.kill()
    empty = [m for m in library.messages if not m.get("data")]
    if (kind, name) in EMPTY_AT_THE_END:
        assert len(empty) <= len(library.named("relay.live"))
    else:
        assert not empty, f"{len(empty)} of {len(library.messages)} messages are empty"


@pytest.mark.parametrize("kind, name", [("npm", "node"), ("python", "requests"), ("python", "httpx")])
def test_a_pool_publishes_behind_a_stream(node, tmp_path, npm, topic, kind, name):
    """A stream's connection ends with it, and says so: a client that keeps connections does not send its next request into
    one that is closing."""
    if kind == "npm":
        argv, env = ["node", HERE / "clients/pooled.mjs"], None
    else:
        argv, env = command_of(kind, name)
        argv = [*argv, f"pooled-{name}"]
    pool = Process([*argv, f"{node.url}/sse?topic={topic}", "4"], tmp_path, "pool", env=env)
    statuses = lambda: [r["status"] for r in json_lines(pool.out)]
    try:
        wait_until(lambda: len(statuses()) == 4 or not pool.running, "four publishes")
        assert statuses() == [200] * 4, pool.err
    finally:
        pool.kill()


def test_the_page_tells_of_each_library():
    """deploy/clients.md has a row for each of them."""
    page = (ROOT / "deploy/clients.md").read_text()
    table = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    for kind, name in ALL:
        shown = {"eventsource2": "eventsource"}.get(name, name)
        assert re.search(rf"`[^`|]*{re.escape(shown)}[^`|]*`", table), f"{kind}: {name}"
