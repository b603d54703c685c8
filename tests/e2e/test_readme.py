"""What the README says about publishing from other languages, word for word: each program publishes, and sees an error.

A language that is not installed is skipped."""

import re
import subprocess

import pytest

from settings import ROOT, tool

README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8080/"

# What stands around the lines, as their authors would have it: (file, before, after), and what runs it.
PROGRAMS = {
    "python": ("publish.py", "", "", ["python3"]),
    "js": ("publish.mjs", "", "", ["node"]),
    "php": ("publish.php", "<?php\n", "", ["php"]),
    "go": ("publish.go", 'package main\n\nimport (\n\t"log"\n\t"net/http"\n\t"strings"\n)\n\nfunc main() {\n', "}\n", ["go", "run"]),
    "ruby": ("publish.rb", "", "", ["ruby"]),
}
NAMES = {"python": "Python", "js": "Node", "php": "PHP", "go": "Go", "ruby": "Ruby"}


def snippet(language):
    section = re.search(r"^## Publish from your language$.*?(?=^## )", README, re.M | re.S)[0]
    return re.search(rf"^```{language}\n(.*?)^```$", section, re.M | re.S)[1]


def run(language, directory, relay):
    """The snippet as a program that publishes to @relay."""
    file, before, after, command = PROGRAMS[language]
    if not tool(command[0]):
        pytest.skip(f"{command[0]} is missing")
    text = snippet(language)
    assert ADDRESS in text
    program = directory / file
    program.write_text(before + text.replace(ADDRESS, relay.url + "/") + after)
    return subprocess.run([*command, program], cwd=directory, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def open_relay(relay_with):
    return relay_with("--allow-anonymous-publish")


@pytest.fixture(scope="module")
def shut_relay(relay_with):
    return relay_with()


@pytest.mark.parametrize("language", PROGRAMS)
def test_it_publishes(language, open_relay, tmp_path):
    with open_relay.live("news") as stream:
        done = run(language, tmp_path, open_relay)
        assert done.returncode == 0, done.stderr
        stream.wait_data(f"from {NAMES[language]}")


@pytest.mark.parametrize("language", PROGRAMS)
def test_it_sees_an_error(language, shut_relay, tmp_path):
    """A relay that takes no events: the program fails, and says something."""
    done = run(language, tmp_path, shut_relay)
    assert done.returncode != 0 and done.stderr + done.stdout


def test_they_are_few_lines():
    """Three lines, and what a language asks for around them."""
    assert all(len([line for line in snippet(language).splitlines() if line]) <= 4 for language in PROGRAMS)
