"""EventSource in a real Firefox, by HTTPS and HTTP/2, with tokens. Firefox is not among what `make deps-test` installs (300 MB); where it
is, these run: `apt install firefox-esr`, or FIREFOX with the path of one."""

import pytest

import harness
from firefox import Firefox, program
from harness import wait_until
from tls_raw import Certificate

pytestmark = pytest.mark.skipif(not program(), reason="no Firefox: `apt install firefox-esr`, or name one in FIREFOX")

OPEN = """(() => {
    window.got = [], window.states = [], window.seen = window.seen || 0;
    const source = window.source = new EventSource("%s");
    source.addEventListener("relay.live", () => window.states.push("live"));
    source.onmessage = (event) => window.got.push(event.data);
    source.addEventListener("relay.reset", (event) => window.got.push("reset " + event.data));
    source.onerror = () => window.states.push(source.readyState === EventSource.CLOSED ? "closed" : "connecting");
})()"""
MANY = """(() => {
    window.live = new Set(), window.got = new Map(), window.errors = 0;
    for (let n = 0; n < 20; n++) {
        const source = new EventSource(`/sse?topic=shared&n=${n}`);
        source.addEventListener("relay.live", () => window.live.add(n));
        source.onmessage = (event) => window.got.set(n, (window.got.get(n) || "") + event.data);
        source.onerror = () => window.errors++;
    }
})()"""
PROTOCOL = "performance.getEntriesByType('navigation')[0].nextHopProtocol"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    one = Firefox(tmp_path_factory.mktemp("firefox"))
    yield one
    one.close()


@pytest.fixture
def start_secure(start_relay, tmp_path):
    """A function that starts a relay that speaks TLS on one port, whenever it is called; returns it and its origin."""
    own, port = Certificate(tmp_path, "own", "localhost"), harness.free_port()

    def start(*args):
        relay = start_relay("--listen", f"https://127.0.0.1:{port}", *own.options, *args).wait_listening(2)
        return relay, f"https://localhost:{port}"

    return start


def token(secret, *rights):
    done = harness.run_publish("token", "--secret-file", str(secret), *rights)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("way", ["query", "cookie"])
def test_a_stream_with_a_token_goes_on_behind_a_restart(firefox, start_secure, tmp_path, way):
    """What was published while the relay was away comes as well, once and in order."""
    secret = tmp_path / "secret"
    secret.write_text("s" * 32)
    reads, publishes = token(secret, "--subscribe", "orders.*"), token(secret, "--publish", "orders.*")
    options = ["--token-secret-file", str(secret), "--token-cookie", "access"]
    topic = f"orders.{way}"
    bearer = [("Authorization", f"Bearer {publishes}")]

    relay, origin = start_secure(*options)
    firefox.open(f"{origin}/healthz")
    assert firefox.script(PROTOCOL) == "h2"
    firefox.script(OPEN % f"/sse?topic={topic}")
    wait_until(lambda: firefox.script("window.states") == ["closed"], "the refusal without a token, which is for good")

    if way == "cookie":
        firefox.script(f"document.cookie = 'access={reads}; Secure; SameSite=Strict; Path=/'")
    firefox.script(OPEN % (f"/sse?topic={topic}" + (f"&token={reads}" if way == "query" else "")))
    wait_until(lambda: firefox.script("window.states") == ["live"], "a stream that is live")
    assert relay.post(f"/sse?topic={topic}", b"before", bearer).status == 200
    wait_until(lambda: firefox.script("window.got") == ["before"], "an event")
    relay.finish()
    # Its end, and a way back that was refused: the browser has to go on trying.
    wait_until(lambda: firefox.script("window.states").count("connecting") >= 2, "another try of the browser's")

    other = start_secure(*options)[0]
    assert other.post(f"/sse?topic={topic}", b"meanwhile", bearer).status == 200
    wait_until(lambda: "meanwhile" in firefox.script("window.got"), "what was missed")
    assert other.post(f"/sse?topic={topic}", b"after", bearer).status == 200
    wait_until(lambda: "after" in firefox.script("window.got"), "what came later")
    assert firefox.script("window.got") == ["before", "meanwhile", "after"]
    assert other.metrics()["sse_relay_http2_connections"] >= 1
    print(firefox.version, firefox.script("window.states"))
    firefox.script("window.source.close()")


def test_20_event_sources_share_one_connection(firefox, start_secure):
    """Over HTTP/1.1 Firefox too opens six connections to an origin, so that fourteen of these would wait for ever."""
    relay, origin = start_secure("--allow-anonymous-publish")
    firefox.open(f"{origin}/healthz")
    firefox.script(MANY)
    wait_until(lambda: firefox.script("window.live.size") == 20, "20 live streams")
    metrics = relay.metrics()
    assert metrics["sse_relay_http2_connections"] == 1 and metrics["sse_relay_subscribers"] == 20
    for n in range(10):
        assert relay.post("/sse?topic=shared", str(n).encode()).status == 200
    wait_until(lambda: firefox.script("[...window.got.values()].filter((text) => text === '0123456789').length") == 20, "all on each")
    assert firefox.script("window.errors") == 0 and firefox.script(PROTOCOL) == "h2"
    firefox.open("about:blank")
