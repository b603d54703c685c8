"""TLS: versions, certificates by name and their renewal, session tickets, client certificates; and clients that speak it badly."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest

import http_raw
import tls_raw
from harness import free_port, run_relay, wait_until
from http_raw import Closed
from settings import ROOT
from sse import Stream
from tls_raw import Certificate, Records, TlsConn, connector, context

BOTH = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
TLS = ("--listen", "https://127.0.0.1:0")
ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    """Three certificates: the first for this machine, one for a name, one for a whole domain."""
    directory = tmp_path_factory.mktemp("certs")
    own = Certificate(directory, "own", "localhost", "127.0.0.1")
    return own, Certificate(directory, "a", "a.test"), Certificate(directory, "b", "*.b.test")


@pytest.fixture(scope="module")
def secure(relay_with, certs):
    """A relay that listens plain and by TLS, with three certificates."""
    options = [option for one in certs for option in one.options]
    return relay_with(*TLS, *options, "--allow-anonymous-publish", "--max-age", "1h").wait_listening(2)


def address(relay):
    """Where it speaks TLS."""
    return relay.addresses[1]


def url(relay):
    return f"https://localhost:{address(relay)[1]}"


def failures(relay, reason):
    return relay.metrics().get("sse_relay_tls_handshake_failures_total", reason=reason)


def shown(relay, name, *trusted):
    """The certificate that a client of that name gets, which it has to trust."""
    with TlsConn(address(relay), context(*trusted), name) as conn:
        return conn.sock.getpeercert(binary_form=True)


def copy_of(cert, directory):
    """The same in files of its own, to be replaced."""
    made = Certificate.__new__(Certificate)
    made.cert, made.key = directory / "served.pem", directory / "served.key"
    made.cert.write_bytes(cert.cert.read_bytes())
    made.key.write_bytes(cert.key.read_bytes())
    return made


def s_client(relay, *args, say=""):
    """What `openssl s_client` prints, when it is told @say line by line, with a pause in between."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{address(relay)[1]}", *args]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in say.splitlines(keepends=True):
        time.sleep(0.3)  # it takes a command only at the beginning of what it reads
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(line)
            child.stdin.flush()
    if say:
        time.sleep(0.5)
    return child.communicate(timeout=60)[0]


# ---- what works as it does without ----


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl(secure, certs, topic, version):
    curl = ["curl", "-sS", "--cacert", certs[0].cert, f"--tlsv{version}", "--tls-max", version]
    reader = subprocess.Popen([*curl, "-N", f"{url(secure)}/sse?topic={topic}"], stdout=subprocess.PIPE, text=True)
    try:
        while "relay.live" not in (line := reader.stdout.readline()):
            assert line
        done = subprocess.run([*curl, f"{url(secure)}/sse?topic={topic}", "-d", "by curl"], capture_output=True, check=True)
        assert json.loads(done.stdout)["ids"][topic]
        while "by curl" not in (line := reader.stdout.readline()):
            assert line
    finally:
        reader.kill()
        reader.communicate()


@pytest.mark.parametrize("version", BOTH)
def test_stream_publish_and_resume(secure, certs, topic, version):
    ctx = context(certs[0], version=version)
    with Stream(address(secure), f"/sse?topic={topic}", connect=connector(ctx)) as stream:
        stream.wait_live()
        for n in range(3):
            answer = tls_raw.fetch(address(secure), ctx, "POST", f"/sse?topic={topic}", body=b"%d" % n)
            assert answer.status == 200
        first = stream.wait_data("0")
        stream.wait_data("2")
    again = [("Last-Event-ID", first.id)]
    with Stream(address(secure), f"/sse?topic={topic}", again, connect=connector(ctx)) as stream:
        stream.wait_live()
        assert [e.data for e in stream.events if e.name == "message"] == ["1", "2"]


def test_many_requests_on_one_connection(secure, certs):
    with TlsConn(address(secure), context(certs[0])) as conn:
        for _ in range(40):
            conn.request("GET", "/healthz")
        for _ in range(40):
            assert conn.read_answer().status == 200
        body = os.urandom(50).hex().encode() * 5000  # half a megabyte, in many records
        conn.request("POST", "/sse?topic=large", body=body)
        assert conn.read_answer().status == 200


@pytest.mark.parametrize("version", BOTH)
def test_a_reader_that_is_slow_gets_all_of_it(start_relay, certs, topic, version):
    relay = start_relay(*TLS, *certs[0].options, "--allow-anonymous-publish", "--send-buffer", "8KiB", "--outbox-limit", "64KiB")
    relay.wait_listening(2).wait_ready()
    ctx = context(certs[0], version=version)
    with Stream(address(relay), f"/sse?topic={topic}", rcvbuf=4096, connect=connector(ctx)) as stream:
        stream.wait_live()
        for n in range(150):
            assert relay.post(f"/sse?topic={topic}", b"%d:" % n + b"x" * (n * 200 % 30000)).status == 200
        wait_until(lambda: relay.metrics()["sse_relay_subscribers_lagging"] == 1, "lagging")
        stream.wait_for(lambda e: e.data.startswith("149:"))
        assert [int(e.data.split(":")[0]) for e in stream.events if e.name == "message"] == list(range(150))
        assert not stream.named("relay.reset")


def test_the_end_of_a_stream_says_goodbye(start_relay, certs, topic):
    relay = start_relay(*TLS, *certs[0].options).wait_listening(2).wait_ready()
    stream = Stream(address(relay), f"/sse?topic={topic}", connect=connector(context(certs[0]))).wait_live()
    relay.signal(signal.SIGTERM)
    stream.wait_end()
    assert stream.named("relay.close")
    assert stream.conn.ended(), "close_notify comes behind the last chunk, and nothing else"
    stream.close()
    assert relay.wait() == 0


# ---- what is agreed on ----


def test_versions(secure, certs):
    for version in BOTH:
        with TlsConn(address(secure), context(certs[0], version=version)) as conn:
            assert conn.sock.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
            assert conn.sock.compression() is None
    before = failures(secure, "nothing_in_common")
    for old in ("-tls1", "-tls1_1"):
        assert "no peer certificate available" in s_client(secure, old, "-cipher", "ALL:@SECLEVEL=0")
    assert failures(secure, "nothing_in_common") == before + 2


def test_ciphers_of_tls_1_2_have_forward_secrecy(secure):
    before = failures(secure, "nothing_in_common")
    for cipher in ("AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA384"):
        assert "no peer certificate available" in s_client(secure, "-tls1_2", "-cipher", cipher)
    assert failures(secure, "nothing_in_common") == before + 2


def test_alpn(secure, certs):
    with TlsConn(address(secure), context(certs[0], alpn=["h9", "http/1.1"])) as conn:
        assert conn.sock.selected_alpn_protocol() == "http/1.1"
    with TlsConn(address(secure), context(certs[0], alpn=["http/1.1", "h2"])) as conn:
        assert conn.sock.selected_alpn_protocol() == "h2"
    with TlsConn(address(secure), context(certs[0])) as conn:
        assert conn.sock.selected_alpn_protocol() is None
        conn.request("GET", "/healthz")
        assert conn.read_answer().status == 200
    before = failures(secure, "nothing_in_common")
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        TlsConn(address(secure), context(certs[0], alpn=["h9"]))
    assert failures(secure, "nothing_in_common") == before + 1


def test_certificates_by_name(secure, certs):
    own, a, b = certs
    assert shown(secure, "localhost", own) == own.der
    assert shown(secure, "a.test", a) == a.der
    assert shown(secure, "A.TEST", a) == a.der
    assert shown(secure, "x.b.test", b) == b.der
    for name in ("b.test", "x.y.b.test", "nobody.test"):  # the first one is shown, which is not for them
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            shown(secure, name, *certs)


@pytest.mark.parametrize("version", BOTH)
def test_a_client_that_does_not_trust(secure, certs, version):
    before = failures(secure, "refused")
    with Records(address(secure), context(certs[1], version=version)) as client:
        with pytest.raises(ssl.SSLCertVerificationError):
            for record in client.steps(ASK):
                client.sock.sendall(record)
        for record in client.take():  # its alert; a socket that is closed at once may lose it
            client.sock.sendall(record)
        wait_until(lambda: failures(secure, "refused") == before + 1, "the count")


# ---- renewal ----


@pytest.mark.parametrize("how", ["file", "SIGHUP"])
def test_renewal_drops_no_stream(start_relay, certs, tmp_path, topic, how):
    served = copy_of(certs[0], tmp_path)
    renewed = Certificate(tmp_path, "renewed", "localhost", "127.0.0.1")
    relay = start_relay(*TLS, *served.options, "--allow-anonymous-publish").wait_listening(2).wait_ready()
    with Stream(address(relay), f"/sse?topic={topic}", connect=connector(context(certs[0]))) as stream:
        stream.wait_live()
        served.replace(renewed)
        if how == "SIGHUP":
            relay.signal(signal.SIGHUP)
        wait_until(lambda: any(line["msg"] == "the certificates were read again" for line in relay.logs()), "reading")
        assert shown(relay, "localhost", renewed) == renewed.der
        relay.post(f"/sse?topic={topic}", b"still here")
        stream.wait_data("still here")


def test_a_bad_new_file_changes_nothing(start_relay, certs, tmp_path, topic):
    served = copy_of(certs[0], tmp_path)
    relay = start_relay(*TLS, *served.options).wait_listening(2).wait_ready()

    def told(words):
        return any("of before are used on" in line["msg"] and words in line["why"] for line in relay.logs())

    served.key.write_bytes(certs[1].key.read_bytes())
    wait_until(lambda: told("does not belong to the certificate"), "the word about the key")
    served.cert.write_text("nothing\n")
    wait_until(lambda: told("holds no certificate"), "the word about the certificate")
    served.cert.unlink()
    wait_until(lambda: told("cannot be read: No such file"), "the word about the file")
    assert shown(relay, "localhost", certs[0]) == certs[0].der
    served.replace(certs[1])
    wait_until(lambda: any(line["msg"] == "the certificates were read again" for line in relay.logs()), "reading")
    assert shown(relay, "a.test", certs[1]) == certs[1].der


def test_an_expired_certificate_is_told(start_relay, tmp_path):
    old = Certificate(tmp_path, "old", "localhost", expired=True)
    relay = start_relay(*TLS, *old.options).wait_listening(2)
    assert any("expired" in line["msg"] and line["file"] == str(old.cert) for line in relay.logs())


# ---- sessions ----


def ticket_key(directory, name):
    path = directory / name
    path.write_bytes(os.urandom(80))
    return path


def resumed(relay, ctx, session, name="localhost"):
    """Whether @relay takes up @session, and the one that it gives back."""
    with TlsConn(address(relay), ctx, name, session=session) as conn:
        conn.request("GET", "/healthz")
        assert conn.read_answer().status == 200  # tickets of 1.3 come behind the handshake
        return conn.sock.session_reused, conn.sock.session


@pytest.mark.parametrize("version", BOTH)
def test_tickets_on_every_node(start_relay, certs, tmp_path, version):
    old, new = ticket_key(tmp_path, "old"), ticket_key(tmp_path, "new")
    one, two, rotated, alone = (
        start_relay(*TLS, *certs[0].options, *(o for key in keys for o in ("--tls-ticket-key", key))).wait_listening(2)
        for keys in ([old], [old], [new, old], [])
    )
    ctx = context(certs[0], version=version)
    first, session = resumed(one, ctx, None)
    assert not first
    assert resumed(two, ctx, session)[0], "a node with the same key"
    assert not resumed(alone, ctx, session)[0], "a node with another"
    taken, renewed = resumed(rotated, ctx, session)
    assert taken, "the second key still decrypts"
    assert not resumed(one, ctx, renewed)[0], "the first one encrypts"
    assert rotated.metrics().get("sse_relay_tls_handshakes_total", resumed="yes") == 1
    assert alone.metrics().get("sse_relay_tls_handshakes_total", resumed="no") == 1
    _, own = resumed(alone, ctx, None)
    alone.signal(signal.SIGHUP)
    wait_until(lambda: "read again" in alone.err, "reading")
    assert resumed(alone, ctx, own)[0], "a key that was made up outlives a reload"


def test_new_ticket_keys_are_read(start_relay, certs, tmp_path):
    key = ticket_key(tmp_path, "key")
    relay = start_relay(*TLS, *certs[0].options, "--tls-ticket-key", key).wait_listening(2)
    ctx = context(certs[0])
    session = resumed(relay, ctx, None)[1]
    ticket_key(tmp_path, "key")
    wait_until(lambda: "read again" in relay.err, "reading")
    assert not resumed(relay, ctx, session)[0]


# ---- client certificates ----


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Certificate(tmp_path_factory.mktemp("authority"), "authority")


@pytest.mark.parametrize("version", BOTH)
def test_client_certificates(start_relay, certs, tmp_path, authority, version):
    known = Certificate(tmp_path, "known", "known", issuer=authority)
    stranger = Certificate(tmp_path, "stranger", "stranger", issuer=certs[1])
    key = ticket_key(tmp_path, "key")
    common = [*TLS, *certs[0].options, "--tls-ticket-key", key]
    relay = start_relay(*common, "--tls-client-ca", authority.cert, "--public-health",
                        "--admin-listen", "https://127.0.0.1:0").wait_listening(3)
    admin = relay.addresses[2]

    def ask(client=None, session=None, ctx=None):
        ctx = ctx or context(certs[0], version=version, client=client)
        with TlsConn(address(relay), ctx, session=session) as conn:
            conn.send(ASK)
            return conn.read_answer().status

    def count(reason):
        text = tls_raw.fetch(admin, context(certs[0]), "GET", "/metrics").body.decode()
        return float(text.split(f'handshake_failures_total{{reason="{reason}"}} ')[1].split()[0])

    assert ask(known) == 200
    for client in (None, stranger):
        with pytest.raises((ssl.SSLError, OSError, Closed)):
            ask(client)
    assert count("client_certificate") == 2

    # A session that began where nobody asked for a certificate is no way around it.
    open_one = start_relay(*common).wait_listening(2)
    anonymous = context(certs[0], version=version)
    session = resumed(open_one, anonymous, None)[1]
    assert resumed(open_one, anonymous, session)[0]
    with pytest.raises((ssl.SSLError, OSError, Closed)):
        ask(session=session, ctx=anonymous)
    with TlsConn(admin, anonymous) as conn:  # nor one of the admin listener
        conn.send(ASK)
        assert conn.read_answer().status == 200
        session = conn.sock.session
    with pytest.raises((ssl.SSLError, OSError, Closed)):
        ask(session=session, ctx=anonymous)
    assert count("client_certificate") == 4


# ---- those who speak it badly ----


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n", b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_plain_http_is_told(secure, head):
    before = failures(secure, "plain_http")
    with http_raw.Conn(address(secure)) as conn:
        conn.send(head)
        answer = conn.read_answer()
        assert answer.status == 400 and answer.get("content-type") == "text/plain; charset=utf-8"
        assert b"https://" in answer.body and len(answer.body) == int(answer.get("content-length"))
        assert conn.ended()
    assert failures(secure, "plain_http") == before + 1


def test_a_long_plain_request_is_told_too(secure):
    with http_raw.Conn(address(secure)) as conn:
        conn.send(b"POST /sse?topic=a HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n" + b"x" * 30000)
        assert conn.read_answer().status == 400
        assert conn.ended()
    with http_raw.Conn(address(secure)) as conn, contextlib.suppress(OSError):
        for _ in range(1000):
            conn.send(b"x" * 100000)  # not for ever
        pytest.fail("nobody ended it")


def test_junk(secure):
    before = failures(secure, "malformed")
    for junk in (b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"\xff" * 300, b"\x80\x2e\x01\x00\x02" + b"\x00" * 60, b"\x16\x03\x01\x00\x00" * 50):
        with http_raw.Conn(address(secure)) as conn:
            conn.send(junk)
            with contextlib.suppress(OSError):
                conn.take_all()
    assert failures(secure, "malformed") == before + 4


def test_tls_on_a_plain_listener(secure, certs):
    with pytest.raises(ssl.SSLError):
        TlsConn(secure.address, context(certs[0]))
    assert secure.get("/healthz").status == 200


@pytest.mark.parametrize("version", BOTH)
def test_cut_at_each_record(secure, certs, topic, version):
    """While one client loses nothing, another is cut behind each record of its own, and within each."""
    ctx = context(certs[0], version=version)
    request = b"GET /sse?topic=%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % topic.encode()
    with Stream(address(secure), f"/sse?topic={topic}", connect=connector(context(certs[0]))) as well:
        well.wait_live()
        cuts, whole = 0, False
        while not whole:
            for part in (0.5, 1):
                with Records(address(secure), ctx) as client:
                    for n, record in enumerate(client.steps(request)):
                        last = n == cuts
                        client.sock.sendall(record[: int(len(record) * part)] if last else record)
                        if last:
                            break
                    else:
                        whole = True
            cuts += 1
        assert cuts >= 3
        wait_until(lambda: secure.metrics()["sse_relay_tls_connections"] == 1, "the end of all others")
        secure.post(f"/sse?topic={topic}", b"well")
        well.wait_data("well")


@pytest.mark.parametrize("version", BOTH)
def test_byte_by_byte(secure, certs, version):
    with Records(address(secure), context(certs[0], version=version)) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for record in client.steps(ASK):
            for byte in record:
                client.sock.sendall(bytes([byte]))
        got = b""
        while not got.endswith(b"ok\n"):
            assert client.receive()
            with contextlib.suppress(ssl.SSLWantReadError):
                got += client.tls.read(65536)
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_record_that_was_changed(secure, certs):
    with Records(address(secure), context(certs[0])) as client:
        records = client.steps(ASK)
        for record in records:
            if record[0] == 23 and client.tls.version() and len(record) > len(ASK):
                record = record[:-1] + bytes([record[-1] ^ 1])
            client.sock.sendall(record)
        with contextlib.suppress(OSError):
            while client.receive():
                pass
    assert secure.get("/healthz").status == 200


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01"])
def test_a_handshake_that_never_ends(start_relay, certs, begun):
    relay = start_relay(*TLS, *certs[0].options, "--header-timeout", "500ms").wait_listening(2)
    with http_raw.Conn(address(relay)) as conn:
        conn.send(begun)
        assert conn.ended()
    wait_until(lambda: failures(relay, "unfinished") == (1 if begun else 0), "the count")
    with Records(address(relay), context(certs[0])) as client:  # a byte now and then wins no time
        hello = next(client.steps(ASK))
        with pytest.raises(OSError):
            for byte in hello * 100:
                client.sock.sendall(bytes([byte]))
                time.sleep(0.05)
    wait_until(lambda: relay.metrics()["sse_relay_tls_connections"] == 0, "its end")


def test_renegotiation_is_refused(secure, certs, topic):
    with Stream(address(secure), f"/sse?topic={topic}", connect=connector(context(certs[0]))) as well:
        well.wait_live()
        said = s_client(secure, "-tls1_2", "-CAfile", str(certs[0].cert), say="R\n")
        assert "RENEGOTIATING" in said and "no renegotiation" in said, said
        secure.post(f"/sse?topic={topic}", b"well")
        well.wait_data("well")


def test_new_keys_within_a_connection(secure, certs):
    """KeyUpdate of TLS 1.3, ours asked for as well."""
    request = "GET /healthz HTTP/1.1\nHost: localhost\nconnection: close\n\n"  # a capital C would be a command to it
    said = s_client(secure, "-tls1_3", "-crlf", "-CAfile", str(certs[0].cert), say="K\nk\n" + request)
    assert said.count("KEYUPDATE") == 2 and "HTTP/1.1 200 OK" in said, said


# ---- options ----


def test_admin_and_health_by_tls(start_relay, certs):
    port, admin = free_port(), free_port()
    listen, admin_listen = f"https://127.0.0.1:{port}", f"https://127.0.0.1:{admin}"
    relay = start_relay("--admin-listen", admin_listen, *certs[0].options, listen=listen).wait_listening(2)
    assert f"listening on {listen}/\n" in relay.out and f"admin on {admin_listen}/\n" in relay.out
    assert tls_raw.fetch(("127.0.0.1", admin), context(certs[0]), "GET", "/metrics").status == 200
    done = run_relay("--check-health", "--listen", listen, "--admin-listen", admin_listen, *certs[0].options)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    done = run_relay("--check-health", "--listen", listen, *certs[0].options)
    assert done.returncode == 1 and "404" in done.stderr  # health is the admin listener's alone
    alone = f"https://127.0.0.1:{free_port()}"
    start_relay(*certs[0].options, listen=alone).wait_listening(1)
    assert run_relay("--check-health", "--listen", alone, *certs[0].options).stdout == "ok\n"


def test_health_where_clients_need_a_certificate(start_relay, certs, authority):
    listen = f"https://127.0.0.1:{free_port()}"
    options = [*certs[0].options, "--tls-client-ca", authority.cert]
    start_relay(*options, listen=listen).wait_listening(1)
    done = run_relay("--check-health", "--listen", listen, *options)
    assert done.returncode == 1 and "--admin-listen" in done.stderr


def test_what_is_refused_at_the_start(certs, tmp_path):
    own, other = certs[0], certs[1]
    listen = ["--listen", "https://127.0.0.1:0"]
    (tmp_path / "short").write_bytes(b"x" * 79)
    (tmp_path / "long").write_bytes(b"x" * 81)
    (tmp_path / "text").write_text("nothing\n")
    encrypted = tmp_path / "encrypted"
    subprocess.run(["openssl", "ec", "-aes256", "-in", own.key, "-out", encrypted, "-passout", "pass:x"], check=True, capture_output=True)
    cases = [
        (2, [*own.options], "nothing without an address that begins with https://"),
        (2, ["--tls-client-ca", own.cert], "nothing without an address that begins with https://"),
        (2, listen, "needs a certificate and its key"),
        (2, ["--admin-listen", "https://127.0.0.1:0"], "needs a certificate and its key"),
        (2, [*listen, *own.options, "--tls-cert", other.cert], "--tls-cert (command line) is given 2 times and --tls-key 1 times"),
        (2, [*listen, "--tls-cert", "", "--tls-key", own.key], "is empty"),
        (1, [*listen, "--tls-cert", own.cert, "--tls-key", other.key], f"the key in {other.key} does not belong to the certificate in {own.cert}"),
        (1, [*listen, "--tls-cert", "/nonexistent", "--tls-key", own.key], "/nonexistent cannot be read: No such file"),
        (1, [*listen, "--tls-cert", own.key, "--tls-key", own.key], "holds no certificate"),
        (1, [*listen, "--tls-cert", own.cert, "--tls-key", own.cert], "holds no private key"),
        (1, [*listen, "--tls-cert", own.cert, "--tls-key", encrypted], "is encrypted"),
        (1, [*listen, *own.options, "--tls-ticket-key", tmp_path / "short"], "does not hold 80 bytes: openssl rand"),
        (1, [*listen, *own.options, "--tls-ticket-key", tmp_path / "long"], "does not hold 80 bytes: openssl rand"),
        (1, [*listen, *own.options, "--tls-client-ca", tmp_path / "text"], "holds no certificate"),
    ]
    for code, args, words in cases:
        done = run_relay(*args)
        assert done.returncode == code and words in done.stderr, (args, done.stderr)
        assert done.stderr.count("\n") == 1


def test_the_certificate_of_make_run(start_relay, tmp_path):
    """The one that `make run TLS=1` makes, and what it tells curl."""
    made = None
    for _ in range(2):  # the second time it is kept
        subprocess.run(["sh", ROOT / "deploy/compose/certificate.sh", tmp_path], check=True, capture_output=True)
        made = made or (tmp_path / "localhost.pem").read_bytes()
    assert (tmp_path / "localhost.pem").read_bytes() == made and (tmp_path / "localhost.pem").stat().st_mode & 0o77 == 0
    relay = start_relay(*TLS, "--tls-cert", tmp_path / "localhost.pem", "--tls-key", tmp_path / "localhost.pem").wait_listening(2)
    for host in ("localhost", "127.0.0.1"):
        curl = ["curl", "-sS", "--cacert", tmp_path / "localhost.crt", f"https://{host}:{address(relay)[1]}/healthz"]
        assert subprocess.run(curl, capture_output=True, check=True).stdout == b"ok\n"


def test_the_end_of_each_certificate_is_a_metric(start_relay, secure, certs, tmp_path):
    """By its number and a host that it is for, also after it was renewed; what a certificate says breaks no line of the page."""

    def ends(relay):
        found = [(s, v) for n, s, v in relay.metrics().samples if n == "sse_relay_tls_certificate_expiry_timestamp_seconds"]
        return [(s["certificate"], s["name"], v) for s, v in found]

    def really(cert):
        said = subprocess.run(["openssl", "x509", "-in", cert.cert, "-noout", "-enddate"], capture_output=True, text=True, check=True).stdout
        return ssl.cert_time_to_seconds(said.strip().partition("=")[2])

    assert ends(secure) == [(str(n), name, really(cert)) for n, (name, cert) in enumerate(zip(("localhost", "a.test", "*.b.test"), certs), 1)]
    odd = Certificate(tmp_path, 'a"b}')
    expired = Certificate(tmp_path, "expired", "localhost", expired=True)
    relay = start_relay(*TLS, *odd.options).wait_listening(2)
    assert ends(relay) == [("1", "a_b_", really(odd))]
    odd.replace(expired)
    wait_until(lambda: [end for *_, end in ends(relay)] == [really(expired)], "the new certificate")
    assert ends(start_relay().wait_listening()) == []
