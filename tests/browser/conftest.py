"""Fixtures of the browser tests: a Redis, a relay, a browser. Redis and relays are started by the end-to-end
tests' harness, so that both kinds of test end them, and judge their end, in the same way.
"""

import pathlib
import re
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

import harness  # noqa: E402
from settings import BUILD, RELAY  # noqa: E402
from webdriver import Browser, Chromedriver  # noqa: E402

# A quick end, a short way back after a loss, and heartbeats that a test can wait for.
OPTIONS = ["--workers", "2", "--drain-grace", "0s", "--drain", "50ms", "--retry", "200ms", "--heartbeat", "1s"]


def pytest_configure():
    if not RELAY.exists():
        pytest.exit(f"{RELAY} is missing: run make first, or name its folder in BUILD", returncode=2)
    for program in ("chromium", "chromedriver"):
        if not shutil.which(program):
            pytest.exit(f"{program} is missing: make deps-test installs it", returncode=2)


@pytest.fixture(scope="session")
def redis(tmp_path_factory):
    server = harness.Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path_factory):
    """A redis-server that a test may do harm to."""
    server = harness.Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def start_relay(tmp_path, redis):
    """A function that starts a ready relay of the test's own; it has to end cleanly."""
    started = []

    def start(*args, redis_url=None, **how):
        relay = harness.Relay(tmp_path, f"relay{len(started)}", redis_url or redis.url, *OPTIONS, *args, **how)
        started.append(relay)
        return relay.wait_ready()

    yield start
    for relay in started:
        relay.finish()


@pytest.fixture(scope="session")
def relay(tmp_path_factory, redis):
    """The relay of all tests that do it no harm."""
    one = harness.Relay(tmp_path_factory.mktemp("relay"), "relay", redis.url, *OPTIONS, "--allow-anonymous-publish")
    yield one.wait_ready()
    one.finish()


@pytest.fixture(scope="session")
def chromedriver(tmp_path_factory):
    driver = Chromedriver(tmp_path_factory.mktemp("chromedriver"))
    yield driver
    driver.stop()


@pytest.fixture
def browser(chromedriver, tmp_path, request):
    """A fresh browser with a desktop's window. What it showed last is left in BUILD/browser/<test>.png."""
    one = Browser(chromedriver, tmp_path / "profile")
    try:
        one.resize(1280, 800)
        yield one
        pictures = BUILD / "browser"
        pictures.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", request.node.name)
        (pictures / f"{name}.png").write_bytes(one.screenshot())
    finally:
        one.close()
