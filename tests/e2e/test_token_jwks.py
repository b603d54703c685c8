"""`--token-jwks-url`: keys that are fetched from an issuer: its new keys, its failures, its attacks; what clients are told meanwhile."""

import contextlib
import json
import signal
import ssl
import threading
import time

import pytest

from harness import NodeClient, free_port, run_relay, wait_until
from jose import KeyPair, Secret, sign, token
from scripted import Scripted, answer
from sse import Stream
from tls_raw import Certificate

from test_tokens import bearer, problem

JSON = "application/jwk-set+json"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two keys of an issuer, the old and the new one."""
    directory = tmp_path_factory.mktemp("keys")
    return [KeyPair(directory, "p256", name, kid=name) for name in ("old", "new")]


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    """An authority, the issuer's certificate by it, and one that nobody vouches for."""
    directory = tmp_path_factory.mktemp("certs")
    authority = Certificate(directory, "authority")
    return authority, Certificate(directory, "issuer", "localhost", "127.0.0.1", issuer=authority), Certificate(directory, "other", "localhost")


def jwks(*members, kind=JSON, headers=(), **more):
    return answer(200, json.dumps({"keys": [m if isinstance(m, dict) else m.jwk() for m in members]} | more).encode(), *headers, kind=kind)


class Issuer(Scripted):
    """Answers as it was last told to; `asked` counts how often it did so."""

    def __init__(self, cert, first, port=0):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert.cert, cert.key)
        self.context, self.asked = context, 0
        self.now = first
        super().__init__(self.say, port=port, tls=context)

    @property
    def jwks_url(self):
        return f"https://localhost:{self.port}/keys?a=secret-of-the-query"

    def tell(self, what):
        """Answer so from now on; bytes, or a function that is given the socket."""
        self.asked = 0
        self.now = what

    def say(self, sock, _server):
        what = self.now
        self.asked += 1
        if callable(what):
            what(sock)
        else:
            sock.sendall(what)


@pytest.fixture
def issuer(certs, keys):
    one = Issuer(certs[1], jwks(keys[0]))
    yield one
    one.close()


@pytest.fixture
def fetching(start_relay, issuer, certs):
    """A function that starts a relay that asks the issuer."""
    return lambda *more: start_relay("--token-jwks-url", issuer.jwks_url, "--token-jwks-ca", certs[0].cert, *more)


def good(key, **more):
    return bearer(token(key, "ES256", subscribe=["**"], publish=["**"], **more))


def fetches(relay, outcome):
    return relay.metrics().get("sse_relay_token_jwks_fetches_total", outcome=outcome)


def said(relay, text):
    return [line for line in relay.logs() if text in line["msg"]]


def status(relay, headers):
    return relay.request("HEAD", "/sse?topic=a", headers).status


def until_settled(relay, headers):
    """The status once it is no longer `come again`."""
    return wait_until(lambda: (s := status(relay, headers)) != 503 and s, "the issuer's word")


def fail_once(relay, issuer, what):
    """Let the issuer answer @what until the relay has counted a failure that is its."""
    issuer.tell(what)
    relay.signal(signal.SIGHUP)
    wait_until(lambda: issuer.asked, "a fetch")
    before = fetches(relay, "failed")
    relay.signal(signal.SIGHUP)
    wait_until(lambda: fetches(relay, "failed") > before, "a failure")


# ---- a life ----


def test_a_new_key(fetching, issuer, keys, tmp_path):
    """A token of a key that the issuer has just made: its EventSource comes back by itself and is let in, streams of the old
    key notice nothing, and new tokens of that are refused once the issuer no longer has it."""
    old, new = keys
    relay = fetching().wait_ready()
    with relay.stream("a", headers=good(old)) as stream:
        stream.wait_live()
        issuer.tell(jwks(new))
        with relay.stream("a", headers=good(new)) as early:
            assert early.head.status == 200
            close = early.wait_name("relay.close")
            assert json.loads(close.data) == {"reason": "keys"} and 2000 <= early.parser.retries[-1] <= 6000
            early.wait_end()
        url = f"{relay.url}/sse?topic=a&token={token(new, 'ES256', subscribe=['a'])}"
        client = NodeClient(tmp_path, "client", url, "relay.live")
        client.wait_type("relay.live")
        client.kill()
        assert relay.post("/sse?topic=a", b"by the new key", good(new)).status == 200
        assert stream.wait_data("by the new key")
        assert until_settled(relay, good(old)) == 401
        assert not stream.ended and relay.metrics()["sse_relay_subscribers"] == 1
    assert relay.metrics().get("sse_relay_requests_denied_total", reason="key_awaited") >= 2
    assert len(said(relay, "keys of tokens were fetched")) == 1
    assert "secret-of-the-query" not in relay.err and "new" not in relay.err


def test_what_a_program_is_told(fetching, keys, tmp_path):
    """Who is no EventSource gets 503 and when to come again; once the issuer was asked, 401. A key that is there, or none at
    all, is no reason to ask."""
    stranger = KeyPair(tmp_path, "p256", "stranger", kid="of nobody")
    relay = fetching().wait_ready()
    early = relay.get("/sse?topic=a", good(stranger))
    assert "issuer" in problem(early, 503) and 2 <= int(early.get("retry-after")) <= 7
    posted = relay.post("/sse?topic=a", b"x", good(stranger))
    assert problem(posted, 503) and posted.get("retry-after")
    assert until_settled(relay, good(stranger)) == 401
    forged = sign(stranger, "ES256", {"alg": "ES256", "kid": "old"}, {"sse": {"subscribe": ["**"]}})
    nameless = sign(stranger, "ES256", {"alg": "ES256"}, {"sse": {"subscribe": ["**"]}})
    for text in (forged, nameless, "rubbish", token(keys[0], "ES256", subscribe=["a"], ttl=-3600)):
        assert status(relay, bearer(text)) == 401
    assert relay.get("/sse?topic=a").status == 401
    assert status(relay, good(keys[0])) == 200


def test_names_that_are_made_up(fetching, issuer, keys):
    """However many unknown keys tokens name, the issuer is asked once in ten seconds at most."""
    relay = fetching().wait_ready()
    begun, first = time.monotonic(), issuer.asked
    head = token(keys[0], "ES256", subscribe=["a"]).partition(".")[2]
    for n in range(300):
        made_up = sign(keys[0], "ES256", {"alg": "ES256", "kid": f"name {n}"}, b"{}").partition(".")[0]
        assert status(relay, bearer(f"{made_up}.{head}")) in (401, 503)
    wait_until(lambda: issuer.asked > first, "a fetch")
    assert issuer.asked - first <= 1 + (time.monotonic() - begun) / 10
    assert status(relay, good(keys[0])) == 200


def test_files_beside_it(fetching, issuer, keys, tmp_path):
    """Keys of a secret, of a file and of the issuer stand together, and each is read again without the others."""
    secret, mine = Secret(tmp_path), KeyPair(tmp_path, "p256", "mine", kid="mine")
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [mine.jwk()]}))
    relay = fetching("--token-secret-file", secret.path, "--token-key", file).wait_ready()
    of_secret = bearer(token(secret, subscribe=["a"]))
    assert status(relay, of_secret) == status(relay, good(mine)) == status(relay, good(keys[0])) == 200
    issuer.tell(jwks(*keys))
    before = fetches(relay, "ok")
    relay.signal(signal.SIGHUP)
    wait_until(lambda: fetches(relay, "ok") > before, "a fetch")
    assert status(relay, good(keys[1])) == status(relay, good(mine)) == 200
    file.write_text("{")
    wait_until(lambda: said(relay, "not read again"), "a complaint")
    assert status(relay, good(keys[1])) == status(relay, good(mine)) == status(relay, of_secret) == 200
    fail_once(relay, issuer, jwks(*({"kty": "EC"} | keys[0].jwk(kid=str(n)) for n in range(63))))
    assert status(relay, good(keys[1])) == status(relay, good(mine)) == 200


# ---- an issuer that is ill ----


def down(sock):
    """Nothing is answered."""


def cut(sock):
    sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"keys":[')


def endless(sock):
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


def test_an_issuer_that_answers_badly(fetching, issuer, keys, certs):
    """Whatever it says, the last good keys stay, the log says it once, and 100 subscribers lose nothing."""
    old = keys[0]
    private = old.jwk(d="AAAA")
    wrong = {
        "down": down,
        "cut": cut,
        "endless": endless,
        "10 MiB": answer(200, b" " * (10 * 2**20), kind=JSON),
        "redirect": answer(302, b"", f"Location: {issuer.jwks_url}"),
        "to plain": answer(301, b"", "Location: http://localhost:1/"),
        "500": answer(500, json.dumps({"keys": [old.jwk()]}).encode()),
        "404": answer(404, b"no"),
        "201": answer(201, json.dumps({"keys": [old.jwk()]}).encode()),
        "a page": answer(200, b"<html>login</html>", kind="text/html"),
        "garbage": answer(200, bytes(range(256)) * 40, kind=JSON),
        "deep": answer(200, b"[" * 100000, kind=JSON),
        "nothing": answer(200, b"", kind=JSON),
        "no set": jwks(keys=5),
        "an empty set": jwks(),
        "a private key": jwks(old, private),
        "a secret": jwks(old, {"kty": "oct", "k": "A" * 86, "kid": "s"}),
        "too many": jwks(*[old] * 65),
        "no HTTP": b"220 ready\r\n",
        "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 2**20,
    }
    relay = fetching().wait_ready()
    streams = [Stream(relay.address, "/sse?topic=calm", good(old)) for _ in range(100)]
    try:
        for stream in streams:
            stream.wait_live()
        for n, (kind, what) in enumerate(wrong.items()):
            fail_once(relay, issuer, what)
            assert status(relay, good(old)) == 200, kind
            assert relay.post("/sse?topic=calm", str(n).encode(), good(old)).status == 200, kind
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certs[2].cert, certs[2].key)
        issuer.tls = context
        before = fetches(relay, "failed")
        relay.signal(signal.SIGHUP)
        wait_until(lambda: fetches(relay, "failed") > before + 1, "failures")
        issuer.tls = issuer.context
        assert len(said(relay, "cannot be fetched")) == 1 and not said(relay, "fetched again")
        old_success = relay.metrics()["sse_relay_token_jwks_fetched_timestamp_seconds"]
        assert 0 < old_success <= time.time()
        issuer.tell(jwks(old, kind="text/plain"))
        relay.signal(signal.SIGHUP)
        wait_until(lambda: said(relay, "fetched again"), "a word that it works")
        relay.post("/sse?topic=calm", b"end", good(old))
        for stream in streams:
            stream.wait_data("end")
            assert [e.data for e in stream.events if e.name == "message"] == [*map(str, range(len(wrong))), "end"]
            assert not stream.named("relay.reset")
    finally:
        for stream in streams:
            stream.close()


def test_an_issuer_that_takes_its_time(fetching, issuer, keys):
    """One that never answers, and one that answers a byte at a time: given up, with no harm; and the relay ends while one hangs."""
    over = threading.Event()

    def hang(_sock):
        over.wait()

    def drip(sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(OSError):
            while not over.wait(0.1):
                sock.sendall(b" ")

    try:
        relay = fetching().wait_ready()
        with relay.stream("a", headers=good(keys[0])) as stream:
            stream.wait_live()
            for what in (hang, drip):
                issuer.tell(what)
                before = fetches(relay, "failed")
                relay.signal(signal.SIGHUP)
                wait_until(lambda: issuer.asked and fetches(relay, "failed") > before, "the end of its patience")
                assert status(relay, good(keys[0])) == 200 and not stream.ended
        issuer.tell(hang)
        relay.signal(signal.SIGHUP)
        wait_until(lambda: issuer.asked, "a fetch")
        assert relay.terminate() == 0
    finally:
        over.set()


def test_an_issuer_that_is_down_at_the_start(start_relay, certs, keys):
    """The node serves and is not ready; tokens are neither good nor bad; as soon as the issuer answers, all is well."""
    port = free_port()
    relay = start_relay("--token-jwks-url", f"https://localhost:{port}/keys", "--token-jwks-ca", certs[0].cert, "--public", "open.*")
    relay.wait_listening()
    wait_until(lambda: said(relay, "not ready"), "a word about it")
    assert relay.get("/healthz").status == 200
    assert "--token-jwks-url" in problem(relay.get("/readyz"), 503)
    assert relay.get("/sse?topic=a", good(keys[0])).status == 503
    assert relay.post("/sse?topic=a", b"x", good(keys[0])).status == 503
    assert relay.get("/sse?topic=a").status == 401
    with relay.stream("a", headers=good(keys[0])) as stream:
        assert stream.head.status == 200 and stream.wait_name("relay.close")
    with relay.live("open.house"):
        pass
    issuer = Issuer(certs[1], jwks(keys[0]), port=port)
    try:
        relay.wait_ready()
        assert status(relay, good(keys[0])) == 200
    finally:
        issuer.close()


def test_a_server_that_nobody_vouches_for(start_relay, issuer, keys):
    """Its certificate has to come from an authority of the system, or from those of --token-jwks-ca."""
    relay = start_relay("--token-jwks-url", issuer.jwks_url).wait_listening()
    wait_until(lambda: any("certificate" in line["why"] for line in said(relay, "cannot be fetched")), "a word about it")
    assert relay.get("/readyz").status == 503 and status(relay, good(keys[0])) == 503


def test_plain_http_on_loopback(start_relay, keys):
    with contextlib.closing(Scripted(jwks(keys[0]))) as plain:
        relay = start_relay("--token-jwks-url", f"{plain.url}/keys").wait_ready()
        assert status(relay, good(keys[0])) == 200


# ---- options ----


@pytest.mark.parametrize(
    "url",
    ["", "keys.json", "ftp://a.test/", "file:///etc/passwd", "http://a.test/keys", "http://127.0.0.1.a.test/", "http://localhost@a.test/",
     "https://user:pass@a.test/", "https://", "https:///keys", "https://a.test:port/", "https://a.test:70000/", "https://a b.test/", "https://a.test/#x",
     "https://a.test/\n", "https://ä.test/", "https://[::1/", "http://[::2]/"],
)  # fmt: skip
def test_addresses_that_are_none(url):
    done = run_relay("--token-jwks-url", url, "--check-config")
    assert done.returncode == 2 and "--token-jwks-url" in done.stderr and "allowed: https://" in done.stderr
    assert "user:pass" not in done.stderr


@pytest.mark.parametrize("url", ["https://a.test", "https://a.test:8443/realms/a/keys?x=1", "https://[2001:db8::1]/k", "http://127.0.0.7:80/", "http://[::1]:1/", "http://localhost/"])
def test_addresses(url):
    assert run_relay("--token-jwks-url", url, "--print-config").returncode == 0


def test_authorities(tmp_path):
    """They are nothing without an address, and have to be there."""
    done = run_relay("--token-jwks-ca", "file", "--print-config")
    assert done.returncode == 2 and "--token-jwks-url" in done.stderr
    missing = tmp_path / "missing.pem"
    done = run_relay("--listen", "127.0.0.1:0", "--token-jwks-url", "https://a.test/", "--token-jwks-ca", missing)
    assert done.returncode == 1 and str(missing) in done.stderr
