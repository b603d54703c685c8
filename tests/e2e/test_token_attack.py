"""Everything that is wrong with tokens at once, from many connections, while 100 well-behaved subscribers lose nothing."""

import concurrent.futures
import json
import time

from http_raw import Closed
from jose import KeyPair, Secret, base64url, sign, token
from sse import Stream

from test_tokens import bearer

SUBSCRIBERS, EVENTS, ROUNDS = 100, 60, 6


def forgeries(secret, pair):
    """Kinds of requests that have to be refused: (method, target, headers), and the statuses that may be the answer."""
    claims = {"sse": {"subscribe": ["**"], "publish": ["**"]}, "exp": time.time() + 600}
    public = Secret.__new__(Secret)
    public.bytes = pair.path.read_bytes()
    good, head = token(secret, subscribe=["calm"], publish=["calm"]), base64url(b'{"alg":"none"}')
    texts = {
        "forged": good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB"),
        "expired": token(secret, subscribe=["**"], ttl=-3600),
        "not yet valid": token(secret, subscribe=["**"], nbf=time.time() + 3600),
        "none": f"{head}.{base64url(json.dumps(claims).encode())}.",
        "public key as secret": sign(public, "HS256", {"alg": "HS256"}, claims),
        "another algorithm": sign(pair, "RS256", {"alg": "PS256"}, claims),
        "kid": sign(pair, "RS512", {"alg": "RS512", "kid": "../../dev/null"}, {"sse": 5}),
        "brings its key": sign(public, "HS256", {"alg": "HS256", "jku": "http://127.0.0.1:1/", "jwk": pair.jwk()}, claims),
        "deep": sign(secret, "HS256", {"alg": "HS256"}, b"[" * 6000),
        "rubbish": "." * 8000,
        "another's": token(secret, subscribe=["other"]),
    }
    for kind, text in texts.items():
        refused = {403} if kind == "another's" else {401}
        yield kind, ("GET", "/sse?topic=calm", bearer(text)), refused
        yield kind, ("GET", f"/sse?topic=calm&since=0&token={text}", []), refused
        yield kind, ("POST", "/sse?topic=calm", [*bearer(text), ("Content-Length", "5")]), refused
    yield "a megabyte", ("GET", "/sse?topic=calm", bearer("a" * 2**20)), {431, None}
    yield "a foreign page", ("POST", "/sse?topic=calm", [("Cookie", f"t={good}"), ("Origin", "https://evil.example")]), {403}
    yield "no page", ("POST", "/sse?topic=calm", [("Cookie", f"t={good}")]), {403}


def attack(relay, request):
    """The status of the answer; None where the connection was cut while the request was still being sent."""
    method, target, headers = request
    try:
        with relay.conn() as conn:
            conn.request(method, target, headers, body=b"false" if method == "POST" and not dict(headers).get("Content-Length") else None)
            return conn.read_head().status
    except (Closed, ConnectionError):
        return None


def test_a_hundred_subscribers_notice_nothing(start_relay, tmp_path):
    secret, pair = Secret(tmp_path), KeyPair(tmp_path, "rsa")
    relay = start_relay("--token-secret-file", secret.path, "--token-key", pair.path, "--token-cookie", "t").wait_ready()
    mine = bearer(token(pair, "RS256", subscribe=["calm"], publish=["calm"]))
    streams = [Stream(relay.address, "/sse?topic=calm", mine) for _ in range(SUBSCRIBERS)]
    try:
        for stream in streams:
            stream.wait_live()
        requests = [case for _ in range(ROUNDS) for case in forgeries(secret, pair)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = [(kind, allowed, pool.submit(attack, relay, request)) for kind, request, allowed in requests]
            for n in range(EVENTS):
                assert relay.post("/sse?topic=calm", str(n).encode(), mine).status == 200
            for kind, allowed, answer in answers:
                assert answer.result() in allowed, kind
        for stream in streams:
            stream.wait_for(lambda e: e.data == str(EVENTS - 1))
            assert [e.data for e in stream.events if e.name == "message"] == [str(n) for n in range(EVENTS)]
            assert not stream.named("relay.reset")
    finally:
        for stream in streams:
            stream.close()
    denied = relay.metrics()
    assert denied.get("sse_relay_requests_denied_total", reason="invalid_token") == 3 * 10 * ROUNDS
    assert denied.get("sse_relay_requests_denied_total", reason="topic") == 3 * ROUNDS
    assert denied.get("sse_relay_requests_denied_total", reason="origin") == 2 * ROUNDS
    assert not [line for line in relay.logs() if line["level"] == "error"]
