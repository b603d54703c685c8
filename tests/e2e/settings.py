"""What the surroundings decide: where the programs are, and how patient to be."""

import os
import pathlib
import shutil

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = (ROOT / os.environ.get("BUILD", "build")).resolve()
RELAY = BUILD / "sse-relay"
PUBLISH = BUILD / "sse-publish"

# How long a test waits for what must happen before it says that it did not. Nothing is ever asserted to
# be fast; this only has to be longer than the slowest machine with the slowest sanitizer.
# Other servers than the redis-server in PATH, for the tests that are about them: paths, with : between. A test whose server is
# not there is skipped.
OTHER_SERVERS = [path for path in os.environ.get("REDIS_SERVERS", "").split(":") if path]

DEADLINE = float(os.environ.get("E2E_DEADLINE", "120"))


def tool(name):
    """The path of a program that a test needs, or None."""
    return shutil.which(name)


def sanitized():
    """Whether the relay was built with a sanitizer: its memory then says nothing about the program's."""
    with open(RELAY, "rb") as binary:
        image = binary.read()
    return b"__asan_init" in image or b"__tsan_init" in image
