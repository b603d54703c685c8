"""An HTTP server that answers whatever a test tells it to, well formed or not."""

import socket
import threading

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"  # ends with the connection


def answer(status, body=b"", *headers, kind="application/problem+json"):
    """A whole answer, after which the connection ends."""
    head = [f"HTTP/1.1 {status} Scripted", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode() + body


class Scripted:
    """Each request gets the next of @answers, the last one again and again: bytes, or a function that is given the socket
    and the server. `requests` holds their heads. @tls is an ssl.SSLContext."""

    def __init__(self, *answers, port=0, tls=None):
        self.answers = answers
        self.tls = tls
        self.requests = []
        self._sockets = []
        self._stop = False
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            sock, _ = self._listener.accept()
            if self._stop:
                sock.close()
                return
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        head = b""
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            while b"\r\n\r\n" not in head:
                piece = sock.recv(65536)
                if not piece:
                    return
                head += piece
            number = len(self.requests)
            self.requests.append(head.decode())
            what = self.answers[min(number, len(self.answers) - 1)]
            if callable(what):
                what(sock, self)
            else:
                sock.sendall(what)
        except OSError:
            pass  # the client had enough
        finally:
            sock.close()

    def header(self, number, name):
        """The value of a field of the request of that number, or None."""
        for line in self.requests[number].split("\r\n")[1:]:
            field, _, value = line.partition(": ")
            if field.lower() == name.lower():
                return value
        return None

    def target(self, number):
        return self.requests[number].split(" ")[1]

    def close(self):
        self._stop = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()
        for sock in self._sockets:
            sock.close()


def flood(head, piece):
    """Send @head, and @piece for ever; `sent` of the server says how often, and `cut` whether the client ended it."""

    def send(sock, server):
        server.sent, server.cut = 0, False
        try:
            sock.sendall(head)
            while True:
                sock.sendall(piece)
                server.sent += 1
        except OSError:
            server.cut = True

    return send


def hold(*pieces):
    """Send @pieces, and keep the connection until the client ends it."""

    def send(sock, _server):
        for piece in pieces:
            sock.sendall(piece)
        while sock.recv(65536):
            pass

    return send
