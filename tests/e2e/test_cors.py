"""CORS, as section 5 and the issue's "The relay" have it: an explicit list, errors too, `*` without credentials."""

import pytest

ALLOWED, FOREIGN = "https://app.example", "https://evil.example"


@pytest.fixture(scope="module")
def listed(relay_with):
    """A relay with two origins on its list."""
    return relay_with("--cors-origin", ALLOWED, "--cors-origin", "https://two.example", "--allow-anonymous-publish")


@pytest.fixture(scope="module")
def starred(relay_with):
    """A relay that any origin may read."""
    return relay_with("--cors-origin", "*", "--allow-anonymous-publish")


def answers(relay):
    """One answer of every kind, by what it is."""
    kinds = {
        "not found": ("GET", "/nowhere", None),
        "bad topic": ("GET", "/sse?topic=", None),
        "bad method": ("DELETE", "/sse?topic=a", None),
        "published": ("POST", "/sse?topic=a", b"x"),
        "not published": ("POST", "/sse?topic=a&event=error", b"x"),
        "health": ("GET", "/healthz", None),
        "preflight": ("OPTIONS", "/sse?topic=a", None),
        "head": ("HEAD", "/sse?topic=a", None),
    }

    def ask(origin):
        for kind, (method, target, body) in kinds.items():
            yield kind, relay.request(method, target, [("Origin", origin)], body)
        with relay.stream("a", headers=[("Origin", origin)]) as stream:
            yield "stream", stream.head

    return ask


@pytest.mark.parametrize("origin", [ALLOWED, "https://two.example"])
def test_listed_origin(listed, origin):
    """CORS headers stand on every answer, errors too; credentials go with a listed origin."""
    for kind, answer in answers(listed)(origin):
        assert answer.get("access-control-allow-origin") == origin, kind
        assert answer.get("access-control-allow-credentials") == "true", kind
        assert "Origin" in answer.get("vary"), kind


def test_foreign_origin(listed):
    """An origin that is not on the list gets no permission, and every answer still varies by Origin."""
    for kind, answer in answers(listed)(FOREIGN):
        assert answer.get("access-control-allow-origin") is None, kind
        assert answer.get("access-control-allow-credentials") is None, kind
        assert "Origin" in answer.get("vary"), kind


def test_star_never_has_credentials(starred):
    """Credentials never with `*`."""
    for kind, answer in answers(starred)(FOREIGN):
        assert answer.get("access-control-allow-origin") == "*", kind
        assert answer.get("access-control-allow-credentials") is None, kind


def test_no_list_means_no_permission(relay):
    """Without --cors-origin nobody else's page may read."""
    for kind, answer in answers(relay)(FOREIGN):
        assert answer.get("access-control-allow-origin") is None, kind


@pytest.mark.parametrize("origin", ["null", "https://app.example.evil.example", "http://app.example", "app.example"])
def test_origin_is_compared_whole(listed, origin):
    """Nothing but the exact origin counts: no prefix, no other scheme, not `null`."""
    answer = listed.get("/healthz", [("Origin", origin)])
    assert answer.get("access-control-allow-origin") is None


@pytest.mark.parametrize("target", ["/sse?topic=a", "/", "/healthz"])
@pytest.mark.parametrize(
    "headers",
    [
        "last-event-id, content-type",
        "authorization,cache-control",
        "datastar-request,content-type",  # Datastar
        "hx-request,hx-current-url,hx-target,hx-trigger",  # htmx
        "traceparent,tracestate,baggage,sentry-trace",
        "x-requested-with,idempotency-key",
    ],
)
def test_preflight(listed, headers, target):
    """OPTIONS allows the methods, and whatever headers a page of an allowed origin asks for."""
    asked = [
        ("Origin", ALLOWED),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", headers),
    ]
    answer = listed.request("OPTIONS", target, asked)
    assert answer.status == 204 and not answer.body
    words = lambda text: {w.strip().lower() for w in (text or "").split(",")}
    wanted = {"get", "head", "options"} | ({"post"} if target.startswith("/sse") else set())
    assert words(answer.get("access-control-allow-methods")) == words(answer.get("allow")) == wanted
    assert words(answer.get("access-control-allow-headers")) == words(headers)
    assert int(answer.get("access-control-max-age")) > 0
    foreign = listed.request("OPTIONS", target, [("Origin", FOREIGN), *asked[1:]])
    assert foreign.status == 204 and foreign.get("access-control-allow-headers") is None


def test_options_of_the_server(relay):
    """`OPTIONS /` and `OPTIONS *` say what is served, without an origin too."""
    assert relay.request("OPTIONS", "/").get("allow") == "GET, HEAD, OPTIONS"
    assert relay.request("OPTIONS", "*").get("allow") == "GET, HEAD, POST, OPTIONS"


def test_answer_to_junk_has_cors_headers_too(listed):
    """Errors carry CORS headers as far as the Origin could be read: here a head with two lengths."""
    with listed.conn() as conn:
        head = f"POST /sse?topic=a HTTP/1.1\r\nHost: {conn.host}\r\nOrigin: {ALLOWED}\r\n"
        conn.send(head.encode() + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx")
        answer = conn.read_answer()
        assert answer.status == 400 and "Origin" in answer.get("vary")
