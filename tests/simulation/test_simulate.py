"""The same worlds each time, so that a change which breaks a rule in them is told by `make test`; `make simulate`
looks at others."""

import os
import pathlib
import re
import subprocess

import pytest

BUILD = pathlib.Path(os.environ.get("BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
SIMULATE = BUILD / "tests/simulation/simulate"
WORLDS = 300 if not os.environ.get("SANITIZE") else 60


def simulate(*words):
    done = subprocess.run([SIMULATE, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=280)
    return done.returncode, done.stdout


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_rules_hold(seed):
    code, told = simulate("--worlds", WORLDS, "--seed", seed)
    assert code == 0, told
    assert f"{WORLDS} worlds" in told


def test_a_run_is_the_same_each_time():
    """And something happens in it."""
    figures = {re.sub(r" in [0-9.]+ s \(\d+ a second of CPU time\)", "", simulate("--worlds", 20, "--seed", 99)[1]) for _ in range(2)}
    assert len(figures) == 1
    assert int(re.search(r"(\d+) deliveries", figures.pop())[1]) > 1000


def test_a_failure_is_found_and_made_small():
    """Rules that cannot hold: the clients of these worlds may not be told of anything."""
    code, told = simulate("--worlds", 200, "--seed", 1, "--break")
    assert code == 1
    assert "breaks the rule" in told and "shrunk in" in told and "again: simulate --world" in told
    assert int(re.search(r"^(\d+) actions:", told, re.MULTILINE)[1]) < 12
