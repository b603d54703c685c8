"""A TCP proxy whose connections can be made to fall silent, as a half-open peer does, or be delayed.

A silenced connection stays established on both sides and carries nothing in either direction: the proxy
stops reading, so that neither side sees an error, an end or a byte.
"""

import select
import socket
import threading
import time


class Link:
    """One proxied connection. `seen` keeps the first bytes from the client, to tell what it is for."""

    SEEN_MAX = 64 * 1024

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.silent = False
        self.seen = b""

    def sockets(self):
        return (self.client, self.server)

    def close(self):
        for sock in self.sockets():
            sock.close()


class Proxy:
    """Forwards 127.0.0.1:`port` to `upstream`, an address tuple or the path of a unix socket."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.links = []
        self.delay = 0.0
        self._silence_new = False
        self._lock = threading.Lock()
        self._stop = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def silence(self, carrying=b"", new_too=False):
        """Silence every connection whose client sent @carrying so far; returns how many there were.

        With @new_too, connections that are opened later are silent from the start."""
        with self._lock:
            chosen = [link for link in self.links if carrying in link.seen]
            for link in chosen:
                link.silent = True
            self._silence_new = new_too
            return len(chosen)

    def restore(self):
        """Everything flows again; what was sent meanwhile arrives late."""
        with self._lock:
            self._silence_new = False
            for link in self.links:
                link.silent = False

    def cut(self):
        """Close every connection."""
        with self._lock:
            for link in self.links:
                link.close()
            self.links.clear()

    def close(self):
        self._stop = True
        self._thread.join()
        self._listener.close()
        self.cut()

    def _connect(self):
        family = socket.AF_UNIX if isinstance(self.upstream, str) else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.connect(self.upstream)
        except OSError:
            sock.close()
            raise
        return sock

    def _accept(self):
        client, _ = self._listener.accept()
        try:
            link = Link(client, self._connect())
        except OSError:
            client.close()
            return
        link.silent = self._silence_new
        self.links.append(link)

    def _forward(self, link, source):
        sink = link.server if source is link.client else link.client
        try:
            data = source.recv(65536)
            if source is link.client and len(link.seen) < Link.SEEN_MAX:
                link.seen += data
            if data:
                sink.sendall(data)
                return
        except OSError:
            pass
        link.close()
        self.links.remove(link)

    def _run(self):
        while not self._stop:
            with self._lock:
                owners = {s: link for link in self.links if not link.silent for s in link.sockets()}
            # The short timeout is how a change of what is silent gets noticed.
            try:
                ready, _, _ = select.select([self._listener, *owners], [], [], 0.02)
            except (OSError, ValueError):
                continue  # cut() closed one of them meanwhile
            if ready and self.delay:
                time.sleep(self.delay)
            with self._lock:
                for sock in ready:
                    if sock is self._listener:
                        self._accept()
                    elif owners[sock] in self.links and not owners[sock].silent:
                        self._forward(owners[sock], sock)
