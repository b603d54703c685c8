"""Fixtures that all files share. Whatever a test starts through them is stopped and looked at afterwards."""

import itertools
import json
import pathlib
import re
import subprocess
import tempfile

import pytest

import harness
from proxy import Proxy
from settings import HERE, RELAY, tool

# A short drain keeps the end of each test short; tests of the drain set their own.
QUICK_END = ["--drain-grace", "0s", "--drain", "50ms", "--workers", "2"]

# Where unix sockets go: their paths are limited to some 100 bytes, and TMPDIR may be long already.
SHORT = "/tmp"


def pytest_configure():
    if not RELAY.exists():
        pytest.exit(f"{RELAY} is missing: run make first, or name its folder in BUILD", returncode=2)


@pytest.fixture(scope="session")
def redis():
    """One redis-server for the tests that do it no harm."""
    with tempfile.TemporaryDirectory(dir=SHORT) as directory:
        server = harness.Redis(directory)
        yield server
        server.stop()


@pytest.fixture
def own_redis():
    """A redis-server that a test may kill, stall or look at alone."""
    with tempfile.TemporaryDirectory(dir=SHORT) as directory:
        server = harness.Redis(directory)
        yield server
        server.resume()
        server.stop()


@pytest.fixture
def socket_dir():
    """A directory for unix sockets."""
    with tempfile.TemporaryDirectory(dir=SHORT) as directory:
        yield pathlib.Path(directory)


@pytest.fixture
def start_relay(tmp_path, redis):
    """A function that starts relays; they have to end cleanly after the test."""
    started = []

    def start(*args, redis_url=None, quick=True, **how):
        url = redis.url if redis_url is None else redis_url
        options = [*QUICK_END, *args] if quick else args
        relay = harness.Relay(tmp_path, f"relay{len(started)}", url, *options, **how)
        started.append(relay)
        return relay

    yield start
    finish_all(started)


@pytest.fixture(scope="session")
def relay(tmp_path_factory, redis):
    """One relay that all tests share which leave it as it was. It outlives every kind of bad input."""
    one = harness.Relay(
        tmp_path_factory.mktemp("relay"), "relay", redis.url, *QUICK_END, "--allow-anonymous-publish"
    )
    yield one.wait_ready()
    # Whatever the tests did to it: nothing of theirs is left.
    harness.wait_until(lambda: one.metrics()["sse_relay_connections"] == 1, "the end of all connections")
    assert one.metrics()["sse_relay_subscribers"] == 0
    finish_all([one])


@pytest.fixture(scope="module")
def relay_with(tmp_path_factory, redis):
    """A function that starts a ready relay for all tests of one file."""
    started = []

    def start(*args):
        directory = tmp_path_factory.mktemp("relay")
        started.append(harness.Relay(directory, "relay", redis.url, *QUICK_END, *args))
        return started[-1].wait_ready()

    yield start
    finish_all(started)


@pytest.fixture
def topic(request, _number=itertools.count(1)):
    """A topic that no other test uses."""
    return f"{re.sub(r'[^a-z0-9_.]+', '.', request.node.name.lower())[:100]}.{next(_number)}"


@pytest.fixture
def proxy_to():
    """A function that puts a proxy in front of an address."""
    proxies = []

    def put(upstream):
        proxies.append(Proxy(upstream))
        return proxies[-1]

    yield put
    for proxy in proxies:
        proxy.close()


@pytest.fixture(scope="session")
def npm():
    """The npm packages of package.json, installed from the lock when they are missing."""
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    if not all((HERE / "node_modules" / name).exists() for name in wanted):
        assert tool("npm"), "npm is missing: make deps-test installs it"
        subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=HERE, check=True, capture_output=True)


@pytest.fixture
def node_client(tmp_path, npm):
    """A function that starts the npm package `eventsource` on a URL."""
    started = []

    def start(url, *event_names):
        started.append(harness.NodeClient(tmp_path, f"node{len(started)}", url, *event_names))
        return started[-1]

    yield start
    for client in started:
        client.kill()


def finish_all(relays):
    """Stop every relay before the first complaint of one of them."""
    complaints = []
    for relay in relays:
        try:
            relay.finish()
        except AssertionError as error:
            complaints.append(str(error))
    assert not complaints, "\n".join(complaints)
