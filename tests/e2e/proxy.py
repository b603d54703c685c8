"""A TCP proxy whose connections can be made to fall silent, as a half-open peer does, or be delayed.

A silenced connection stays established on both sides and carries nothing in either direction: the proxy
stops reading, so that neither side sees an error, an end or a byte. What one side of a connection sends can
be held back as well, and let go command by command.
"""

import select
import socket
import threading
import time


def command_end(data):
    """Where the first command of Redis's protocol in @data ends; 0 where it is not whole."""
    end = data.find(b"\r\n") + 2
    if end < 2:
        return 0
    for _ in range(int(data[1 : end - 2])):
        line = data.find(b"\r\n", end) + 2
        if line < 2:
            return 0
        end = line + int(data[end + 1 : line - 2]) + 2
    return end if end <= len(data) else 0


class Link:
    """One proxied connection. `seen` keeps the first bytes from the client, to tell what it is for; `held` what was held
    back, by its sender ("client" or "server"), None where it flows."""

    SEEN_MAX = 64 * 1024

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.silent = False
        self.seen = b""
        self.held = {"client": None, "server": None}

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

    def link(self, carrying):
        """The one connection whose client sent @carrying so far."""
        with self._lock:
            (link,) = [link for link in self.links if carrying in link.seen]
            return link

    def hold(self, link, sender):
        """Keep what "client" or "server" sends on @link from now on."""
        with self._lock:
            link.held[sender] = b""

    def release(self, link, sender, commands=None):
        """Let it go; with @commands, so many whole ones that were kept, and go on keeping."""
        with self._lock:
            kept = link.held[sender]
            end = len(kept) if commands is None else 0
            for _ in range(commands or 0):
                more = command_end(kept[end:])
                assert more, kept
                end += more
            (link.server if sender == "client" else link.client).sendall(kept[:end])
            link.held[sender] = None if commands is None else kept[end:]

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
        sender, sink = ("client", link.server) if source is link.client else ("server", link.client)
        try:
            data = source.recv(65536)
            if source is link.client and len(link.seen) < Link.SEEN_MAX:
                link.seen += data
            if data and link.held[sender] is not None:
                link.held[sender] += data
                return
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
