"""A machine of its own for a test: a real systemd as process 1 in namespaces, over a throw-away copy of this machine's
disk. It has a loopback network of its own, so its ports are free, and ends with all that runs in it.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

import harness
from settings import DEADLINE

HERE = pathlib.Path(__file__).resolve().parent
NAMESPACES = ["--pid", "--mount", "--cgroup", "--uts", "--ipc", "--net"]
NOT_ALLOWED = 77

TARGET = """[Unit]
Requires=basic.target box-redis.service
After=basic.target box-redis.service
AllowIsolate=yes
"""
REDIS = """[Service]
ExecStart=/usr/bin/redis-server --port 6379 --bind 127.0.0.1 --save ""
"""


class Box:
    def __init__(self, files, directory):
        """@files: what lies on its disk beside what is here, {path: bytes, or the pathlib.Path of a file to copy}."""
        self.files, root = pathlib.Path(directory) / "files", pathlib.Path(directory) / "box"
        root.mkdir()
        units = "/etc/systemd/system/"
        for path, what in (files | {units + "box.target": TARGET.encode(), units + "box-redis.service": REDIS.encode()}).items():
            file = self.files / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(what, bytes):
                file.write_bytes(what)
            else:
                shutil.copy(what, file)
        command = ["unshare", "--fork", "--kill-child", *NAMESPACES, "sh", HERE / "box.sh", root, self.files]
        self.outer = harness.Process(command, directory, "box")
        self.init = None

    def wait_up(self):
        """Until its systemd has started all there is; skips the test where such a machine is not allowed."""
        harness.wait_until(lambda: self._is_up() or not self.outer.running, "a systemd in namespaces")
        if not self.outer.running:
            pytest.skip(f"a systemd in namespaces cannot be had here: {self.outer.err.strip()[-300:]}")
        return self

    def _is_up(self):
        children = pathlib.Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children")
        with contextlib.suppress(OSError, IndexError):
            self.init = int(children.read_text().split()[0])
        comm = pathlib.Path(f"/proc/{self.init}/comm")
        return comm.exists() and comm.read_text() == "systemd\n" and self.run("systemctl", "is-active", "box.target", check=False) == "active"

    def _argv(self, command):
        return ["nsenter", f"--target={self.init}", "--all", "--wd=/", *map(str, command)]

    def run(self, *command, check=True):
        """What a command printed in there, without the white space around it."""
        done = subprocess.run(self._argv(command), capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def start(self, directory, name, *command):
        """A process in there that goes on; the caller ends it."""
        return harness.Process(self._argv(command), directory, name)

    def show(self, unit, name):
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)

    def journal(self, unit):
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def close(self):
        if self.init and self.outer.running:
            os.kill(self.init, signal.SIGKILL)  # process 1: the kernel ends all others of its namespace first
        self.outer.kill()


@contextlib.contextmanager
def box(files, directory):
    """A Box that is up, or a skipped test."""
    if os.geteuid() != 0:
        pytest.skip("a systemd in namespaces needs root")
    if missing := [name for name in ("/lib/systemd/systemd", "/usr/bin/unshare", "/usr/bin/redis-server") if not os.path.exists(name)]:
        pytest.skip(f"{missing[0]} is missing")
    it = Box(files, directory)
    try:
        yield it.wait_up()
    finally:
        it.close()
