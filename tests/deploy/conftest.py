"""Fixtures of the tests of deploy/. Redis and relays are started by the end-to-end tests' harness, so that all kinds of
test end them, and judge their end, in the same way.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import pytest  # noqa: E402

import harness  # noqa: E402
from settings import RELAY  # noqa: E402

OPTIONS = ["--workers", "2", "--drain-grace", "0s", "--drain", "50ms"]


def pytest_configure():
    if not RELAY.exists():
        pytest.exit(f"{RELAY} is missing: run make first, or name its folder in BUILD", returncode=2)


@pytest.fixture(scope="session")
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
