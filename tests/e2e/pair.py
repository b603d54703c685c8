"""A master and its replica, and the failover from one to the other. The relay's connections and the replica's link go
through proxies, so that the relay finds whoever is master, and a tail of what was published can be kept from the replica.
"""

import pathlib
import re

from harness import Redis, wait_until
from proxy import Proxy


class Pair:
    """Called like a Redis, it is the master."""

    def __init__(self, directory):
        directories = [pathlib.Path(directory) / name for name in "ab"]
        for one in directories:
            one.mkdir()
        self.master, self.replica = (Redis(one, "--repl-diskless-sync-delay", "0") for one in directories)
        self.link, self.front = (Proxy(("127.0.0.1", self.master.port)) for _ in range(2))
        self.url = f"redis://127.0.0.1:{self.front.port}"
        self.follow()

    def __call__(self, *args):
        return self.master(*args)

    def client(self):
        return self.master.client()

    def follow(self):
        """Make the replica one, and wait until it is."""
        self.link.upstream = ("127.0.0.1", self.master.port)
        self.link.restore()
        self.replica("REPLICAOF", "127.0.0.1", self.link.port)
        wait_until(lambda: b"master_link_status:up" in self.replica("INFO", "replication"), "the replica")

    def replicated(self):
        """Until the replica has all that the master has now."""
        wanted = self._offset(self.master)
        wait_until(lambda: self._offset(self.replica) >= wanted, "the replica's offset")

    @staticmethod
    def _offset(server):
        return int(re.search(rb"(?:master|slave)_repl_offset:(\d+)", server("INFO", "replication"))[1])

    def fail_over(self):
        """The master says nothing any more, and what its replica has not got by now is gone."""
        self.master.pause()
        self.link.cut()
        self.replica("REPLICAOF", "NO", "ONE")
        self.front.upstream = ("127.0.0.1", self.replica.port)
        self.front.cut()
        self.master, self.replica = self.replica, self.master

    def rejoin(self):
        """Who was master before comes back, empty, as the replica."""
        self.replica.stop()
        self.replica.start()
        self.follow()

    def resume(self):
        for server in (self.master, self.replica):
            server.resume()

    def stop(self):
        self.resume()
        for server in (self.master, self.replica):
            server.stop()
        for proxy in (self.link, self.front):
            proxy.close()
