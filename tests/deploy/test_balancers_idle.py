"""How long a stream may be silent behind each recipe of deploy/balancers, and which of its settings says so."""

import json
import time

import pytest

from balancers import ALL, RECIPES, H2Readers, Relays, default_heartbeat, missing

from http_raw import Closed
from settings import DEADLINE

HERE = [kind for kind in ALL if not missing(kind)]
BY_NAME = {"argvalues": ALL, "ids": lambda kind: kind.name}

# What is cut by default: nginx after 60 s without a byte, Debian's own haproxy.cfg after 50 s, Envoy at the age of 15 s.
# Envoy's other limit, 5 minutes without a byte, is too long to be waited for here. Caddy and Traefik have none.
LONGER_THAN_DEFAULTS_S = 65
HEARTBEATS = 20  # that an idle limit lets pass


@pytest.mark.parametrize("kind", **BY_NAME)
def test_the_limits_are_far_above_the_heartbeat(kind):
    for limit in kind.limits:
        seconds = limit.seconds((RECIPES / kind.name / limit.file).read_text())
        if limit.age:
            assert seconds == 0, f"{limit.line} ends every stream at that age"
        else:
            assert seconds >= HEARTBEATS * default_heartbeat(), limit.line


@pytest.mark.skipif(not HERE, reason="no balancer is installed")
def test_a_silent_stream_outlives_the_defaults(tmp_path, certificate, redis, topic):
    """The recipes as they are, a relay that says nothing, and as much time as the defaults would not allow."""
    relays = Relays(tmp_path, redis.url, "--heartbeat", "1h", "--workers", "1", "--allow-anonymous-publish")
    relays.start()
    balancers = [kind(tmp_path, certificate, relays.addresses).start() for kind in HERE]
    many = []
    try:
        target = f"/sse?topics={topic}&as=json"
        streams = [balancer.live(target) for balancer in balancers]
        many += [H2Readers(None, "h2", [topic], balancer, target, 3) for balancer in balancers]
        for readers in many:
            readers.wait(lambda: readers.live() == 3, "three streams over HTTP/2")
        with pytest.raises(TimeoutError):
            streams[0].read_more(time.monotonic() + LONGER_THAN_DEFAULTS_S)
        balancers[0].fetch("POST", f"/sse?topic={topic}", body=b"end")
        for balancer, stream in zip(balancers, streams):
            assert json.loads(stream.wait_name("message").data)["data"] == "end", balancer.name
            assert [kind for kind, _ in stream.parser.log] == ["retry", "comment", "event", "event"], balancer.name
        for balancer, readers in zip(balancers, many):
            readers.wait(readers.reached, f"the event over HTTP/2 through {balancer.name}")
            assert [len(memory.connections) for memory in readers.memories] == [1] * 3, balancer.name
    finally:
        for readers in many:
            readers.finish()
        for balancer in balancers:
            balancer.stop()
        relays.finish()


@pytest.mark.parametrize("kind", **BY_NAME)
def test_which_setting_it_is_and_that_heartbeats_count(kind, tmp_path, certificate, redis, topic):
    """Each limit in turn is 3 s: it cuts a silent stream, and lets one pass whose heartbeats come. The age of a stream is
    another matter, which is why the recipes set none: no heartbeat helps there."""
    if reason := missing(kind):
        pytest.skip(reason)
    assert kind.limits
    silent, beating = (Relays(tmp_path, redis.url, "--workers", "1", "--heartbeat", beat) for beat in ("1h", "300ms"))
    running = []
    try:
        silent.start(), beating.start()

        def through(some, limit):
            def edit(file, text):
                return limit.shortened(text, "3s") if file == limit.file else text

            running.append(kind(tmp_path, certificate, some.addresses, edit=edit))
            return running[-1].start().live(f"/sse?topic={topic}")

        for limit in kind.limits:
            cut = through(beating if limit.age else silent, limit)
            kept = None if limit.age else through(beating, limit)
            wait_cut(cut)
            if kept:
                kept.read_until(lambda: len(kept.parser.comments) > 30)  # three times the limit
    finally:
        for balancer in running:
            balancer.stop()
        silent.finish()
        beating.finish()


def wait_cut(stream):
    """Until the stream is over, in whatever way; a balancer that cuts may well leave the last chunk out."""
    until = time.monotonic() + DEADLINE
    try:
        while not stream.ended:
            stream.read_more(until)
    except TimeoutError:
        raise AssertionError(f"not cut: {stream.parser.log[-3:]}") from None
    except (OSError, Closed):
        pass
