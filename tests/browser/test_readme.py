"""The React hook of the README, as it stands there, in a real React, on a page of Chromium."""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import wait_until

HERE = pathlib.Path(__file__).resolve().parent
README = (HERE.parent.parent / "README.md").read_text()

# The hook in a component, mounted as React asks for it to be tried out: in StrictMode, each effect runs twice.
PAGE = """
    const [react, dom, hook, url] = arguments;
    (0, eval)(react);
    (0, eval)(dom);
    (0, eval)(hook);
    window.seen = [];
    window.states = [];
    function Watch({ url }) {
      const state = useEvents(url, { onEvent: (e) => window.seen.push(e.data), onReset: (r) => window.seen.push(r) });
      window.states.push(state);
      return React.createElement("p", { id: "state" }, state);
    }
    const place = document.body.appendChild(document.createElement("div"));
    window.root = ReactDOM.createRoot(place);
    window.show = (url) => root.render(React.createElement(React.StrictMode, null, React.createElement(Watch, { url })));
    window.show(url);
"""


@pytest.fixture(scope="module")
def scripts():
    """React, ReactDOM and the hook, as scripts of a page."""
    modules = HERE / "node_modules"
    if not (modules / "react").exists():
        assert shutil.which("npm"), "npm is missing: make deps-test installs it"
        subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=HERE, check=True, capture_output=True)
    hook = re.search(r"^```jsx\n(.*?)^```$", README, re.M | re.S)[1]
    hook, imports = re.subn(r'^import (\{.*\}) from "react";$', r"const \1 = React;", hook, flags=re.M)
    hook, exports = re.subn(r"^export function useEvents", "window.useEvents = function", hook, flags=re.M)
    assert imports == 1 and exports == 1
    umd = [(modules / name / "umd" / f"{name}.development.js").read_text() for name in ("react", "react-dom")]
    return [*umd, f"(() => {{ {hook} }})()"]


def post(relay, topic, data):
    answer = relay.post(f"/sse?topic={topic}", data.encode())
    assert answer.status == 200, answer
    return json.loads(answer.body)["ids"][topic]


def has(browser, value):
    wait_until(lambda: value in browser.script("return window.seen"), f"{value} on the page")


def is_in(browser, state):
    browser.wait("return document.querySelector('#state')?.textContent === arguments[0]", state)


def test_events_resets_and_the_end(browser, start_relay, own_redis, scripts):
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url)
    first = post(relay, "t", "0")
    for n in range(1, 4):
        post(relay, "t", str(n))
    own_redis("XTRIM", "sse:{0}:log:t", "MAXLEN", "=", "1")
    browser.open(relay.url + "/healthz")
    browser.script(PAGE, *scripts, f"/sse?topic=t&lastEventId={first}")
    is_in(browser, "live")
    has(browser, {"topics": ["t"], "reason": "trimmed"})
    has(browser, "3")
    post(relay, "t", "live")
    has(browser, "live")
    wait_until(lambda: relay.metrics()["sse_relay_subscribers"] == 1, "one stream, for all that effects run twice")

    own_redis("CLIENT", "KILL", "TYPE", "pubsub")  # nothing of it is seen
    browser.script("window.states.length = 0; window.show('/sse?topic=other')")
    is_in(browser, "live")
    assert browser.script("return window.states")[0] == "live"  # of the URL before
    assert "connecting" in browser.script("return window.states")
    post(relay, "other", "elsewhere")
    has(browser, "elsewhere")

    browser.script("window.root.unmount()")
    wait_until(lambda: relay.metrics()["sse_relay_subscribers"] == 0, "the end of the stream")
    assert browser.script("return window.seen").count("live") == 1


def test_it_resumes(browser, start_relay, redis, scripts):
    """A node that goes away: the page connects again by itself, and gets what it missed."""
    other = start_relay("--allow-anonymous-publish")
    relay = start_relay("--retry", "200ms")
    browser.open(relay.url + "/healthz")
    browser.script(PAGE, *scripts, "/sse?topic=resumes")
    is_in(browser, "live")
    post(other, "resumes", "one")
    has(browser, "one")
    relay.terminate()
    is_in(browser, "connecting")
    post(other, "resumes", "missed")
    start_relay("--retry", "200ms", listen="%s:%d" % relay.address)
    has(browser, "missed")
    is_in(browser, "live")
    assert browser.script("return window.seen") == ["one", "missed"]


def test_a_stream_that_is_refused(browser, relay, scripts):
    """No topic: 400, which no EventSource tries again."""
    browser.open(relay.url + "/healthz")
    browser.script(PAGE, *scripts, "/sse")
    is_in(browser, "closed")
