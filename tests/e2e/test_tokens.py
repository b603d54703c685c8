"""Tokens: who may read and publish what, by which key, from which place in the request; and what the refused are told."""

import json
import signal
import subprocess
import time

import pytest

import jose
from harness import run_relay, wait_until
from http_raw import Closed
from jose import KeyPair, Secret, base64url, sign, token

PAGE, OTHER_PAGE = "https://app.example", "https://evil.example"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A secret, and a key of each kind."""
    directory = tmp_path_factory.mktemp("keys")
    kinds = ("rsa", "p256", "p384", "p521", "ed25519", "ed448")
    return {"secret": Secret(directory)} | {kind: KeyPair(directory, kind) for kind in kinds}


@pytest.fixture(scope="module")
def guarded(relay_with, keys):
    """A relay that takes tokens of all these keys, from all three places, with one public corner."""
    args = ["--token-secret-file", keys["secret"].path, "--token-cookie", "access", "--public", "open.**"]
    args += ["--cors-origin", PAGE]
    for kind in ("rsa", "p256", "p384", "p521", "ed25519", "ed448"):
        args += ["--token-key", keys[kind].path]
    return relay_with(*args)


def bearer(text):
    return [("Authorization", f"Bearer {text}")]


def problem(answer, status):
    """The sentence of an error."""
    assert answer.status == status, answer
    assert answer.get("content-type") == "application/problem+json"
    body = json.loads(answer.body)
    assert body["status"] == status
    return body["detail"]


def refused(relay, text, headers=None):
    """What a token that is not valid is told; nothing of it comes back."""
    answer = relay.get("/sse?topic=orders.1", bearer(text) if headers is None else headers)
    detail = problem(answer, 401)
    challenge = answer.get("www-authenticate")
    assert challenge.startswith('Bearer realm="sse-relay", error="invalid_token", error_description="')
    assert detail in challenge
    for part in text.split("."):
        assert len(part) < 8 or (part not in detail and part not in challenge)
    return detail


# ---- reading ----


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", *jose.KIND_OF])
def test_algorithms(guarded, keys, alg):
    """A token of each algorithm opens its topics, with curl too, and the last letter of its signature counts."""
    key = keys[jose.KIND_OF.get(alg, "secret")]
    good = token(key, alg, subscribe=["orders.*"])
    with guarded.stream("/sse?topics=orders.1,orders.2", headers=bearer(good)) as stream:
        assert stream.head.status == 200
        stream.wait_live()
    argv = ["curl", "-sN", "-m", "60", "-H", f"Authorization: Bearer {good}", f"{guarded.url}/sse?topic=orders.1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as curl:
        assert any(line == b"event: relay.live\n" for line in curl.stdout)
        curl.kill()
    first = "B" if good.rpartition(".")[2][0] == "A" else "A"
    bad = good.rpartition(".")[0] + "." + first + good.rpartition(".")[2][1:]
    assert "signature" in refused(guarded, bad)


def test_ed448(guarded, keys):
    with guarded.stream("orders.1", headers=bearer(token(keys["ed448"], "EdDSA", subscribe=["**"]))) as stream:
        stream.wait_live()


def test_no_token(guarded):
    """401 without `error`, as RFC 6750 has it, and a sentence that says which topic and where a token goes."""
    answer = guarded.get("/sse?topics=open.a,open.a,orders.1,orders.2")
    detail = problem(answer, 401)
    assert "topic 3 " in detail and "Authorization: Bearer" in detail and "token=" in detail and "`access`" in detail
    assert "orders" not in detail
    assert answer.get("www-authenticate") == 'Bearer realm="sse-relay"'
    head = guarded.request("HEAD", "/sse?topic=orders.1")
    assert head.status == 401 and head.get("www-authenticate")


def test_a_topic_that_is_not_allowed(guarded, keys):
    """403 names the topic by its place in the query, and counts those that stand there twice."""
    mine = token(keys["secret"], subscribe=["orders.1", "orders.1.**"])
    answer = guarded.get("/sse?topics=orders.1,orders.1,open.x,orders.1.a.b&topic=orders.2", bearer(mine))
    assert "topic 5:" in problem(answer, 403) and "subscribe" in problem(answer, 403)
    assert 'error="insufficient_scope"' in answer.get("www-authenticate")
    assert "topic 5." in answer.get("www-authenticate")
    assert b"orders" not in answer.body
    # What is wrong with the query is told first, and 403 is the same for a topic that exists and one that does not.
    assert "empty" in problem(guarded.get("/sse?topics=orders.1,,x"), 400)


@pytest.mark.parametrize(
    "pattern, topic, fits",
    [
        ("users.{sub}.**", "users.7.inbox", True),
        ("users.{sub}.**", "users.7.a.b", True),
        ("users.{sub}.**", "users.77.inbox", False),
        ("users.{sub}.**", "users.8.inbox", False),
        ("users.{sub}", "users.7", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.b.c", True),
        ("**.c", "a.b.c", True),
        ("*", "a.b", False),
        ("**", "a.b", True),
        ("a", "A", False),
        ("a.b", "a-b", False),
    ],
)
def test_patterns(guarded, keys, pattern, topic, fits):
    answer = guarded.request("HEAD", f"/sse?topic={topic}", bearer(token(keys["secret"], subscribe=[pattern], sub="7")))
    assert answer.status == (200 if fits else 403)


@pytest.mark.parametrize("subject", [None, "", "*", "**", "{sub}", "7.*"])
def test_a_subject_is_taken_as_it_is(guarded, keys, subject):
    """No subject, and none that looks like a pattern, opens what belongs to somebody."""
    claims = {} if subject is None else {"sub": subject}
    mine = bearer(token(keys["secret"], subscribe=["users.{sub}.**"], **claims))
    for topic in ("users.7.inbox", "users.7", "users..inbox", "users..7"):
        assert guarded.request("HEAD", f"/sse?topic={topic}", mine).status == 403


def test_public_topics(guarded, redis):
    """They need no token, and a token that is of no use otherwise does no harm there."""
    for headers in ([], bearer("rubbish"), [("Cookie", "access=rubbish")]):
        with guarded.stream("/sse?topics=open.a,open.b.c", headers=headers) as stream:
            stream.wait_live()
    assert guarded.get("/sse?topics=open.a,closed").status == 401
    assert guarded.post("/sse?topic=open.a", b"x").status == 401


def test_replays_are_authorised_too(guarded, keys):
    """A cursor opens nothing."""
    post = guarded.post("/sse?topic=replayed.1", b"x", bearer(token(keys["secret"], publish=["replayed.1"])))
    cursor = json.loads(post.body)["ids"]["replayed.1"]
    other = bearer(token(keys["secret"], subscribe=["replayed.2"]))
    for where in (f"&lastEventId={cursor}", "&since=0", "&last=10"):
        assert guarded.get(f"/sse?topic=replayed.1{where}").status == 401
        assert guarded.get(f"/sse?topic=replayed.1{where}", other).status == 403
    assert guarded.get("/sse?topic=replayed.1", [*other, ("Last-Event-ID", cursor)]).status == 403
    mine = bearer(token(keys["secret"], subscribe=["replayed.1"]))
    with guarded.stream("/sse?topic=replayed.1&since=0", headers=mine) as stream:
        assert stream.wait_for(lambda e: e.data == "x")


# ---- where the token stands ----


def test_in_the_query(guarded, keys, redis):
    good = token(keys["secret"], subscribe=["orders.1"])
    with guarded.stream(f"/sse?token={good}&topic=orders.1") as stream:
        stream.wait_live()
    with guarded.stream(f"/sse?topic=orders.1&to%6ben={good.replace('.', '%2E')}") as stream:
        stream.wait_live()
    assert guarded.get("/sse?topic=orders.1&token=").status == 401
    assert guarded.get("/sse?topic=orders.1&token").status == 401
    assert guarded.get("/sse?topic=orders.1&token=%zz").status == 401


def test_in_a_cookie(guarded, keys):
    good = token(keys["secret"], subscribe=["orders.1"])
    for cookie in (f"access={good}", f"a=b; access={good}; c=d", f'access="{good}"', f"a=b;access={good}"):
        with guarded.stream("orders.1", headers=[("Cookie", cookie)]) as stream:
            stream.wait_live()
    for cookie in (f"Access={good}", f"xaccess={good}", f"access2={good}", f"x=access={good}", "access", ""):
        assert guarded.get("/sse?topic=orders.1", [("Cookie", cookie)]).status == 401


def test_cookies_are_not_looked_at_unless_asked_for(start_relay, keys):
    relay = start_relay("--token-secret-file", keys["secret"].path).wait_ready()
    good = token(keys["secret"], subscribe=["**"])
    for name in ("access", "token", "Authorization"):
        assert relay.get("/sse?topic=a", [("Cookie", f"{name}={good}")]).status == 401


def test_the_header_wins(guarded, keys):
    """Of two tokens the header's counts, for good and for bad; then the query's."""
    good, bad = token(keys["secret"], subscribe=["orders.1"]), "x.y.z"
    target, cookie = "/sse?topic=orders.1", ("Cookie", f"access={good}")
    assert guarded.request("HEAD", f"{target}&token={bad}", bearer(good)).status == 200
    assert guarded.get(f"{target}&token={good}", [*bearer(bad), cookie]).status == 401
    assert guarded.get(f"{target}&token={bad}", [cookie]).status == 401
    assert guarded.request("HEAD", target, [("Authorization", "Basic dTpw"), cookie]).status == 200
    assert guarded.request("HEAD", target, [("Authorization", f"bearer   {good} ")]).status == 200
    assert guarded.get(target, [("Authorization", "Bearer"), cookie]).status == 401
    assert guarded.get(target, [("Authorization", f"Bearer{good}")]).status == 401


def test_two_headers(guarded, keys):
    """Of two Authorization fields none counts: whoever stands in front may have looked at the other. Cookies may come in several."""
    good, target = token(keys["secret"], subscribe=["orders.1"]), "/sse?topic=orders.1"
    for headers in ([*bearer(good), *bearer(good)], [*bearer(good), *bearer("x.y.z")], [("Authorization", "Basic dTpw"), *bearer(good)]):
        assert "more than one" in problem(guarded.get(target, headers), 401)
    assert guarded.request("HEAD", target, [("Cookie", "a=b; c=d"), ("Cookie", f"e=f; access={good}")]).status == 200


# ---- publishing ----


def test_publishing(guarded, keys):
    """By the list `publish`, of all topics or none; reading is not publishing."""
    mine = bearer(token(keys["secret"], publish=["out.*"], subscribe=["in.*"]))
    assert guarded.post("/sse?topics=out.a,out.b", b"x", mine).status == 200
    assert "topic 2:" in problem(guarded.post("/sse?topics=out.a,in.b", b"x", mine), 403)
    assert "publish" in problem(guarded.post("/sse?topic=in.b", b"x", mine), 403)
    assert guarded.get("/sse?topic=out.a", mine).status == 403
    answer = guarded.post("/sse?topic=out.a", b"x")
    assert "topic 1 " in problem(answer, 401) and answer.get("www-authenticate") == 'Bearer realm="sse-relay"'
    assert guarded.post(f"/sse?topic=out.a&token={mine[0][1].split()[1]}", b"x").status == 200


def test_a_refused_publish_is_answered_before_its_body(guarded):
    """A megabyte of somebody without a token is not read."""
    with guarded.conn() as conn:
        conn.send(f"POST /sse?topic=a HTTP/1.1\r\nHost: {conn.host}\r\nContent-Length: 1000000\r\n"
                  "Expect: 100-continue\r\n\r\n".encode())
        assert conn.read_answer().status == 401


def test_publishing_by_cookie_needs_an_origin(guarded, keys):
    """A browser sends a cookie along for any page; so the page is asked for."""
    cookie = ("Cookie", f"access={token(keys['secret'], publish=['out.*'])}")
    host = f"{guarded.address[0]}:{guarded.address[1]}"
    for origin, status in ((None, 403), (OTHER_PAGE, 403), ("null", 403), (PAGE, 200), (f"http://{host}", 200)):
        origins = [] if origin is None else [("Origin", origin)]
        assert guarded.post("/sse?topic=out.a", b"x", [cookie, *origins]).status == status, origin


def test_a_star_is_no_permission_for_cookies(start_relay, keys):
    """`--cors-origin *` is for everybody without credentials."""
    relay = start_relay("--token-secret-file", keys["secret"].path, "--token-cookie", "t", "--cors-origin", "*")
    relay.wait_ready()
    text = token(keys["secret"], publish=["**"])
    assert relay.post("/sse?topic=a", b"x", [("Cookie", f"t={text}"), ("Origin", PAGE)]).status == 403
    assert relay.post("/sse?topic=a", b"x", [*bearer(text), ("Origin", PAGE)]).status == 200


def test_anonymous_publishing_beside_tokens(start_relay, keys):
    """--allow-anonymous-publish means what it says, and the log warns of it."""
    relay = start_relay("--token-secret-file", keys["secret"].path, "--allow-anonymous-publish").wait_ready()
    assert relay.post("/sse?topic=a", b"x").status == 200
    assert relay.get("/sse?topic=a").status == 401
    assert any(line["level"] == "warn" and "--allow-anonymous-publish" in line["msg"] for line in relay.logs())


# ---- time ----


def test_expired_and_not_yet_valid(guarded, keys):
    secret, now = keys["secret"], time.time()
    assert "expired" in refused(guarded, token(secret, subscribe=["**"], ttl=-3600))
    assert "expired" in refused(guarded, token(secret, subscribe=["**"], exp=-1))
    assert "not valid yet" in refused(guarded, token(secret, subscribe=["**"], nbf=now + 3600))
    for claims in ({"exp": "soon"}, {"exp": None}, {"nbf": [1]}, {"exp": True}):
        assert "number of seconds" in refused(guarded, token(secret, subscribe=["**"], **claims))
    for claims in ({"nbf": now + 5}, {"exp": now - 5}, {"exp": 1e300}, {"exp": int(now) + 3600}):
        good = token(secret, subscribe=["**"], **claims)
        assert guarded.request("HEAD", "/sse?topic=a", bearer(good)).status == 200, claims


def test_a_stream_ends_when_its_token_does(guarded, keys):
    """At `exp`, with its reason and a `retry:` that brings the page back soon; one for public topics goes on."""
    before = guarded.metrics().get("sse_relay_disconnects_total", reason="expired")
    text = token(keys["secret"], subscribe=["a"], ttl=3)
    with guarded.stream("a", headers=bearer(text)) as stream, guarded.live("/sse?topic=open.a") as public:
        stream.wait_live()
        close = stream.wait_for(lambda e: e.name == "relay.close")
        assert json.loads(close.data) == {"reason": "expired"}
        assert stream.parser.retries[-1] <= 3200  # --retry, and a moment
        try:
            while not stream.ended:
                stream.read_more(time.monotonic() + 60)
        except Closed:
            pass
        assert guarded.post("/sse?topic=open.a&live", b"on", bearer(token(keys["secret"], publish=["**"]))).status == 200
        public.wait_for(lambda e: e.data == "on")
    assert guarded.metrics().get("sse_relay_disconnects_total", reason="expired") == before + 1


# ---- forged ----


def test_forged_tokens(guarded, keys):
    """Whatever the header says, a token opens nothing that its key's algorithm has not signed."""
    secret, rsa, p256 = keys["secret"], keys["rsa"], keys["p256"]
    claims = {"sse": {"subscribe": ["**"], "publish": ["**"]}, "exp": time.time() + 600}
    plain = f"{base64url(json.dumps({'alg': 'none'}).encode())}.{base64url(json.dumps(claims).encode())}."
    for alg in ("none", "None", "nOnE", "NONE", "", "hs256", "HS256 ", "HS1", "RS1", "ES256K", "A128KW", 5, None, ["HS256"]):
        assert "algorithm" in refused(guarded, sign(secret, "HS256", {"alg": alg}, claims)), alg
    assert "algorithm" in refused(guarded, plain)
    assert "algorithm" in refused(guarded, sign(secret, "HS256", {}, claims))

    class PublicAsSecret:
        """The oldest trick: the public key, which everybody has, as the secret of HMAC."""

        def __init__(self, data):
            self.bytes = data

        sign = Secret.sign

    for key in (rsa, p256, keys["ed25519"]):
        pem = key.path.read_bytes()
        for data in (pem, pem.strip(), jose.openssl("pkey", "-pubin", "-in", key.path, "-outform", "DER")):
            refused(guarded, sign(PublicAsSecret(data), "HS256", {"alg": "HS256"}, claims))
    # Signed well, and called something else.
    for alg, called in (("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS384"), ("RS256", "HS256"), ("RS256", "ES256")):
        refused(guarded, sign(rsa, alg, {"alg": called}, claims))
    refused(guarded, sign(p256, "ES256", {"alg": "ES384"}, claims))
    refused(guarded, sign(p256, "ES256", {"alg": "EdDSA"}, claims))
    # A token that brings its own key.
    jwk = {"kty": "oct", "k": base64url(b"x" * 32)}
    for header in ({"jwk": jwk}, {"jku": "http://127.0.0.1:1/"}, {"x5u": "http://127.0.0.1:1/"}, {"kid": "/dev/null"}):
        refused(guarded, sign(PublicAsSecret(b"x" * 32), "HS256", {"alg": "HS256"} | header, claims))
    refused(guarded, sign(secret, "HS256", {"alg": "HS256", "crit": ["b64"], "b64": False}, claims))
    # An ECDSA signature of two zeros, of the wrong length, or in DER.
    data = sign(p256, "ES256", {"alg": "ES256"}, claims).rpartition(".")[0]
    der = jose.openssl("dgst", "-sha256", "-sign", p256.private, stdin=data.encode())
    for signature in (bytes(64), bytes(63), b"", der):
        refused(guarded, f"{data}.{base64url(signature)}")


def test_tokens_that_are_none(guarded, keys):
    good = token(keys["secret"], subscribe=["**"])
    head, claims, signature = good.split(".")
    rubbish = ["", ".", "..", "...", "a.b.c", good + ".", "." + good, good + "=", good + "AA", good[:-1], f"{head}.{claims}",
               f"{head}..{signature}", f"{head}.{claims}.{signature} x", good.replace("_", "/").replace("-", "+") + "+", "x" * 10000]
    for text in rubbish:
        assert guarded.get("/sse?topic=a", bearer(text)).status == 401, text
    # Signed by the right key, and senseless all the same.
    secret = keys["secret"]
    bodies = [b"", b"null", b"[]", b"{", b'{"sse":{},"sse":{"subscribe":["**"]}}', b'{"sse":{"subscribe":["**"]}} x', b"\xff\xfe",
              b'{"sse":[]}', b'{"sse":{"subscribe":"**"}}', b'{"sse":{"subscribe":[1]}}', b'{"sse":{"subscribe":["{user}"]}}',
              b'{"sse":{"subscribe":["a\\u0000"]}}', b'{"sub":7,"sse":{"subscribe":["**"]}}', b"[" * 6000]
    for body in bodies:
        refused(guarded, sign(secret, "HS256", {"alg": "HS256"}, body))
    for body in (b"{}", b'{"sse":{}}', b'{"sse":{"publish":["**"]}}'):
        text = sign(secret, "HS256", {"alg": "HS256"}, body)
        assert guarded.get("/sse?topic=a", bearer(text)).status == 403


def test_a_token_of_a_megabyte(guarded, redis):
    """Refused with its head, before it is whole; who listens meanwhile notices nothing."""
    with guarded.live("/sse?topic=open.calm") as calm:
        for target, headers in (("/sse?topic=a", bearer("a" * 2**20)), (f"/sse?topic=a&token={'a' * 2**20}", [])):
            try:
                assert guarded.get(target, headers).status == 431
            except (Closed, ConnectionError):
                pass  # it was told while it was still sending
        redis.publish("open.calm", "still here")
        calm.wait_for(lambda e: e.data == "still here")


def test_audience_and_issuer(start_relay, keys):
    """`aud` may be a list; a token that names an audience is not for a relay that has none."""
    secret = keys["secret"]
    relay = start_relay("--token-secret-file", secret.path, "--token-audience", "relay", "--token-audience", "both",
                        "--token-issuer", "https://id.example").wait_ready()

    def status(relay, **claims):
        return relay.request("HEAD", "/sse?topic=a", bearer(token(secret, subscribe=["**"], **claims))).status

    good = {"aud": "relay", "iss": "https://id.example"}
    assert status(relay, **good) == 200
    assert status(relay, **good | {"aud": ["x", "both"]}) == 200
    for bad in ({"aud": "other"}, {"aud": ["other"]}, {"aud": []}, {"aud": None}, {"iss": "https://id.example/"}, {"iss": None},
                {"aud": {"relay": "relay"}}, {"iss": ["https://id.example"]}):
        assert status(relay, **good | bad) == 401, bad
    assert status(relay, aud="relay") == 401 and status(relay, iss="https://id.example") == 401
    plain = start_relay("--token-secret-file", secret.path).wait_ready()
    assert status(plain) == 200 and status(plain, iss="anybody") == 200 and status(plain, aud="relay") == 401


# ---- nothing of a token anywhere, and what is counted ----


def test_tokens_reach_no_log_and_no_metric(start_relay, keys):
    """With every line that there is, and each kind of end."""
    relay = start_relay("--token-secret-file", keys["secret"].path, "--log-level", "debug", "--token-cookie", "access")
    relay.wait_ready()
    good = token(keys["secret"], subscribe=["a"], jti="jti-of-a-token", sub="a-subject-of-it")
    with relay.stream(f"/sse?topic=a&token={good}") as stream:
        stream.wait_live()
    answers = [relay.get(f"/sse?topic=b&token={good}"), relay.get(f"/sse?topic=b&token={good}x"),
               relay.get("/sse?topic=b", bearer(good)), relay.get("/sse?topic=b", [("Cookie", f"access={good}")]),
               relay.get(f"/nowhere?token={good}"), relay.request("PUT", f"/sse?token={good}"),
               relay.post("/sse?topic=a", b"x", bearer(good))]
    assert [a.status for a in answers] == [403, 401, 403, 403, 404, 405, 403]
    metrics = relay.metrics()
    said = relay.err + relay.out + metrics.text + "".join(str(a.head.fields) + a.body.decode() for a in answers)
    for part in (*good.split("."), "jti-of-a-token", "a-subject-of-it", keys["secret"].bytes.decode()):
        assert part not in said
    denied = {reason: metrics.get("sse_relay_requests_denied_total", reason=reason)
              for reason in ("no_token", "invalid_token", "topic", "origin")}
    assert denied == {"no_token": 0, "invalid_token": 1, "topic": 4, "origin": 0}


# ---- keys and options ----


def test_without_keys_all_is_as_before(start_relay):
    """Reading is open, publishing is not, and the log says so; a token is not looked at."""
    relay = start_relay().wait_ready()
    with relay.stream("a", headers=bearer("rubbish")) as stream:
        stream.wait_live()
    assert "--token-key" in problem(relay.post("/sse?topic=a", b"x"), 403)
    assert any("everybody" in line["msg"] and line["publishing"] == "nobody over HTTP" for line in relay.logs())


def test_options_of_tokens_need_a_key(tmp_path):
    """Otherwise `--public` would look as though the rest were closed."""
    for args in (["--public", "a"], ["--token-cookie", "a"], ["--token-audience", "a"], ["--token-issuer", "a"]):
        done = run_relay(*args, "--check-config")
        assert done.returncode == 2 and "--token-key" in done.stderr, args
    # A variable of the shell that is not set must not leave a relay open.
    for option in ("--token-key", "--token-secret-file"):
        done = run_relay(option, "", "--check-config")
        assert done.returncode == 2 and option in done.stderr and "is empty" in done.stderr
    file = tmp_path / "config.json"
    for text, code in (('{"token_key": ""}', 2), ('{"token_key": [""]}', 2), ('{"token_key": []}', 0)):
        file.write_text(text)
        assert run_relay("--config", file, "--check-config").returncode == code, text
    for value in ("{sub}", "a.{sub}.b", "{", "a***", "a\tb"):
        assert run_relay("--public", value, "--token-key", "x", "--check-config").returncode == 2, value
    for value in ("", "a b", "a;b", "a=b"):
        assert run_relay("--token-cookie", value, "--token-key", "x", "--check-config").returncode == 2, value


def refuses_to_start(redis, *args):
    done = run_relay("--redis", redis.url, "--listen", "127.0.0.1:0", *args)
    assert done.returncode == 1 and not done.stdout, done.stderr
    return done.stderr


def test_files_that_are_no_keys(redis, keys, tmp_path):
    """What cannot be used is told at the start: which file, and what to do; and never what is in it."""
    file = tmp_path / "file"

    def secret(content):
        file.write_bytes(content)
        said = refuses_to_start(redis, "--token-secret-file", file)
        assert str(file) in said
        return said

    def key(content):
        file.write_bytes(content)
        said = refuses_to_start(redis, "--token-key", file)
        assert str(file) in said
        return said

    assert "cannot be read" in refuses_to_start(redis, "--token-key", tmp_path / "nowhere")
    assert "cannot be read" in refuses_to_start(redis, "--token-secret-file", tmp_path)
    assert "32 bytes" in secret(b"short-secret-of-mine\n") and "short-secret-of-mine" not in secret(b"short-secret-of-mine\n")
    assert "32 bytes" in secret(b"")
    assert "32 bytes" in secret(b"x" * 31 + b"\r\n")
    assert "1 MiB" in secret(b"x" * (2**20 + 1))
    # A public key as a secret: everybody could sign.
    rsa = keys["rsa"]
    assert "--token-key" in secret(rsa.path.read_bytes())
    for kind in ("rsa", "p256", "ed25519"):
        der = jose.openssl("pkey", "-pubin", "-in", keys[kind].path, "-outform", "DER")
        assert "--token-key" in secret(der), kind
    assert "--token-key" in secret(b'{"keys":[{"kty":"RSA","n":"AAAAAAAAAAAAAAAA"}]}')
    assert "--token-key" in secret(b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me")
    # As a public key.
    assert "private key" in key(rsa.private.read_bytes())
    assert "-----BEGIN PUBLIC KEY-----" in key(b"x" * 64)
    assert "-----BEGIN PUBLIC KEY-----" in key(b"")
    assert "cannot be read" in key(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    assert "cannot be read" in key(rsa.path.read_bytes() + rsa.path.read_bytes()[:200])
    short = KeyPair(tmp_path, "rsa-short")
    assert "2048" in key(short.path.read_bytes())
    assert "curve" in key(KeyPair(tmp_path, "secp256k1").path.read_bytes())


def test_files_that_are(start_relay, keys, tmp_path):
    """Several keys in one file, a certificate, PKCS #1, a secret without a line end or of any bytes."""
    bundle = tmp_path / "bundle.pem"
    rsa = KeyPair(tmp_path, "rsa", "own")
    certificate = jose.openssl("req", "-x509", "-new", "-key", rsa.private, "-subj", "/CN=issuer", "-days", "2")
    bundle.write_bytes(keys["p256"].path.read_bytes() + b"a comment\n" + certificate)
    pkcs1 = tmp_path / "pkcs1.pem"
    pkcs1.write_bytes(jose.openssl("rsa", "-pubin", "-in", keys["rsa"].path, "-RSAPublicKey_out"))
    binary = Secret(tmp_path)
    binary.bytes = bytes(range(1, 255))
    binary.path.write_bytes(binary.bytes)
    relay = start_relay("--token-key", f"{bundle},{pkcs1}", "--token-secret-file", binary.path).wait_ready()
    for key, alg in ((keys["p256"], "ES256"), (rsa, "RS256"), (keys["rsa"], "PS512"), (binary, "HS512")):
        text = token(key, alg, subscribe=["a"])
        assert relay.request("HEAD", "/sse?topic=a", bearer(text)).status == 200, alg
    text = token(keys["p384"], "ES384", subscribe=["a"])
    assert "no key for the algorithm" in refused(relay, text)


def test_a_short_secret_is_for_short_hashes(start_relay, tmp_path):
    """RFC 7518: a secret is as long as the hash at least."""
    secret = Secret(tmp_path, "x" * 32)
    relay = start_relay("--token-secret-file", secret.path).wait_ready()
    assert relay.request("HEAD", "/sse?topic=a", bearer(token(secret, "HS256", subscribe=["a"]))).status == 200
    assert "no key" in refused(relay, token(secret, "HS512", subscribe=["a"]))


def test_keys_are_read_again_when_their_file_changes(start_relay, tmp_path):
    """By itself, and on SIGHUP; a file that is no good leaves the keys of before; and no stream is dropped."""
    old, new = Secret(tmp_path, "o" * 32), Secret(tmp_path, "n" * 32, "new")
    relay = start_relay("--token-secret-file", old.path).wait_ready()

    def status(secret):
        return relay.request("HEAD", "/sse?topic=a", bearer(token(secret, subscribe=["a"]))).status

    assert (status(old), status(new)) == (200, 401)
    with relay.stream("a", headers=bearer(token(old, subscribe=["a"]))) as stream:
        stream.wait_live()
        old.path.write_text("too short")
        wait_until(lambda: any("not read again" in line["msg"] for line in relay.logs()), "a complaint")
        assert (status(old), status(new)) == (200, 401)
        replacement = tmp_path / "replacement"
        replacement.write_bytes(new.bytes)
        replacement.rename(old.path)
        wait_until(lambda: status(new) == 200, "the new secret")
        assert status(old) == 401
        text = token(new, publish=["a"])
        assert relay.post("/sse?topic=a", b"still there", bearer(text)).status == 200
        stream.wait_for(lambda e: e.data == "still there")


def test_sighup_reads_keys_again(start_relay, tmp_path):

    secret = Secret(tmp_path)
    relay = start_relay("--token-secret-file", secret.path).wait_ready()
    relay.signal(signal.SIGHUP)
    wait_until(lambda: any("read again" in line["msg"] and line["keys"] == 1 for line in relay.logs()), "the reload")
