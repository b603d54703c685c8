"""`sse-publish kick`: the streams of a subject, a token or a topic end on every node, and with --for they may not come back."""

import json
import re
import shlex
import time

import pytest

from harness import frozen_thread, json_lines, run_publish, wait_until
from http_raw import Answer
from jose import Secret, token
from settings import ROOT
from test_rights import as_listed, listed

BARS = "sse:{0}:bars"


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    return Secret(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def start_node(start_relay, own_redis, secret):
    """A function that starts a relay which takes tokens; everybody may read what begins with `open`."""

    def start(*args, redis_url=None):
        return start_relay("--token-secret-file", secret.path, "--public", "open.**", *args,
                           redis_url=redis_url or own_redis.url).wait_ready()

    return start


@pytest.fixture
def nodes(start_node):
    return [start_node() for _ in "ab"]


def kick(redis, *args, code=0, url=None):
    done = run_publish("kick", *args, "--redis", url or redis.url)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def told(redis, *args, **how):
    """What a kick came to, as an object."""
    (line,) = json_lines(kick(redis, *args, "--json", **how).stdout)
    return line


@pytest.fixture
def open_stream(secret):
    """A function that opens streams with a token of these claims, and waits until they are live."""
    streams = []

    def start(node, target, **claims):
        text = token(secret, subscribe=["**"], publish=["**"], **claims)
        stream = node.stream(target, headers=[("Authorization", f"Bearer {text}")])
        streams.append(stream)
        return stream.wait_live()

    yield start
    for stream in streams:
        stream.close()


def assert_kicked(stream):
    """It ended as a stream ends, with the reason and the time to come back."""
    stream.wait_end()
    (close,) = stream.named("relay.close")
    assert json.loads(close.data) == {"reason": "kicked"}
    assert stream.events[-1] == close


def refusal(node, secret, target, method="GET", **claims):
    """The answer to somebody who is barred."""
    headers = [("Authorization", f"Bearer {token(secret, subscribe=['**'], publish=['**'], **claims)}")] if claims else []
    with node.conn() as conn:
        conn.request(method, target, headers, b"x" if method == "POST" else None)
        head = conn.read_head()
        assert head.status == 403, head  # a stream would never end
        answer = Answer(head, conn.take(int(head.get("content-length"))))
    return json.loads(answer.body)["detail"], int(answer.get("retry-after"))


@pytest.mark.parametrize(("how", "claims"), [("--subject", {"sub": "alice"}), ("--token", {"jti": "t 1"})], ids=["subject", "token"])
def test_whose_streams_end(nodes, own_redis, open_stream, how, claims):
    """Theirs on every node, and of every worker; those of others, and of nobody, go on. They may come back."""
    name = next(iter(claims.values()))
    theirs = [open_stream(node, f"t{n % 3}", **claims, **more) for node in nodes for n in range(6) for more in ({}, {"iss": "x"})]
    others = [open_stream(node, "t1", **more) for node in nodes for more in ({"sub": "alic", "jti": "t"}, {"sub": "t 1", "jti": "alice"})]
    others += [open_stream(node, "t1") for node in nodes] + [node.live("open.t") for node in nodes]
    assert told(own_redis, how, name) == {how[2:]: name, "streams": 24, "relays": 2}
    for stream in theirs:
        assert_kicked(stream)
    for topic in ("t1", "open.t"):
        own_redis.publish(topic, "go on")
    for stream in others:
        stream.wait_data("go on")
        assert not stream.named("relay.close")
    assert sum(node.metrics().get("sse_relay_disconnects_total", reason="kicked") for node in nodes) == 24
    open_stream(nodes[0], "t1", **claims)
    assert kick(own_redis, how, name).stdout == f"{name}\t1\t2\n"


def test_a_topic(nodes, own_redis, open_stream):
    """All streams that have it end, whoever's they are and whatever else they have; it takes no token to be kicked so."""
    theirs = [open_stream(node, target, **claims) for node in nodes for claims in ({}, {"sub": "alice"})
              for target in ("a b".replace(" ", "%20"), "/sse?topic=x&topic=a%20b&as=json", "/sse?topic=a%20b&topic=y&as=topic")]
    public = [node.live("open.t") for node in nodes]
    others = [open_stream(node, "/sse?topics=x,y") for node in nodes]
    assert told(own_redis, "--topic", "a b") == {"topic": "a b", "streams": 12, "relays": 2}
    for stream in theirs:
        assert_kicked(stream)
    assert told(own_redis, "--topic", "open.t")["streams"] == 2
    for stream in public:
        assert_kicked(stream)
    own_redis.publish("x", "go on")
    for stream in others:
        stream.wait_data("go on")
        assert not stream.named("relay.close")
    assert told(own_redis, "--topic", "a b")["streams"] == 0


@pytest.mark.parametrize(("how", "who"), [("--subject", {"sub": "alice"}), ("--token", {"jti": "alice"})], ids=["subject", "token"])
def test_a_bar(nodes, start_node, own_redis, open_stream, secret, how, who):
    """They may neither read nor publish, on any node and one that starts later; the sentence says why, and until when."""
    stream = open_stream(nodes[1], "t", **who)
    before = time.time()
    done = told(own_redis, how, "alice", "--for", "10m")
    assert done | {"until": 0} == {how[2:]: "alice", "streams": 1, "relays": 2, "until": 0}
    assert 595 < done["until"] / 1000 - before < 605
    assert_kicked(stream)
    for node in [*nodes, start_node()]:
        wait_until(lambda node=node: node.metrics()["sse_relay_bars"] == 1, "the bar")
        for method, word in (("GET", "read"), ("POST", "publish")):
            detail, after = refusal(node, secret, "/sse?topic=t", method, **who)
            assert 590 < after < 602 and word in detail and "alice" not in detail
            assert ("subject" if "sub" in who else "This token may") in detail
            at = time.strftime("%Y-%m-%dT%H:%M:", time.gmtime(done["until"] / 1000 + 1))
            assert f"before {at}" in detail
        assert node.request("HEAD", "/sse?topic=t", [("Authorization", f"Bearer {token(secret, subscribe=['t'], **who)}")]).status == 403
        open_stream(node, "t", sub="bob", jti="bob")
        open_stream(node, "t", sub=who.get("jti", "x"), jti=who.get("sub", "x"))  # the same word, of another kind
        assert node.get("/sse?topic=t").status == 401
        with node.live("open.t"):  # nobody's token is looked at here
            pass
        assert node.metrics().get("sse_relay_requests_denied_total", reason="barred") == 3


def test_a_bar_of_a_topic(nodes, own_redis, open_stream, secret):
    """Nobody may read it, alone or among others, with or without a token; its position is named. It can be published to."""
    told(own_redis, "--topic", "open.t", "--for", "1h")
    for claims in ({}, {"sub": "bob"}):
        detail, after = refusal(nodes[0], secret, "/sse?topics=open.a,open.t,open.b", **claims)
        assert "topic 2" in detail and 3590 < after < 3602
    assert "topic 1" in refusal(nodes[1], secret, "/sse?topic=open.t")[0]
    with nodes[0].live("/sse?topics=open.a,open.b"):
        pass
    text = token(secret, publish=["**"])
    assert nodes[0].post("/sse?topic=open.t", b"x", [("Authorization", f"Bearer {text}")]).status == 200


def test_it_ends(nodes, own_redis, open_stream, secret):
    """A bar is over when it said, on nodes that heard of it and on those that read of it; so is its key in Redis."""
    told(own_redis, "--subject", "long", "--for", "1h")
    told(own_redis, "--subject", "alice", "--for", "2s")
    told(own_redis, "--subject", "long", "--for", "3s")  # the last one counts
    refusal(nodes[0], secret, "/sse?topic=t", sub="alice")
    own_redis("CLIENT", "KILL", "TYPE", "pubsub")
    wait_until(lambda: own_redis("PTTL", BARS) == -2, "the end of the key")
    for node in nodes:
        wait_until(lambda node=node: node.metrics()["sse_relay_bars"] == 0, "the end of the bars")
        open_stream(node, "t", sub="alice")
        open_stream(node, "t", sub="long")


def test_lift_and_list(nodes, own_redis, open_stream, secret):
    assert "nobody is barred" in kick(own_redis, "--list").stderr
    for how, name in (("--subject", "alice"), ("--token", "a b"), ("--topic", "open.t")):
        kick(own_redis, how, name, "--for", "1h" if how != "--token" else "10m")
    lines = kick(own_redis, "--list").stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [["token", "a b"], ["subject", "alice"], ["topic", "open.t"]]
    assert all(line.endswith("Z") for line in lines)
    assert [set(line) for line in json_lines(kick(own_redis, "--list", "--json").stdout)] == [
        {"token", "until"}, {"subject", "until"}, {"topic", "until"}]
    refusal(nodes[0], secret, "/sse?topic=t", sub="alice")
    stream = open_stream(nodes[0], "t", sub="bob")
    assert told(own_redis, "--lift", "--subject", "alice") == {"subject": "alice", "streams": 0, "relays": 2, "lifted": True}
    assert "the subject bob was not barred" in kick(own_redis, "--lift", "--subject", "bob").stderr
    for node in nodes:
        open_stream(node, "t", sub="alice")
        refusal(node, secret, "/sse?topic=t", jti="a b")
    assert len(kick(own_redis, "--list").stdout.splitlines()) == 2
    own_redis.publish("t", "go on")
    stream.wait_data("go on")


def test_a_node_that_was_cut_off(start_node, own_redis, proxy_to, open_stream, secret):
    """It learns of bars, and of those that were lifted, when it is back; a kick without one it never hears of."""
    proxy = proxy_to(("127.0.0.1", own_redis.port))
    near, far = start_node(), start_node(redis_url=f"redis://127.0.0.1:{proxy.port}")
    streams = {name: open_stream(far, "t", sub=name) for name in ("alice", "bob", "carol", "dora")}
    told(own_redis, "--subject", "dora", "--for", "1h")
    assert_kicked(streams["dora"])
    proxy.silence(new_too=True)
    proxy.cut()
    wait_until(lambda: own_redis.subscriptions()["sse:relay.kick"] == 1, "the relay to be gone")
    assert told(own_redis, "--subject", "alice")["relays"] == 1
    told(own_redis, "--subject", "bob", "--for", "1h")
    told(own_redis, "--lift", "--subject", "dora")
    refusal(near, secret, "/sse?topic=t", sub="bob")
    refusal(far, secret, "/sse?topic=t", sub="dora")
    proxy.restore()
    assert_kicked(streams["bob"])
    refusal(far, secret, "/sse?topic=t", sub="bob")
    wait_until(lambda: far.metrics()["sse_relay_bars"] == 1, "dora's bar to go")
    open_stream(far, "t", sub="dora")
    own_redis.publish("t", "go on")
    for name in ("alice", "carol"):
        streams[name].wait_data("go on")
    lines = [line for line in far.logs() if line["msg"] == "streams were kicked"]
    assert [line["streams"] for line in lines] == [1, 1]


def test_http2(start_node, own_redis, secret):
    """Streams of one connection are kicked one by one; who is barred gets the answer of HTTP/1.1."""
    http2 = pytest.importorskip("http2", reason="python-h2 is missing: make deps-test installs it")
    node = start_node()

    def bearer(name):
        return [("authorization", f"Bearer {token(secret, subscribe=['**'], sub=name)}")]

    with http2.Client(node.address) as client:
        alice, bob, alice_too = (client.live("t", headers=bearer(name)) for name in ("alice", "bob", "alice"))
        assert told(own_redis, "--subject", "alice", "--for", "1h")["streams"] == 2
        client.read_until(lambda: alice.ended and alice_too.ended, "the end of both")
        for stream in (alice, alice_too):
            assert stream.reset is None and json.loads(stream.events[-1].data) == {"reason": "kicked"}
        own_redis.publish("t", "go on")
        client.read_until(lambda: bob.data() == ["go on"], "the event")
        answer = client.answer("GET", "/sse?topic=t", bearer("alice"))
        assert answer.status == 403 and 3590 < int(answer.head["retry-after"]) < 3602
        assert told(own_redis, "--topic", "t")["streams"] == 1
        client.read_until(lambda: bob.ended, "the end")
        assert not client.closed


def test_without_keys(start_relay, own_redis, topic):
    """Topics can be kicked on a relay that takes no tokens; subjects it has none."""
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready()
    with relay.live(topic) as stream:
        assert told(own_redis, "--subject", "alice", "--for", "1h")["streams"] == 0
        assert told(own_redis, "--topic", topic, "--for", "1h")["streams"] == 1
        assert_kicked(stream)
        assert relay.request("HEAD", f"/sse?topic={topic}").status == 403
        assert relay.post(f"/sse?topic={topic}", b"x").status == 200


def test_one_that_does_not_read(start_node, own_redis, open_stream, secret):
    """What waits for it is not in the way: it is told, and ends when it reads on."""
    node = start_node()
    stream = open_stream(node, "t", sub="alice")
    with open_stream(node, "t", sub="bob") as other:
        for n in range(20):
            own_redis.publish("t", "x" * 500_000)
            other.wait_for(lambda e: len(e.data) == 500_000)
    assert told(own_redis, "--subject", "alice")["streams"] == 1
    assert told(own_redis, "--subject", "alice")["streams"] == 0
    stream.wait_end()
    assert json.loads(stream.events[-1].data) == {"reason": "kicked"}


# ---- relays, Redis, rights ----


def test_a_worker_that_is_stuck(start_node, own_redis, open_stream):
    """It holds up nobody else's streams; that its relay does not answer is said."""
    nodes = [start_node("--workers", "4"), start_node()]
    streams = [open_stream(nodes[0], "t", sub="alice") for _ in range(24)]
    with frozen_thread(nodes[0].pid, "worker 0"):
        done = kick(own_redis, "--subject", "alice", "--timeout", "1s", code=1)
        assert "1 of 2 relays did not answer in time" in done.stderr and done.stdout == "alice\t0\t1\n"
        wait_until(lambda: sum(len(s.named("relay.close")) for s in streams if read_some(s)) >= 1, "those of the other workers")
    for stream in streams:
        assert_kicked(stream)


def read_some(stream):
    """Whether it has ended, or could be read for a moment."""
    try:
        while not stream.ended:
            stream.read_more(time.monotonic() + 0.05)
    except TimeoutError:
        pass
    return True


def test_nobody_there(own_redis, start_node, secret):
    """A kick that nobody heard is none; a bar is kept for those who come."""
    assert "no relay that can be asked" in kick(own_redis, "--subject", "alice", code=1).stderr
    done = kick(own_redis, "--subject", "alice", "--for", "1h")
    assert done.stdout.startswith("alice\t0\t0\t20") and "no relay that can be asked" in done.stderr
    node = start_node()
    wait_until(lambda: node.metrics()["sse_relay_bars"] == 1, "the bar")
    refusal(node, secret, "/sse?topic=t", sub="alice")
    assert "cannot reach Redis" in kick(None, "--subject", "a", code=3, url="redis://127.0.0.1:1").stderr


def test_the_log_names_no_client(nodes, own_redis, open_stream):
    """One line for each kick on each node; whose streams they were, the operator knows. Topics are named as elsewhere."""
    open_stream(nodes[0], "t", sub="alice@example.org", jti="jti-of-alice")
    kick(own_redis, "--subject", "alice@example.org", "--for", "90s")
    kick(own_redis, "--token", "jti-of-alice")
    kick(own_redis, "--topic", "a.topic")
    for node in nodes:
        lines = [line for line in node.logs() if line["msg"] == "streams were kicked"]
        assert [(line["by"], line["bar_s"], line["topic"]) for line in lines] == [
            ("subject", 90, ""), ("token", 0, ""), ("topic", 0, "a.topic")]
        assert "alice" not in node.err and "alice" not in node.metrics().text


@pytest.mark.parametrize("text", [b"", b"x", b"answer-x", b"answer-x subject 0 ", b"answer-x subject 0", b"answer-x topic 0 a*",
                                  b"answer-x sub 0 alice", b"answer-x subject -1 alice", b"answer-x subject 01 alice", b"Answer-x subject 0 alice",
                                  b"answer-x subject 99999999999999999999 alice", b"answer-x subject 0 \xff", b"answer-x subject 0 a\nb",
                                  b"answer-x subject 0 " + b"a" * 257, b"answer-" + b"x" * 40 + b" subject 0 alice"])
def test_what_is_no_kick(nodes, own_redis, open_stream, text):
    """Nobody is kicked or disturbed by it; the log says that something came."""
    stream = open_stream(nodes[0], "t", sub="alice")
    own_redis("PUBLISH", "sse:relay.kick", text)
    own_redis.publish("t", "go on")
    stream.wait_data("go on")
    wait_until(lambda: [line for line in nodes[0].logs() if "no kick" in line["msg"]], "a line")
    assert told(own_redis, "--subject", "alice")["streams"] == 1


def test_bars_that_are_none(start_node, own_redis, secret):
    """What else stands in the set is passed over; a key of another type is told, and costs nothing else."""
    now = own_redis("TIME")[0].decode()
    for score, member in (("+inf", "subject forever"), (f"{now}500", "subject over"), ("-inf", "subject x"), (f"{int(now) + 1000}000", "nonsense"),
                          (f"{int(now) + 1000}000", b"subject \xff"), (f"{int(now) + 1000}000.5", "subject alice")):
        own_redis("ZADD", BARS, score, member)
    node = start_node()
    wait_until(lambda: node.metrics()["sse_relay_bars"] == 2, "the bars")
    refusal(node, secret, "/sse?topic=t", sub="alice")
    refusal(node, secret, "/sse?topic=t", sub="forever")
    own_redis("SET", BARS, "x")
    other = start_node()
    assert "WRONGTYPE" in kick(own_redis, "--list", code=1).stderr
    assert "WRONGTYPE" in kick(own_redis, "--subject", "bob", "--for", "1h", code=1).stderr
    assert told(own_redis, "--subject", "bob")["relays"] == 2
    assert [line for line in other.logs() if "cannot read who is barred" in line["msg"] and "WRONGTYPE" in line["why"]]
    assert other.get("/readyz").status == 200


def test_very_many(nodes, own_redis, open_stream, secret):
    """10,000 bars and no more; a flood of kicks ends what it means, and all goes on."""
    stream = open_stream(nodes[0], "t", sub="s.17")
    other = open_stream(nodes[0], "t", sub="bob")
    ends = (int(own_redis("TIME")[0]) + 3600) * 1000
    with own_redis.client() as client:
        client.pipeline([("PUBLISH", "sse:relay.kick", f"answer-x subject 3600000 s.{n}") for n in range(10000)])
        for n in range(0, 10000, 1000):
            client("ZADD", BARS, *(word for i in range(n, n + 1000) for word in (ends, f"subject s.{i}")))
    assert_kicked(stream)
    wait_until(lambda: nodes[0].metrics()["sse_relay_bars"] == 10000, "all of them")
    assert "10000 bars already" in kick(own_redis, "--subject", "one.more", "--for", "1h", code=1).stderr
    kick(own_redis, "--subject", "s.5", "--for", "2h")  # one of them, longer
    kick(own_redis, "--lift", "--subject", "s.6")
    kick(own_redis, "--subject", "one.more", "--for", "1h")
    own_redis("CLIENT", "KILL", "TYPE", "pubsub")
    own_redis.publish("t", "go on")
    wait_until(lambda: own_redis.subscriptions().get("sse:relay.kick") == 2, "the relays")
    refusal(nodes[0], secret, "/sse?topic=t", sub="one.more")
    assert len(kick(own_redis, "--list").stdout.splitlines()) == 10000
    assert not other.named("relay.close")


def test_kicked_while_it_ends(start_node, own_redis):
    """Kicks come to the last moment, and behind it; the relay ends as it should (its fixture looks)."""
    for _ in range(5):
        node = start_node("--workers", "3")
        with own_redis.client() as client:
            node.signal(15)
            while node.running:
                client.pipeline([("PUBLISH", "sse:relay.kick", f"answer-x {by} 0 t") for by in ("subject", "topic", "token")] * 30)


def test_no_memory_in_redis(nodes, own_redis, open_stream, secret):
    """Out of memory, Redis takes a bar all the same."""
    stream = open_stream(nodes[0], "t", sub="alice")
    own_redis("CONFIG", "SET", "maxmemory", "1")
    told(own_redis, "--subject", "alice", "--for", "1h")
    assert_kicked(stream)
    refusal(nodes[1], secret, "/sse?topic=t", sub="alice")
    assert len(kick(own_redis, "--list").stdout.splitlines()) == 1


def test_rights(start_node, own_redis, open_stream, secret):
    """A relay and an operator whose users have the rights that are listed, and no others; and what each is told without one."""
    node = start_node(redis_url=as_listed(own_redis, "relay"))
    url = as_listed(own_redis, "kicker")
    stream = open_stream(node, "t", sub="alice")
    assert told(own_redis, "--subject", "alice", "--for", "1h", url=url)["streams"] == 1
    assert_kicked(stream)
    own_redis("CLIENT", "KILL", "TYPE", "pubsub")
    wait_until(lambda: own_redis.subscriptions().get("sse:relay.kick") == 1, "the relay")
    assert len(kick(own_redis, "--list", url=url).stdout.splitlines()) == 1
    refusal(node, secret, "/sse?topic=t", sub="alice")
    assert told(own_redis, "--lift", "--subject", "alice", url=url)["lifted"]
    open_stream(node, "t", sub="alice")
    denied = [line[line.index(b"object") + 1] for line in own_redis("ACL", "LOG")]
    assert set(denied) <= {b"config", b"config|get"}
    assert "cannot read who" not in node.err


@pytest.mark.parametrize("right", [right for right in listed("kicker") if right not in ("+client|setname", "+ping", "+zrem")])
def test_each_right_of_a_kicker_is_needed(nodes, own_redis, open_stream, right):
    """Without it Redis's words are passed on, and what was not done is said."""
    own_redis("ACL", "SETUSER", "kicker", "on", ">secret", *[r for r in listed("kicker") if r != right])
    stream = open_stream(nodes[0], "t", sub="alice")
    url = own_redis.url.replace("redis://", "redis://kicker:secret@")
    done = kick(own_redis, "--subject", "alice", "--for", "1h", code=1, url=url)
    if right == "+publish":
        assert "may not publish on the relays' channel sse:relay.kick" in done.stderr
    else:
        assert "NOPERM" in done.stderr or "kick needs ~sse:{0}:bars" in done.stderr
        assert own_redis("ZCARD", BARS) == 0
    own_redis.publish("t", "go on")
    stream.wait_data("go on")


def test_a_relay_that_may_not(start_node, own_redis, open_stream, secret):
    """Without the channel it kicks nobody, and is not counted; without the set it does not learn of bars. Both are told, and mend."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "~*", "+@all", "resetchannels", "&sse:relay.sse-relay-*", "&sse:t", "-zrange")
    node = start_node(redis_url=own_redis.url.replace("redis://", "redis://some:pw@"))
    stream = open_stream(node, "t", sub="alice")
    assert told(own_redis, "--subject", "alice", "--for", "1h")["relays"] == 0
    wait_until(lambda: "cannot read who is barred" in node.err, "the line")
    assert "forbids the channel of kicks" in node.err and node.metrics()["sse_relay_bars"] == 0
    assert node.get("/readyz").status == 200
    own_redis("ACL", "SETUSER", "some", "+zrange")
    assert_kicked(stream)  # read again within ten seconds
    refusal(node, secret, "/sse?topic=t", sub="alice")


def test_asks_for_what_can_be(own_redis):
    """What does not go together is said, with what does; nothing of a token is repeated."""
    for args, words in ((["--subject", "a", "--topic", "b"], "do not go together"), ([], "--subject TEXT"), (["--topic", "a", "--topic", "b"], "once"),
                        (["--subject", "a", "--for", "soon"], "allowed: 1s to 365d"), (["--subject", "a", "--for", "0"], "allowed: 1s to 365d"),
                        (["--lift", "--subject", "a", "--for", "1h"], "--lift and --for"), (["--list", "--subject", "a"], "--list"),
                        (["--subject", ""], "is empty"), (["--topic", "a*"], "the topic"), (["alice"], "too many arguments")):
        assert words in kick(own_redis, *args, code=2).stderr, args
    done = kick(own_redis, "--token", "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIxIn0.c2ln", code=2)
    assert "jti" in done.stderr and "eyJ" not in done.stderr


def test_the_lines_of_the_readme(start_node, own_redis, open_stream):
    """As they stand there, but for where Redis is."""
    section = re.search(r"^## Kicking somebody out$.*?(?=^## )", (ROOT / "README.md").read_text(), re.M | re.S)[0]
    (lines,) = re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)
    node = start_node()
    streams = [open_stream(node, "users.7.inbox", **claims) for claims in ({"sub": "7"}, {"jti": "a1b2c3"}, {})]
    for line, stream in zip(lines.splitlines(), streams, strict=True):
        program, command, *args = shlex.split(line, comments=True)
        assert (program, command) == ("build/sse-publish", "kick")
        assert told(own_redis, *args)["streams"] == 1
        assert_kicked(stream)
