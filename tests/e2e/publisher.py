"""sse-publish while it runs: lines are given to it, what it says is read, and the logs that it fills are read back."""

import json
import os
import re
import resource
import signal
import subprocess
import threading

from harness import SANITIZER_MARKS, relay_env, wait_until
from settings import DEADLINE, PUBLISH

PAGE = 10000


class Publisher:
    """A sse-publish with pipes. `out` and `err` are what it wrote so far."""

    def __init__(self, redis, *args, stdin=subprocess.PIPE, url=None):
        self.child = subprocess.Popen(
            [str(a) for a in (PUBLISH, *args)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=relay_env({"REDIS_URL": url or redis.url}),
        )
        self._texts = {"out": bytearray(), "err": bytearray()}
        pipes = (("out", self.child.stdout), ("err", self.child.stderr))
        self._threads = [threading.Thread(target=self._read, args=pipe, daemon=True) for pipe in pipes]
        for thread in self._threads:
            thread.start()

    def _read(self, name, pipe):
        while piece := os.read(pipe.fileno(), 1 << 16):
            self._texts[name] += piece

    @property
    def out(self):
        return bytes(self._texts["out"]).decode()

    @property
    def err(self):
        return bytes(self._texts["err"]).decode()

    @property
    def ids(self):
        return self.out.split()

    def give(self, *lines):
        """More of standard input."""
        self.child.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.child.stdin.flush()

    def interrupt(self, number=signal.SIGINT):
        self.child.send_signal(number)

    def wait_err(self, pattern):
        """Until standard error holds what @pattern describes."""
        assert wait_until(lambda: re.search(pattern, self.err) or self.child.poll() is not None, pattern), self.err
        assert re.search(pattern, self.err), self.err

    def wait(self):
        """Its exit code, once it ended by itself."""
        if self.child.stdin:
            self.child.stdin.close()
        code = self.child.wait(DEADLINE * 3)
        for thread in self._threads:
            thread.join()
        assert not any(mark in self.err for mark in SANITIZER_MARKS), self.err
        return code

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


def peak_bytes(redis, *args):
    """Run sse-publish to its end in a child of ours alone; its peak of memory."""
    child = os.fork()
    if child == 0:
        done = subprocess.run([PUBLISH, *args], env=relay_env({"REDIS_URL": redis.url}), check=False)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        os._exit(255 if done.returncode else min(peak // 1024, 254))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code != 255
    return code * 1024 * 1024


def entries_of(redis, topic):
    """The topic's log: the number that ends each entry's id, and its event."""
    found, start = [], "-"
    with redis.client() as client:
        while page := client("XRANGE", f"sse:{{0}}:log:{topic}", start, "+", "COUNT", PAGE):
            for entry, fields in page:
                found.append((entry.decode(), json.loads(fields[fields.index(b"e") + 1])))
            start = "(" + found[-1][0]
    return found


def data_of(redis, topic):
    return [event["data"] for _, event in entries_of(redis, topic)]


def length_of(redis, topic):
    return redis("XLEN", f"sse:{{0}}:log:{topic}")
