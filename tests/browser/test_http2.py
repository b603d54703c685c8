"""HTTP/2 in Chromium: the six connections of an origin are no limit to its streams."""

from harness import wait_until
from tls_raw import Certificate
from webdriver import Browser

PAGE = """
    window.live = new Set(), window.got = new Map(), window.errors = 0;
    for (let n = 0; n < 100; n++) {
        const source = new EventSource(`/sse?topic=shared&n=${n}`);
        source.addEventListener("relay.live", () => window.live.add(n));
        source.onmessage = (event) => window.got.set(n, (window.got.get(n) || "") + event.data);
        source.onerror = () => window.errors++;
    }
"""
GOT = "return [...window.got.values()].filter((text) => text === arguments[0]).length"


def test_100_event_sources_share_one_connection(chromedriver, start_relay, tmp_path):
    own = Certificate(tmp_path, "own", "localhost", "127.0.0.1")
    relay = start_relay("--listen", "https://127.0.0.1:0", *own.options, "--allow-anonymous-publish").wait_listening(2)
    browser = Browser(chromedriver, tmp_path / "profile", any_certificate=True)
    try:
        browser.open(f"https://localhost:{relay.addresses[1][1]}/healthz")
        browser.script(PAGE)
        wait_until(lambda: browser.script("return window.live.size") == 100, "100 live streams")
        metrics = relay.metrics()
        assert metrics["sse_relay_http2_connections"] == 1 and metrics["sse_relay_subscribers"] == 100
        for n in range(10):
            assert relay.post("/sse?topic=shared", str(n).encode()).status == 200
        wait_until(lambda: browser.script(GOT, "0123456789") == 100, "ten events on each stream")
        assert browser.script("return window.errors") == 0
        assert relay.metrics()["sse_relay_http2_connections"] == 1
    finally:
        browser.close()
