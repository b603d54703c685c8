"""TLS for the tests: certificates made by `openssl`, connections that end badly where the peer does not say goodbye, and the
records of a client, one by one.
"""

import contextlib
import socket
import ssl
import subprocess

from http_raw import Conn
from settings import DEADLINE


class Certificate:
    """A key and a certificate of its own, or signed by @issuer, in @directory."""

    def __init__(self, directory, name, *hosts, issuer=None, expired=False):
        self.cert, self.key = directory / f"{name}.pem", directory / f"{name}.key"
        argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
        argv += ["-subj", f"/CN={name}"]
        if hosts:
            names = ",".join(("IP:" if host[0].isdigit() else "DNS:") + host for host in hosts)
            argv += ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE"]
        if issuer:
            argv += ["-CA", issuer.cert, "-CAkey", issuer.key]
        subprocess.run([*argv, "-keyout", self.key, "-out", self.cert], check=True, capture_output=True)
        if expired:
            self.expire(directory)

    def expire(self, directory):
        """Sign it anew for a time that is over: `openssl ca` is the one command that does so in every version."""
        settings, request = directory / "ca.cnf", directory / "request.pem"
        settings.write_text(f"[ca]\ndefault_ca=own\n[own]\ndatabase={directory}/index\nnew_certs_dir={directory}\nrand_serial=yes\n"
                            "default_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n")
        (directory / "index").touch()
        for argv in (["openssl", "x509", "-x509toreq", "-in", self.cert, "-signkey", self.key, "-out", request],
                     ["openssl", "ca", "-batch", "-selfsign", "-notext", "-config", settings, "-keyfile", self.key, "-in", request,
                      "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-out", self.cert]):
            subprocess.run(argv, check=True, capture_output=True)

    @property
    def options(self):
        return ["--tls-cert", str(self.cert), "--tls-key", str(self.key)]

    def replace(self, other):
        """From now on its files hold what @other's do, as a tool that renews certificates would do it."""
        for mine, new in ((self.key, other.key), (self.cert, other.cert)):
            fresh = mine.with_suffix(".new")
            fresh.write_bytes(new.read_bytes())
            fresh.replace(mine)

    @property
    def der(self):
        return ssl.PEM_cert_to_DER_cert(self.cert.read_text())


def context(*trusted, version=None, alpn=None, client=None):
    """A client that trusts these certificates, and no other."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for one in trusted:
        made.load_verify_locations(one.cert)
    if version:
        made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols(alpn)
    if client:
        made.load_cert_chain(client.cert, client.key)
    return made


class TlsConn(Conn):
    """A Conn through TLS. An end without close_notify is an error, and not an end."""

    def __init__(self, address, ctx, name="localhost", rcvbuf=None, session=None):
        super().__init__(address, rcvbuf)
        try:
            self.sock = ctx.wrap_socket(self.sock, server_hostname=name, suppress_ragged_eofs=False, session=session)
        except BaseException:
            self.sock.close()
            raise


def connector(ctx, name="localhost"):
    """For Stream(connect=...)."""
    return lambda address, rcvbuf=None: TlsConn(address, ctx, name, rcvbuf)


def fetch(address, ctx, method, target, headers=(), body=None, **how):
    with TlsConn(address, ctx, **how) as conn:
        conn.request(method, target, headers, body)
        return conn.read_answer(method)


class Records:
    """A client whose records are taken from it one by one, so that a test says which of them leave, and how much of each."""

    def __init__(self, address, ctx, name="localhost"):
        self.sock = socket.create_connection(address, DEADLINE)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def take(self):
        """The whole records that the client wants to send now."""
        data, records = self.outgoing.read(), []
        while data:
            end = 5 + int.from_bytes(data[3:5], "big")
            records.append(data[:end])
            data = data[end:]
        return records

    def receive(self):
        data = self.sock.recv(65536)
        self.incoming.write(data) if data else self.incoming.write_eof()
        return data

    def steps(self, request):
        """Each record of a client that sends @request, for the caller to send; it goes on when the caller asks for the next."""
        shaken = False
        while not shaken:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
                shaken = True
            yield from self.take()
            if not shaken:
                self.receive()
        self.tls.write(request)
        yield from self.take()
