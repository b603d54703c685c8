"""Fixtures of the tests of deploy/."""

import itertools
import re

import pytest


@pytest.fixture
def topic(request, _number=itertools.count(1)):
    """A topic that no other test uses."""
    return f"{re.sub(r'[^a-z0-9_.]+', '.', request.node.name.lower())[:100]}.{next(_number)}"
