"""The programs in relay/wire/README.md, as they stand there, with the real libraries; and what the page says of them."""

import pathlib
import re
import subprocess
import sys
import tempfile

import pytest

from harness import wait_until
from settings import HERE

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "relay" / "wire" / "publish.lua"
PAGE = (ROOT / "relay" / "wire" / "README.md").read_text()
SNIPPETS = re.findall(r"^```(python|js)\n(import .*?)^```$", PAGE, re.M | re.S)
LIBRARIES = {"redis-py": ("python", "import redis\n"), "node-redis": ("js", 'from "redis"'), "ioredis": ("js", 'from "ioredis"')}


def snippet(library):
    language, mark = LIBRARIES[library]
    (text,) = [text for lang, text in SNIPPETS if lang == language and mark in text]
    return text


def python_with_redis():
    """An interpreter that has the library: make deps-test installs it for the system's own."""
    for python in (sys.executable, "/usr/bin/python3"):
        if not subprocess.run([python, "-c", "import redis"], capture_output=True, check=False).returncode:
            return python
    raise AssertionError("no Python with redis-py: make deps-test installs it")


def publish(library, url, edit=lambda text: text):
    """Run the program; returns the id that it prints."""
    text = edit(snippet(library))
    if LIBRARIES[library][0] == "python":
        argv, file = [python_with_redis(), "-c", text], None
    else:
        with tempfile.NamedTemporaryFile("w", suffix=".mjs", dir=HERE / "node_modules", delete=False) as file:
            file.write(text)
        argv = ["node", file.name]
    done = subprocess.run([*argv, url, str(SCRIPT)], capture_output=True, text=True, timeout=120, check=False)
    if file:
        pathlib.Path(file.name).unlink()
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_there_is_one_for_each_library():
    assert len(SNIPPETS) == len(LIBRARIES) and all(snippet(library) for library in LIBRARIES)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_program_of_the_page(start_relay, own_redis, npm, library):
    """A client gets the event under the id that was printed; run again, the next one follows, or the same with a key."""
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    with relay.live("news") as stream:
        first = publish(library, own_redis.url)
        event = stream.wait_for(lambda e: e.id == first)
        assert event.data == "hi" and event.name == ("paid" if library == "redis-py" else "message")
        second = publish(library, own_redis.url)
        assert (second == first) == (library == "redis-py")  # its key makes it one
        assert not stream.named("relay.reset")
    assert own_redis("HGET", "sse:{0}:clock", "epoch") == b"1"


def test_after_a_restart_a_pooled_client_begins_an_epoch(own_redis, npm):
    """It knows nothing of another server, and need not."""
    assert publish("ioredis", own_redis.url).split(".")[1] == "1"
    own_redis("HSET", "sse:{0}:clock", "run", "another")
    assert publish("ioredis", own_redis.url).split(".")[1] != "1"


def test_a_prefix_of_keys(start_relay, own_redis, npm):
    """As the page says: stored where no relay looks, and dropped as foreign, which the log names."""
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    with relay.live("news"):
        publish("ioredis", own_redis.url, lambda text: text.replace("new Redis(url)", 'new Redis(url, { keyPrefix: "app:" })'))
        assert own_redis("EXISTS", "app:sse:{0}:log:news") == 1
        wait_until(lambda: relay.metrics().get("sse_relay_events_received_total", kind="foreign") == 1, "the foreign message")
        wait_until(lambda: [line for line in relay.logs() if "keyPrefix" in line["msg"] and line.get("topic") == "news"], "the log")
