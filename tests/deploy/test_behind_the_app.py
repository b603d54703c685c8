"""The lines for nginx and Caddy that ask an application who may read what, word for word in a real nginx and a real Caddy: before
a real relay and an application that is this test."""

import http.server
import os
import re
import signal
import socket
import threading
import urllib.parse

import pytest

import harness
from http_raw import fetch
from settings import ROOT, tool
from sse import Stream

README = (ROOT / "README.md").read_text()
BALANCERS = (ROOT / "deploy/balancers/README.md").read_text()
CONFIG = """
pid {directory}/pid;
error_log stderr warn;
{user}
events {{}}
http {{
    access_log off;
    {scratch}
    server {{
        listen 127.0.0.1:{port};
{locations}
    }}
}}
"""

CADDYFILE = """
{{
	admin off
	auto_https off
}}
http://127.0.0.1:{port} {{
{locations}
}}
"""

# Who may read what, by their cookie.
RIGHTS = {"user=ann": "user.ann,news", "user=bob": "user.bob,r%C3%A4tsel%26topic%3Duser.ann"}


class App(http.server.BaseHTTPRequestHandler):
    """Answers /may-read."""

    asked = []

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("X-Original-URI") or self.headers.get("X-Forwarded-Uri")))
        topics = RIGHTS.get(self.headers.get("Cookie", ""))
        self.send_response(200 if topics or self.headers.get("Cookie") == "user=new" else 401)
        if topics:
            # For Caddy as they are: the bytes of UTF-8, which this class takes for Latin-1.
            asks_plainly = "X-Forwarded-Uri" in self.headers
            self.send_header("X-Topics", urllib.parse.unquote(topics).encode().decode("latin-1") if asks_plainly else topics)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def app():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), App) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def relay(start_relay):
    return start_relay("--allow-anonymous-publish", "--retry", "200ms")


def lines_of(text, language, relay, app):
    """The lines of a page, with the addresses of this test in place of theirs."""
    text = re.search(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)[1]
    for theirs, ours in (("127.0.0.1:8080", "%s:%d" % relay.address), ("127.0.0.1:3000", "127.0.0.1:%d" % app.server_address[1])):
        assert text.count(theirs) == 1
        text = text.replace(theirs, ours)
    return text


def start_nginx(directory, port, locations):
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    file = directory / "nginx.conf"
    file.write_text(CONFIG.format(
        directory=directory, port=port, locations=locations, user="user root;" if os.geteuid() == 0 else "",
        scratch=" ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)))
    return harness.Process(["nginx", "-e", "stderr", "-c", file, "-g", "daemon off;"], directory, "nginx")


def start_caddy(directory, port, locations):
    file = directory / "Caddyfile"
    file.write_text(CADDYFILE.format(port=port, locations=locations))
    env = os.environ | {"XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    return harness.Process(["caddy", "run", "--config", file, "--adapter", "caddyfile"], directory, "caddy", env=env)


@pytest.fixture(params=["nginx", "caddy"])
def site(request, relay, app, tmp_path):
    """The address of a proxy with the lines of the page about it."""
    if not tool(request.param):
        pytest.skip(f"{request.param} is missing")
    port = harness.free_port()
    page, start = {"nginx": (README, start_nginx), "caddy": (BALANCERS, start_caddy)}[request.param]
    proxy = start(tmp_path, port, lines_of(page, request.param, relay, app))
    harness.wait_until(lambda: accepts(port) or not proxy.running, request.param)
    assert proxy.running, proxy.err
    yield "127.0.0.1", port
    proxy.signal(signal.SIGTERM)  # nginx's master ends its workers
    proxy.wait()


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def status(site, method="GET", headers=(), path="/events"):
    return fetch(site, method, path, headers).status


def test_each_reads_what_they_may(site, relay):
    """The topics are the application's; what a client asks for changes nothing."""
    with Stream(site, "/events?topics=user.bob&topic=user.bob", [("Cookie", "user=ann")]) as ann, \
         Stream(site, "/events", [("Cookie", "user=bob")]) as bob:
        assert ann.wait_name("relay.live").data == '{"topics":["user.ann","news"]}'
        assert bob.wait_name("relay.live").data == '{"topics":["user.bob","rätsel&topic=user.ann"]}'
        for topic in ("user.ann", "user.bob"):
            relay.post(f"/sse?topic={topic}", topic.encode())
        assert ann.wait_data("user.ann") and bob.wait_data("user.bob")
        assert [e.data for e in ann.events + bob.events if e.name == "message"] == ["user.ann", "user.bob"]
    assert ("/may-read", "/events?topics=user.bob&topic=user.bob") in App.asked


def test_a_stream_goes_on_where_it_was_cut(site, relay):
    cookie = [("Cookie", "user=ann")]
    with Stream(site, "/events", cookie) as stream:
        cursor = stream.wait_name("relay.live").id
    relay.post("/sse?topic=news", b"missed")
    with Stream(site, "/events", [*cookie, ("Last-Event-ID", cursor)]) as stream:
        assert stream.wait_data("missed")


def test_nobody_else_reads_or_publishes(site, relay):
    published = relay.metrics().get("sse_relay_publishes_total", outcome="ok")
    assert status(site) == 401
    assert status(site, headers=[("Cookie", "user=eve")]) == 401
    assert status(site, "POST", [("Cookie", "user=ann")]) == 403
    assert status(site, path="/may-read") in (200, 404)  # neither nginx's internal location nor anything of Caddy's
    for header in ("X-Topics", "x-topics", "X-Original-URI", "X-Forwarded-Uri"):
        assert status(site, headers=[(header, "user.ann")]) == 401
        assert status(site, headers=[("Cookie", "user=eve"), (header, "user.ann")]) == 401
    # Somebody who is known and may read nothing does not bring the topics along.
    assert status(site, headers=[("Cookie", "user=new")]) in (400, 403)
    assert status(site, headers=[("Cookie", "user=new"), ("X-Topics", "user.ann")]) in (400, 403)
    assert relay.metrics()["sse_relay_subscribers"] == 0
    assert relay.metrics().get("sse_relay_publishes_total", outcome="ok") == published
