"""Fixtures of the tests of deploy/. Redis and relays are started by the end-to-end tests' harness, so that all kinds of
test end them, and judge their end, in the same way.
"""

import contextlib
import itertools
import pathlib
import re
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import pytest  # noqa: E402

import balancers  # noqa: E402
import harness  # noqa: E402
from balancers import ROOT  # noqa: E402
from settings import RELAY  # noqa: E402

OPTIONS = ["--workers", "2", "--drain-grace", "0s", "--drain", "50ms"]


def pytest_configure():
    if not RELAY.exists():
        pytest.exit(f"{RELAY} is missing: run make first, or name its folder in BUILD", returncode=2)


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = harness.Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def start_relay(tmp_path, redis):
    """A function that starts a relay, ready; it has to end cleanly."""
    started = []

    def start(*args, **how):
        relay = harness.Relay(tmp_path, f"relay{len(started)}", redis.url, *OPTIONS, *args, **how)
        started.append(relay)
        return relay.wait_ready()

    yield start
    for relay in started:
        relay.finish()


@pytest.fixture
def topic_load():
    """A function that keeps two streams on each relay, and publishes durable and live events through it, while in its block."""

    @contextlib.contextmanager
    def load(relays):
        read_enough, published_enough = threading.Event(), threading.Event()

        def publish():
            while not published_enough.wait(0.05):
                for relay in relays:
                    relay.post("/sse?topic=load", b"durable")
                    relay.post("/sse?topic=load&live", b"live")

        with contextlib.ExitStack() as open_streams:
            streams = [open_streams.enter_context(relay.live("load")) for relay in relays for _ in range(2)]
            readers = [threading.Thread(target=stream.read_until, args=(read_enough.is_set,)) for stream in streams]
            publisher = threading.Thread(target=publish)
            for thread in (publisher, *readers):
                thread.start()
            try:
                yield
            finally:
                read_enough.set()
                for thread in readers:
                    thread.join()  # each sees it at the next event, so the publisher ends last
                published_enough.set()
                publisher.join()

    return load


@pytest.fixture
def topic(request, _number=itertools.count(1)):
    """A topic that no other test uses."""
    return f"{re.sub(r'[^a-z0-9_.]+', '.', request.node.name.lower())[:100]}.{next(_number)}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return balancers.Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def npm():
    """The npm packages of tests/e2e, which `make test-run` has installed."""
    if not (ROOT / "tests/e2e/node_modules/eventsource").exists():
        pytest.skip("the npm package eventsource is missing: `make test-run` installs it")
