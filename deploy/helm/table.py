"""Writes the table of values in sse-relay/README.md from the comments and defaults of sse-relay/values.yaml; `make docs`
calls it. With --check it writes nothing, and fails where they differ.
"""

import json
import pathlib
import re
import sys

import yaml

CHART = pathlib.Path(__file__).resolve().parent / "sse-relay"
BEGIN, END = "<!-- values: written by `make docs` -->\n", "<!-- end of values -->\n"
SHOWN = 44  # a longer default is one to look up


def commented_keys(lines):
    """(path, comment) of every key with a comment right above it."""
    path, comment = [], []
    for line in lines:
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.removeprefix("#").strip())
            continue
        if match := re.match(r"( *)([A-Za-z_]\w*):", line):
            path[len(match[1]) // 2 :] = [match[2]]
            if comment:
                yield tuple(path), " ".join(comment)
        comment = []


def default(values, path):
    for name in path:
        values = values[name]
    text = json.dumps(values)
    return f"`{text}`" if len(text) <= SHOWN else "see values.yaml"


def table(source):
    values = yaml.safe_load(source)
    keys = list(commented_keys(source.splitlines()))
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for path, comment in keys:
        above_others = any(other[: len(path)] == path and other != path for other, _ in keys)
        cells = [f"`{'.'.join(path)}`", "" if above_others else default(values, path), comment.replace("|", "\\|")]
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def main():
    readme = CHART / "README.md"
    before = readme.read_text()
    head, rest = before.split(BEGIN)
    after = head + BEGIN + table((CHART / "values.yaml").read_text()) + END + rest.split(END)[1]
    if "--check" not in sys.argv:
        readme.write_text(after)
    elif after != before:
        sys.exit(f"{readme} is not what values.yaml says: run `make docs`")


if __name__ == "__main__":
    main()
