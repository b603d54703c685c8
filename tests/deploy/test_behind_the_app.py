"""The lines for nginx, Caddy, Envoy and Traefik that ask an application who may read what, word for word in the real programs: before
a real relay and an application that is this test."""

import http.server
import os
import re
import signal
import socket
import threading
import urllib.parse

import pytest

import balancers
import harness
from http_raw import fetch
from settings import ROOT, tool
from sse import Stream

README = (ROOT / "README.md").read_text()
ASKING = (ROOT / "deploy/balancers/asking.md").read_text()
SECRET = "eyJhbGciOiJIUzI1NiJ9.e30.of-a-client"
CONFIG = """
pid {directory}/pid;
error_log stderr warn;
{user}
events {{}}
http {{
    {log}
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
{log}
{locations}
}}
"""

# Who may read what, by their cookie.
RIGHTS = {"user=ann": "user.ann,news", "user=bob": "user.bob,r%C3%A4tsel%26topic%3Duser.ann"}


# And which addresses, for a proxy behind which the page names the topics.
ADDRESSES = {"user=ann": ["/sse?topics=user.ann,news"]}


class App(http.server.BaseHTTPRequestHandler):
    """Answers /may-read, with a header and a body that are nobody's business; and a page for everybody elsewhere."""

    protocol_version = "HTTP/1.1"
    asked = []

    def do_GET(self):
        cookie, uri = self.headers.get("Cookie", ""), self.headers.get("X-Forwarded-Uri")
        topics = None
        if self.path.partition("?")[0] != "/may-read":
            may = True
        elif uri and uri.startswith("/sse"):
            may = uri in ADDRESSES.get(cookie, ())
        else:
            topics = RIGHTS.get(cookie)
            may = topics or cookie == "user=new"
        self.asked.append((self.path, self.headers.get("X-Original-URI") or uri))
        self.send_response(200 if may else 401)
        if topics:
            # For Caddy as they are: the bytes of UTF-8, which this class takes for Latin-1.
            self.send_header("X-Topics", urllib.parse.unquote(topics).encode().decode("latin-1") if uri else topics)
        self.send_header("Set-Cookie", "session=renewed")
        self.send_header("X-Internal", "of the application")
        self.send_header("Content-Length", "19")
        self.end_headers()
        self.wfile.write(b"of the application\n")

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
    return start_relay("--allow-anonymous-publish", "--retry", "200ms", "--log-level", "debug")


def blocks(text, language):
    """The blocks of code of a page that are written in @language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def addressed(text, *changes):
    """@text with our addresses in place of its own, which stand there once."""
    for theirs, ours in changes:
        assert text.count(theirs) == 1
        text = text.replace(theirs, "%s:%d" % ours)
    return text


class Plain:
    """nginx or Caddy over HTTP, with the lines of the page about it and nothing else."""

    where = "/events"

    def __init__(self, directory, relay, app):
        self.directory, self.port = directory, harness.free_port()
        locations = addressed(self.page(), ("127.0.0.1:8080", relay.address), ("127.0.0.1:3000", app.server_address))
        self.process = self.start(locations)
        harness.wait_until(lambda: self.accepts() or not self.process.running, self.name)
        assert self.process.running, self.process.err

    def accepts(self):
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except ConnectionRefusedError:
            return False
        return True

    def fetch(self, method, path, headers=()):
        return fetch(("127.0.0.1", self.port), method, path, headers)

    def stream(self, path, headers=()):
        return Stream(("127.0.0.1", self.port), path, headers)

    def log(self):
        return self.process.out + self.process.err

    def stop(self):
        self.process.signal(signal.SIGTERM)  # nginx's master ends its workers
        self.process.wait()


class Nginx(Plain):
    name = "nginx"

    def page(self):
        (lines,) = blocks(README, "nginx")
        return lines

    def start(self, locations):
        recipe = (ROOT / "deploy/balancers/nginx/nginx.conf").read_text()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        file = self.directory / "nginx.conf"
        file.write_text(CONFIG.format(
            directory=self.directory, port=self.port, locations=locations, user="user root;" if os.geteuid() == 0 else "",
            log="".join(re.findall(r"^ *(?:log_format|access_log) .*\n", recipe, re.M)),
            scratch=" ".join(f"{kind}_temp_path {self.directory}/{kind};" for kind in kinds)))
        return harness.Process(["nginx", "-e", "stderr", "-c", file, "-g", "daemon off;"], self.directory, "nginx")


class Caddy(Plain):
    name = "caddy"

    def page(self):
        lines, _ = blocks(ASKING, "caddy")
        return lines

    def start(self, locations):
        _, log = blocks(ASKING, "caddy")
        file = self.directory / "Caddyfile"
        file.write_text(CADDYFILE.format(port=self.port, log=log, locations=locations))
        env = os.environ | {"XDG_DATA_HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory)}
        argv = ["caddy", "run", "--config", file, "--adapter", "caddyfile"]
        return harness.Process(argv, self.directory, "caddy", env=env)


class Recipe:
    """Envoy or Traefik with the recipe of deploy/balancers, and the page's lines in it where the page says."""

    def __init__(self, directory, relay, app):
        self.app = app
        certificate = balancers.Certificate(directory)
        self.balancer = self.kind(directory, certificate, [relay.address], self.edit)
        self.balancer.start()

    def fetch(self, method, path, headers=()):
        return self.balancer.fetch(method, path, headers, b"" if method == "POST" else None)

    def stream(self, path, headers=()):
        return self.balancer.stream(path, headers=headers)

    def log(self):
        return self.balancer.process.out + self.balancer.process.err

    def stop(self):
        """With the end of its log, which a kill would lose."""
        if self.balancer.process.running:
            self.balancer.process.signal(signal.SIGTERM)
            self.balancer.process.wait()

    def put(self, text, mark, lines):
        """@lines of the page, below the first line of @text that is @mark."""
        assert f"\n{mark}\n" in text
        return text.replace(f"\n{mark}\n", f"\n{mark}\n{lines}", 1)


class Envoy(Recipe):
    kind, name, where = balancers.Envoy, "envoy", "/events"

    def edit(self, _, text):
        page = ASKING.split("\n## Envoy\n")[1].split("\n## Traefik\n")[0]
        filters, routes, cluster = blocks(page, "yaml")
        text = self.put(text, " " * 16 + "http_filters:", filters)
        text, count = re.subn(r"\n +routes:\n.*?(?=\n    - name: http\n)", lambda _: "\n" + routes, text, count=1, flags=re.S)
        assert count == 1
        cluster = cluster.replace("port_value: 3000", f"port_value: {self.app.server_address[1]}")
        return self.put(text, "  clusters:", cluster)


class Traefik(Recipe):
    kind, name, where = balancers.Traefik, "traefik", "/sse?topics=user.ann,news"

    def edit(self, file, text):
        if file == "traefik.yml":
            return text
        router, middleware = blocks(ASKING.split("\n## Traefik\n")[1], "yaml")
        text, count = re.subn(r"\n    relays:\n.*?\n(?=\n  middlewares:\n)", lambda _: "\n" + router, text, count=1, flags=re.S)
        assert count == 1
        # Else no request says that it serves: a router of this test alone, to the application.
        text = self.put(text, "  routers:", "    probe: {rule: Path(`/`), entryPoints: [https], service: probe, tls: {}}\n")
        probe = '    probe: {loadBalancer: {servers: [{url: "http://%s:%d"}]}}\n' % self.app.server_address
        text = self.put(text, "  services:", probe)
        return self.put(text, "  middlewares:", addressed(middleware, ("127.0.0.1:3000", self.app.server_address)))


def missing(kind):
    if issubclass(kind, Recipe):
        return balancers.missing(kind.kind)
    return None if tool(kind.name) else f"{kind.name} is missing"


@pytest.fixture
def start_site(relay, app, tmp_path):
    """A function that starts a proxy with the lines of the page about it."""
    started = []

    def start(kind):
        if reason := missing(kind):
            pytest.skip(reason)
        App.asked.clear()
        started.append(kind(tmp_path, relay, app))
        return started[0]

    yield start
    for proxy in started:
        proxy.stop()


@pytest.fixture(params=[Nginx, Caddy, Envoy], ids=lambda kind: kind.name)
def site(request, start_site):
    """A proxy behind which the application names the topics."""
    return start_site(request.param)


@pytest.fixture(params=[Nginx, Caddy, Envoy, Traefik], ids=lambda kind: kind.name)
def any_site(request, start_site):
    return start_site(request.param)


def status(site, headers=()):
    """What a reader is answered; should it be a stream, it is not read to its end, which never comes."""
    with site.stream(site.where, headers) as answer:
        return answer.head.status


def test_each_reads_what_they_may(site, relay):
    """The topics are the application's; what a client asks for changes nothing."""
    with site.stream("/events?topics=user.bob&topic=user.bob", [("Cookie", "user=ann")]) as ann, \
         site.stream("/events", [("Cookie", "user=bob")]) as bob:
        assert ann.wait_name("relay.live").data == '{"topics":["user.ann","news"]}'
        assert bob.wait_name("relay.live").data == '{"topics":["user.bob","rätsel&topic=user.ann"]}'
        for topic in ("user.ann", "user.bob"):
            relay.post(f"/sse?topic={topic}", topic.encode())
        assert ann.wait_data("user.ann") and bob.wait_data("user.bob")
        assert [e.data for e in ann.events + bob.events if e.name == "message"] == ["user.ann", "user.bob"]
    asked = [uri for path, uri in App.asked if path.startswith("/may-read")]
    assert len(asked) == 2
    assert isinstance(site, Envoy) or asked[0] == "/events?topics=user.bob&topic=user.bob"


def test_a_stream_goes_on_where_it_was_cut(any_site, relay):
    cookie = [("Cookie", "user=ann")]
    with any_site.stream(any_site.where, cookie) as stream:
        cursor = stream.wait_name("relay.live").id
    relay.post("/sse?topic=news", b"missed")
    with any_site.stream(any_site.where, [*cookie, ("Last-Event-ID", cursor)]) as stream:
        assert stream.wait_data("missed")
        relay.post("/sse?topic=news", b"live")
        assert stream.wait_data("live")


def test_nobody_else_reads_or_publishes(any_site, relay):
    published = relay.metrics().get("sse_relay_publishes_total", outcome="ok")
    assert status(any_site) == 401
    assert status(any_site, [("Cookie", "user=eve")]) == 401
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert any_site.fetch(method, any_site.where, [("Cookie", "user=ann")]).status in (403, 404, 405)
    for header in ("X-Topics", "x-topics", "X-Original-URI", "X-Forwarded-Uri", "X-Forwarded-Method"):
        assert status(any_site, [(header, "user.ann")]) == 401
        assert status(any_site, [("Cookie", "user=eve"), (header, "/sse?topics=user.ann,news")]) == 401
    # Nothing else leads to the relay, and each way to write the address is another address.
    for path in ("/sse?topic=user.bob", "/sse?topics=user.ann,news&topic=user.bob", "/sse/?topics=user.ann,news", "/metrics", "/healthz"):
        with any_site.stream(path, [("Cookie", "user=ann")]) as answer:
            assert answer.head.status in (401, 403, 404) or "x-content-type-options" not in dict(answer.head.fields), path
    assert relay.metrics()["sse_relay_subscribers"] == 0
    assert relay.metrics().get("sse_relay_publishes_total", outcome="ok") == published


def test_who_may_read_nothing_brings_no_topics(site, relay):
    """Somebody whom the application knows, and for whom it names none."""
    assert status(site, [("Cookie", "user=new")]) in (400, 403)
    assert status(site, [("Cookie", "user=new"), ("X-Topics", "user.ann")]) in (400, 403)
    assert relay.metrics()["sse_relay_subscribers"] == 0


def test_the_applications_answer_stays_with_the_proxy(any_site):
    with any_site.stream(any_site.where, [("Cookie", "user=ann")]) as stream:
        stream.wait_name("relay.live")
        said = {name: value for name, value in stream.head.fields}
        assert not {"x-topics", "x-internal", "set-cookie"} & set(said), said
        assert said["content-type"].startswith("text/event-stream")
        assert b"of the application" not in stream.raw


def test_a_token_of_a_client_is_in_no_log(any_site, relay):
    """In the query, as a page sends it to a relay that asks for tokens; and in the header."""
    sign = "&" if "?" in any_site.where else "?"
    for cookie in ("user=ann", "user=eve"):
        fields = [("Cookie", cookie), ("Authorization", f"Bearer {SECRET}")]
        with any_site.stream(f"{any_site.where}{sign}token={SECRET}", fields) as stream:
            if stream.head.status == 200:
                stream.wait_name("relay.live")
    any_site.stop()
    said = any_site.log()
    assert "GET" in said, "it logs no request"
    assert SECRET not in said, said
    assert SECRET not in relay.out + relay.err
