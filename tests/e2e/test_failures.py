"""Design section 7, "When things break": Redis away, killed, stalled, half-open; relays killed. The streams of the
clients stay connected through all of it, and are told of what they may have missed.
"""

import json
import re
import signal
import socket
import time

import pytest

import harness
import settings
from harness import publish_until_received, wait_until


def ready(relay):
    return relay.get("/readyz").status == 200


def wait_not_ready(relay):
    """Until readiness fails; the sentence that says why."""
    wait_until(lambda: not ready(relay), "a failing /readyz")
    answer = relay.get("/readyz")
    assert answer.status == 503 and relay.get("/healthz").status == 200
    return answer.body.decode()


def wait_reset(stream, *topics):
    """The next reset, which has to name exactly these topics."""
    reset = stream.wait_name("relay.reset")
    assert json.loads(reset.data) == {"topics": list(topics), "reason": "live"}


@pytest.fixture
def down(own_redis):
    """A Redis that is not there yet."""
    own_redis.stop()
    return own_redis


def test_redis_down_at_start(start_relay, down, topic):
    """Row 1: serves /healthz, /readyz says 503 and why; the stream opens at once and `relay.live` waits."""
    relay = start_relay("--allow-anonymous-publish", redis_url=down.url).wait_listening()
    assert str(down.port) in wait_not_ready(relay)
    with relay.stream(topic) as stream:
        stream.read_until(lambda: stream.parser.retries and stream.parser.comments)
        answer = relay.post(f"/sse?topic={topic}", b"x")
        assert answer.status == 503 and int(answer.get("retry-after")) > 0
        assert answer.get("content-type") == "application/problem+json"
        assert not stream.events
        down.start()
        relay.wait_ready()
        stream.wait_live()
        down.publish(topic, "at last")
        stream.wait_data("at last")
        assert not stream.named("relay.reset")
        assert relay.post(f"/sse?topic={topic}", b"posted").status == 200
        stream.wait_data("posted")


def messages(relay, level):
    """What its log says of its connections to Redis."""
    return [line["msg"] for line in relay.logs() if line["level"] == level and "failed_attempts" in line]


def test_an_outage_is_told_once(start_relay, down):
    """Row 1: however many attempts of how many connections failed, the log has one line for each change of state."""
    relay = start_relay(redis_url=down.url).wait_listening()

    def wait_failures(more):
        failures = lambda: relay.metrics()["sse_relay_redis_connect_failures_total"]
        least = failures() + more
        wait_until(lambda: failures() >= least, f"{more} attempts to connect")

    wait_failures(9)
    assert messages(relay, "warn") == ["cannot connect to Redis; retrying"]
    down.start()
    relay.wait_ready()
    wait_until(lambda: messages(relay, "info") == ["connected to Redis"], "one line")
    down.stop()
    wait_failures(9)
    assert messages(relay, "warn")[1:] == ["lost Redis; reconnecting"]
    down.start()
    relay.wait_ready()
    wait_until(lambda: messages(relay, "info")[1:] == ["connected to Redis again"], "one line more")
    again = [line for line in relay.logs() if line["msg"] == "connected to Redis again"]
    assert again[0]["failed_attempts"] >= 9


def test_the_demo_complains_once(start_relay):
    """Row 1: the publishers of --demo are started again while there is no Redis, and do not repeat themselves."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(settings.DEADLINE)
        relay = start_relay("--demo", redis_url="redis://127.0.0.1:%d" % server.getsockname()[1]).wait_listening()
        complaints = lambda: relay.err.count("sse-publish: cannot reach Redis")
        again, until = 0, time.monotonic() + settings.DEADLINE
        while again < 6:  # clock and letters, started again after both have complained
            assert time.monotonic() < until, relay.err
            link = server.accept()[0]
            with link:
                is_publisher = b"sse-publish" in link.recv(4096)
                again += is_publisher and complaints() >= 2
    assert complaints() == 2


def test_subscription_connection_is_killed(start_relay, own_redis, topic):
    """Row 2: CLIENT KILL TYPE pubsub: resubscribes; topics that carried a live event get a reset, quiet ones none."""
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    busy, quiet = f"{topic}.busy", f"{topic}.quiet"
    with relay.live(busy) as first, relay.live(quiet) as second, relay.live(f"/sse?topics={busy},{quiet}") as both:
        own_redis.publish(busy, "before")
        first.wait_data("before"), both.wait_data("before")
        assert own_redis("CLIENT", "KILL", "TYPE", "pubsub") == 1
        wait_reset(first, busy)
        wait_reset(both, busy)
        for name in (busy, quiet):
            publish_until_received(own_redis, both, name, f"after on {name}")
        publish_until_received(own_redis, second, quiet, "after")
        assert not second.named("relay.reset")
        first.wait_data(f"after on {busy}")
        for stream in (first, second, both):
            assert len(stream.named("relay.live")) == 1 and not stream.ended


def test_subscription_connection_is_killed_again_and_again(start_relay, own_redis, topic):
    """Row 2: five times in a row; each time the client is told, and the stream lives on."""
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    with relay.live(topic) as stream:
        for n in range(5):
            publish_until_received(own_redis, stream, topic, f"{n}")
            wait_until(lambda: own_redis("CLIENT", "KILL", "TYPE", "pubsub"), "a connection to kill")
            wait_reset(stream, topic)
    assert relay.metrics().get("sse_relay_redis_connections_lost_total", connection="subscriber") >= 5


def test_many_topics_are_subscribed_again(start_relay, own_redis, topic):
    """Row 2: resubscribed in batches: 1,000 topics of 10 streams come back."""
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    groups = [[f"{topic}.{g}.{n}" for n in range(100)] for g in range(10)]
    streams = [relay.live(f"/sse?topics={','.join(group)}&as=topic") for group in groups]
    commands = lambda: int(re.search(r"cmdstat_subscribe:calls=(\d+)", own_redis("INFO", "commandstats").decode())[1])
    before = commands()
    own_redis("CLIENT", "KILL", "TYPE", "pubsub")
    names = {f"sse:{name}" for group in groups for name in group}
    wait_until(lambda: names <= own_redis.subscriptions().keys(), "all subscriptions")
    assert commands() - before <= 20
    for stream, group in zip(streams, groups):
        publish_until_received(own_redis, stream, group[0], "first")
        publish_until_received(own_redis, stream, group[-1], "last")
        stream.close()


@pytest.mark.parametrize("form", ["topic", "json"])
def test_resets_have_one_form(start_relay, own_redis, topic, form):
    """Section 5: a reset is `event: relay.reset` in every form of stream."""
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    with relay.live(f"/sse?topic={topic}&as={form}") as stream:
        own_redis.publish(topic, "x")
        stream.wait_for(lambda e: not e.name.startswith("relay."))
        own_redis("CLIENT", "KILL", "TYPE", "pubsub")
        wait_reset(stream, topic)


def test_redis_cuts_a_relay_that_does_not_read(start_relay, own_redis, topic):
    """Field notes: Redis cuts a subscriber whose output buffer is full; that is a lost connection like another."""
    own_redis("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1")
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    with relay.live(topic) as stream:
        publish_until_received(own_redis, stream, topic, "before")
        relay.signal(signal.SIGSTOP)
        wait_until(lambda: own_redis.publish(topic, "x" * 1000000) == 0, "the end of the subscription")
        relay.signal(signal.SIGCONT)
        wait_reset(stream, topic)
        publish_until_received(own_redis, stream, topic, "after")


def test_redis_refuses_to_publish(start_relay, own_redis, topic):
    """A user that may not PUBLISH: a POST says so (502), and without its probe the node is not ready."""
    own_redis("ACL", "SETUSER", "reader", "on", ">pw", "allchannels", "allkeys", "+@all", "-publish")
    url = f"redis://reader:pw@127.0.0.1:{own_redis.port}"
    relay = start_relay("--allow-anonymous-publish", redis_url=url).wait_listening()
    with relay.live(topic) as stream:
        answer = relay.post(f"/sse?topic={topic}&live", b"x")
        assert answer.status == 502 and "NOPERM" in json.loads(answer.body)["detail"]
        wait_not_ready(relay)
        publish_until_received(own_redis, stream, topic, "still streamed")


def test_every_connection_is_killed(start_relay, own_redis, topic):
    """Row 2: the publishing connection too: POST works again, readiness comes back."""
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready()
    with relay.live(topic) as stream:
        own_redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        own_redis("CLIENT", "KILL", "TYPE", "pubsub")
        wait_until(lambda: relay.post(f"/sse?topic={topic}", b"posted").status == 200, "a POST")
        publish_until_received(own_redis, stream, topic, "after")
        relay.wait_ready()


def test_redis_is_killed_and_comes_back(start_relay, own_redis, topic):
    """Row 2 and the issue: Redis itself is killed: readiness follows, streams stay, and are told."""
    relay = start_relay("--allow-anonymous-publish", "--redis-timeout", "500ms", redis_url=own_redis.url).wait_ready()
    with relay.live(topic) as stream:
        publish_until_received(own_redis, stream, topic, "before")
        own_redis.stop()
        assert str(own_redis.port) in wait_not_ready(relay)
        assert relay.post(f"/sse?topic={topic}", b"x").status == 503
        with relay.stream(topic) as newcomer:
            own_redis.start()
            relay.wait_ready()
            newcomer.wait_live()
            publish_until_received(own_redis, stream, topic, "after")
            # This Redis keeps nothing, so what came back is another one.
            assert {json.loads(e.data)["reason"] for e in stream.named("relay.reset")} == {"birth", "live"}
            newcomer.wait_data("after")


def test_redis_stalls(start_relay, own_redis, topic):
    """Row 3: a stalled Redis (SIGSTOP): the probe notices, readiness fails, and comes back; a POST is 504."""
    relay = start_relay("--allow-anonymous-publish", "--redis-timeout", "500ms", redis_url=own_redis.url).wait_ready()
    with relay.live(topic) as stream:
        own_redis.pause()
        answer = relay.post(f"/sse?topic={topic}", b"x")
        assert answer.status == 504 and "may have been published" in json.loads(answer.body)["detail"]
        wait_not_ready(relay)
        own_redis.resume()
        relay.wait_ready()
        publish_until_received(own_redis, stream, topic, "after")


def test_half_open_subscription_connection(start_relay, own_redis, topic, proxy_to):
    """Row 3: only the subscription connection is dead, and says nothing: published but not received means
    reconnect, and a reset where events may have been missed."""
    proxy = proxy_to(own_redis.socket)
    url = f"redis://127.0.0.1:{proxy.port}"
    relay = start_relay("--redis-timeout", "500ms", redis_url=url).wait_ready()
    with relay.live(topic) as stream:
        publish_until_received(own_redis, stream, topic, "before")
        assert proxy.silence(carrying=b"SUBSCRIBE") == 1
        own_redis.publish(topic, "missed")
        wait_reset(stream, topic)
        publish_until_received(own_redis, stream, topic, "after")
        assert "missed" not in [e.data for e in stream.events]
    assert relay.metrics()["sse_relay_redis_probes_lost_total"] >= 1


def test_half_open_redis(start_relay, own_redis, topic, proxy_to):
    """Row 3: all connections to Redis fall silent, new ones too: readiness fails, then recovers; streams stay."""
    proxy = proxy_to(own_redis.socket)
    url = f"redis://127.0.0.1:{proxy.port}"
    relay = start_relay("--redis-timeout", "500ms", "--heartbeat", "100ms", redis_url=url).wait_ready()
    with relay.live(topic) as stream:
        assert proxy.silence(new_too=True) >= 2
        wait_not_ready(relay)
        seen = len(stream.parser.comments)
        stream.read_until(lambda: len(stream.parser.comments) >= seen + 3)
        proxy.restore()
        relay.wait_ready()
        publish_until_received(own_redis, stream, topic, "after")


def test_slow_redis(start_relay, own_redis, topic, proxy_to):
    """Row 3, the other side: a Redis that only is slow keeps readiness and its connections."""
    proxy = proxy_to(own_redis.socket)
    relay = start_relay(redis_url=f"redis://127.0.0.1:{proxy.port}").wait_ready()
    before = relay.metrics()["sse_relay_redis_connections_lost_total"]
    proxy.delay = 0.05
    with relay.live(topic) as stream:
        for n in range(3):
            own_redis.publish(topic, f"{n}")
            stream.wait_data(f"{n}")
    assert ready(relay) and relay.metrics()["sse_relay_redis_connections_lost_total"] == before


def test_redis_with_a_password(start_relay, own_redis, topic):
    """The password of the URL is used and never shown; a wrong one leaves the node not ready, and says so."""
    own_redis("CONFIG", "SET", "requirepass", "s3cret")
    url = f"redis://:s3cret@127.0.0.1:{own_redis.port}"
    good = start_relay("--log-level", "debug", redis_url=url).wait_ready()
    with good.live(topic) as stream, own_redis.client() as client:
        client("AUTH", "s3cret")
        client("PUBLISH", f"sse:{topic}", "x")
        stream.wait_data("x")
    wrong = start_relay("--log-level", "debug", redis_url=url.replace("s3cret", "wr0ng")).wait_listening()
    why = wait_not_ready(wrong)
    wait_until(lambda: re.search("WRONGPASS|invalid username", wrong.err), "the reason in the log")
    assert "s3cret" not in good.err and "wr0ng" not in wrong.err + why


def test_redis_that_speaks_no_redis(start_relay, topic):
    """A server that is not Redis at all, here another relay: not ready, retried, never more than that."""
    other = start_relay().wait_ready()
    relay = start_relay(redis_url=f"redis://127.0.0.1:{other.address[1]}").wait_listening()
    wait_not_ready(relay)
    with relay.stream(topic) as stream:
        stream.read_until(lambda: stream.parser.comments)


def test_redis_over_a_unix_socket(start_relay, own_redis, topic):
    """--redis takes unix:PATH as well."""
    relay = start_relay(redis_url=f"unix:{own_redis.socket}").wait_ready()
    with relay.live(topic) as stream:
        own_redis.publish(topic, "x")
        stream.wait_data("x")


def test_relay_is_killed(start_relay, redis, topic):
    """Row 6: a relay that is killed takes nothing with it: the other one serves its clients."""
    first, second = start_relay().wait_ready(), start_relay().wait_ready()
    doomed = first.live(topic)
    first.expect_clean = False
    first.kill()
    with pytest.raises((harness.http_raw.Closed, AssertionError)):
        doomed.wait_end()
        raise AssertionError("the stream had a proper end")
    doomed.close()
    with second.live(topic) as stream:
        redis.publish(topic, "still served")
        stream.wait_data("still served")


def test_topic_is_unsubscribed_after_a_linger(start_relay, own_redis, topic):
    """The relay: subscribed on Redis with the first subscriber, unsubscribed after a linger with the last."""
    relay = start_relay("--linger", "100ms", redis_url=own_redis.url).wait_ready()
    channel = f"sse:{topic}"
    first, second = relay.live(topic), relay.live(topic)
    assert own_redis.subscriptions()[channel] == 1
    first.close()
    own_redis.publish(topic, "for the second")
    second.wait_data("for the second")
    assert own_redis.subscriptions()[channel] == 1
    second.close()
    wait_until(lambda: channel not in own_redis.subscriptions(), "the unsubscription")
    with relay.live(topic) as third:
        own_redis.publish(topic, "back again")
        third.wait_data("back again")


def test_no_linger(start_relay, own_redis, topic):
    """The relay: without a linger, subscribing and unsubscribing overtake each other on no account."""
    relay = start_relay("--linger", "0s", redis_url=own_redis.url).wait_ready()
    for n in range(200):
        with relay.live(topic) as stream:
            own_redis.publish(topic, f"{n}")
            stream.wait_data(f"{n}")


def test_everything_at_once(start_relay, own_redis, topic):
    """Streams come and go while connections to Redis are killed; in the end everybody who stayed is served."""
    relay = start_relay("--linger", "50ms", redis_url=own_redis.url).wait_ready()
    streams = []
    for round_number in range(8):
        for n in range(6):
            names = ",".join(f"{topic}.{(round_number + k * n) % 7}" for k in range(3))
            streams.append(relay.stream(f"/sse?topics={names}"))
        own_redis("CLIENT", "KILL", "TYPE", "pubsub" if round_number % 2 else "normal", "SKIPME", "yes")
        for n in range(7):
            own_redis.publish(f"{topic}.{n}", f"{round_number}")
        if round_number % 3 == 0:
            streams[-1].wait_live()
        for stream in streams[round_number::3]:
            stream.close()
        del streams[round_number::3]
    for stream in streams:
        stream.wait_live()
    for stream in streams:
        name = json.loads(stream.named("relay.live")[0].data)["topics"][0]
        publish_until_received(own_redis, stream, name, "the end")
        assert len(stream.named("relay.live")) == 1
        stream.close()


def test_client_leaves_while_its_publish_is_under_way(start_relay, own_redis, topic):
    """A client that goes before Redis has answered its POST disturbs nobody; its event is published."""
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready()
    with relay.live(topic) as stream:
        own_redis.pause()
        for n in range(10):
            with relay.conn() as conn:
                conn.request("POST", f"/sse?topic={topic}", body=f"{n}".encode())
                if n % 2:
                    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: relay.metrics()["sse_relay_http_requests_total"] >= 11, "the requests")
        own_redis.resume()
        for n in range(0, 10, 2):
            stream.wait_for(lambda e: e.data.isdigit())
        publish_until_received(own_redis, stream, topic, "after")


def test_only_the_reading_connection_is_gone(start_relay, own_redis, topic):
    """No stream becomes live without it, so the node is not ready, though probes come back."""
    relay = start_relay("--redis-timeout", "1s", redis_url=own_redis.url).wait_ready()
    with own_redis.client() as redis, relay.live(topic) as stream:
        clients = [dict(pair.split("=", 1) for pair in line.split()) for line in redis("CLIENT", "LIST").decode().splitlines()]
        (reader,) = [c["id"] for c in clients if c["cmd"] in ("hgetall", "get", "info", "xrevrange", "xrange")]
        redis("CONFIG", "SET", "maxclients", "1")  # those that are connected stay
        redis("CLIENT", "KILL", "ID", reader)
        wait_until(lambda: relay.get("/readyz").status == 503, "the end of the grace")
        assert "reads logs" in relay.get("/readyz").body.decode()
        redis("CONFIG", "SET", "maxclients", "100")
        wait_until(lambda: relay.get("/readyz").status == 200, "readiness")
        assert not stream.ended


def test_reload_does_not_flap(start_relay, own_redis, topic):
    """The relay: within the linger a client that comes back finds the subscription it had."""
    relay = start_relay("--linger", "10m", redis_url=own_redis.url).wait_ready()
    relay.live(topic).close()
    with own_redis.client() as watcher:
        watcher("MONITOR")
        relay.live(topic).close()
        relay.live(topic).close()
        relay.live(f"{topic}.other").close()
        seen = []
        while not seen or f"{topic}.other" not in seen[-1]:
            seen.append(watcher.read())
        flaps = [line for line in seen if "SUBSCRIBE" in line.upper() and f'sse:{topic}"' in line]
        assert not flaps


def test_one_subscription_connection(start_relay, own_redis, topic):
    """The relay: one connection for subscriptions per node, however many workers, streams and topics."""
    relay = start_relay("--workers", "4", redis_url=own_redis.url).wait_ready()
    streams = [relay.live(f"{topic}.{n}") for n in range(20)]
    clients = own_redis("CLIENT", "LIST").decode().splitlines()
    assert sum(" sub=0 " not in c for c in clients) == 1
    assert len(clients) <= 4  # subscriptions, publishing, history; and the one that asks
    for stream in streams:
        stream.close()


def test_stopped_relay_catches_up(start_relay, redis, topic):
    """A relay that was suspended for a while delivers what waited for it."""
    relay = start_relay().wait_ready()
    with relay.live(topic) as stream:
        relay.signal(signal.SIGSTOP)
        for n in range(100):
            redis.publish(topic, f"{n}")
        relay.signal(signal.SIGCONT)
        stream.wait_data("99")
        assert [e.data for e in stream.named("message")] == [str(n) for n in range(100)]


def test_a_password_that_is_changed(start_relay, own_redis):
    """Why the connections do not come back is told at once, not with the next line half a minute later."""
    own_redis("ACL", "SETUSER", "some", "on", ">old", "allkeys", "allchannels", "+@all")
    relay = start_relay(redis_url=own_redis.url.replace("redis://", "redis://some:old@")).wait_ready()
    own_redis("ACL", "SETUSER", "some", "<old", ">new")
    own_redis("CLIENT", "KILL", "USER", "some")
    told = wait_until(lambda: [line for line in relay.logs() if "WRONGPASS" in line.get("why", "")], "the reason")
    assert told[0]["level"] == "warn" and "cannot connect" in told[0]["msg"]
    assert "--redis redis://:PASSWORD@HOST" in told[0]["why"] and "@ : / ? # % as %40" in told[0]["why"]
    own_redis("ACL", "SETUSER", "some", ">old")
    wait_until(lambda: relay.logs()[-1]["msg"] == "connected to Redis again", "the connections")
    assert len([line for line in relay.logs() if "WRONGPASS" in line.get("why", "")]) == 1


@pytest.mark.parametrize("password", ["a@b", "a:b", "a#b", "a@b:c#d", ":@#"])
def test_a_raw_sign_in_a_password(start_relay, own_redis, password):
    """What can only be meant in one way is understood."""
    own_redis("ACL", "SETUSER", "some", "on", f">{password}", "allkeys", "allchannels", "+@all")
    start_relay(redis_url=own_redis.url.replace("redis://", f"redis://some:{password}@")).wait_ready()


@pytest.mark.parametrize("password", ["a/b", "a?b", "a%b", "a/b@c", "/"])
def test_a_sign_that_ends_a_password(start_relay, password):
    """What cannot be read is refused at the start, with how to write it, and without the secret."""
    relay = start_relay(redis_url=f"redis://some:{password}@127.0.0.1:6379")
    relay.expect_clean = False
    assert relay.child.wait(settings.DEADLINE) == 2
    assert "%25" in relay.err and password + "@" not in relay.err


def test_connections_that_flap(start_relay, own_redis):
    """Each loss is counted, and a few are told; the others make one line. An outage behind them is told all the same."""

    def told(text):
        return [line for line in relay.logs() if text in line["msg"]]

    def lose(count):
        subscriber = {"connection": "subscriber"}
        wanted = relay.metrics().get("sse_relay_redis_connections_lost_total", **subscriber)
        for _ in range(count):
            own_redis("CLIENT", "KILL", "TYPE", "pubsub")
            wanted += 1
            wait_until(lambda: relay.metrics().get("sse_relay_redis_connections_lost_total", **subscriber) == wanted, "a loss")
            wait_until(lambda: relay.metrics().get("sse_relay_redis_connected", **subscriber) == 1, "a connection")

    relay = start_relay(redis_url=own_redis.url).wait_ready()
    lose(15)
    wait_until(lambda: told("over and over"), "the line for all")
    lost, flapping = told("lost Redis"), told("over and over")
    assert len(told("connected to Redis again")) == len(lost) < 10
    assert flapping[0]["level"] == "warn" and flapping[0]["times"] > 3 and flapping[0]["address"] == own_redis.url
    lose(4)
    own_redis.stop()
    wait_until(lambda: told("cannot connect"), "the outage")
    own_redis.start()
    wait_until(lambda: relay.logs()[-1]["msg"] == "connected to Redis again", "the end of the outage")


def test_the_reading_connection_is_cut_in_silence(start_relay, own_redis, proxy_to, topic):
    """A replay that waits on it is asked again on a new one: Redis answers elsewhere, so that one is dead."""
    proxy = proxy_to(("127.0.0.1", own_redis.port))
    relay = start_relay("--allow-anonymous-publish", "--redis-timeout", "60s",
                        redis_url=f"redis://127.0.0.1:{proxy.port}").wait_ready()
    first = json.loads(relay.post(f"/sse?topic={topic}", b"0").body)["ids"][topic]
    relay.post(f"/sse?topic={topic}", b"1")
    assert proxy.silence(b"HGETALL") == 1
    with relay.live(f"/sse?topic={topic}&lastEventId={first}") as stream:  # long before the minute is over
        assert [e.data for e in stream.events if e.data == "1"]
    assert [line for line in relay.logs() if "reading connection is dead" in line["msg"]]
    assert relay.metrics().get("sse_relay_redis_connections_lost_total", connection="reader") == 1
    assert relay.metrics().get("sse_relay_redis_connections_lost_total", connection="subscriber") == 0
