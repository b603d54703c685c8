"""Fixtures of the tests of deploy/."""

import itertools
import re

import pytest

import balancers
from balancers import ROOT


@pytest.fixture
def topic(request, _number=itertools.count(1)):
    """A topic that no other test uses."""
    return f"{re.sub(r'[^a-z0-9_.]+', '.', request.node.name.lower())[:100]}.{next(_number)}"


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = balancers.harness.Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return balancers.Certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def npm():
    """The npm packages of tests/e2e, which `make test-run` has installed."""
    if not (ROOT / "tests/e2e/node_modules/eventsource").exists():
        pytest.skip("the npm package eventsource is missing: `make test-run` installs it")
