"""JSON Web Tokens for the tests: keys of every kind, and tokens signed with them by `openssl`, or forged.

The relay verifies with OpenSSL's library; here its program signs, and Python puts the parts together, so that no line is
shared with what is tested.
"""

import base64
import hashlib
import hmac
import json
import subprocess
import time

from settings import tool

# What `openssl genpkey` makes each kind of key with.
KINDS = {
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa-short": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "p256": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "secp256k1": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    "ed25519": ["-algorithm", "ED25519"],
    "ed448": ["-algorithm", "ED448"],
}

# The kind of key that an algorithm is for.
KIND_OF = {f"{family}{bits}": "rsa" for family in ("RS", "PS") for bits in (256, 384, 512)} | {
    "ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed25519",
}
CURVES = {"p256": ("P-256", 32), "p384": ("P-384", 48), "p521": ("P-521", 66), "ed25519": ("Ed25519", 32), "ed448": ("Ed448", 57)}
HALVES = {"ES256": 32, "ES384": 48, "ES512": 66}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*args, stdin=b""):
    assert tool("openssl"), "openssl is missing: make deps-test installs it"
    return subprocess.run(["openssl", *map(str, args)], input=stdin, capture_output=True, check=True).stdout


class Secret:
    """A shared secret, in a file as the relay takes it."""

    def __init__(self, directory, text="0123456789abcdef" * 4, name="secret", kid=None):
        self.path = directory / name
        self.bytes = text.encode()
        self.kid = kid
        self.path.write_text(text + "\n")

    def jwk(self, **members):
        return {"kty": "oct", "k": base64url(self.bytes)} | ({"kid": self.kid} if self.kid else {}) | members

    def sign(self, alg, data):
        return hmac.new(self.bytes, data, getattr(hashlib, f"sha{alg[2:]}")).digest()


class KeyPair:
    """A private key, and its public one as PEM."""

    def __init__(self, directory, kind, name=None, kid=None):
        self.kind, self.kid = kind, kid
        self.private = directory / f"{name or kind}.key"
        self.path = directory / f"{name or kind}.pem"
        openssl("genpkey", *KINDS[kind], "-out", self.private)
        openssl("pkey", "-in", self.private, "-pubout", "-out", self.path)

    def sign(self, alg, data):
        if alg == "EdDSA":
            message = self.private.with_suffix(".message")
            message.write_bytes(data)
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.private, "-in", message)
        args = ["dgst", f"-sha{alg[2:]}", "-sign", self.private]
        if alg.startswith("PS"):
            args += ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
        signature = openssl(*args, stdin=data)
        return two_numbers(signature, HALVES[alg]) if alg in HALVES else signature


    def jwk(self, **members):
        """The public key as JSON."""
        if self.kind.startswith("rsa"):
            modulus = openssl("rsa", "-pubin", "-in", self.path, "-modulus", "-noout").decode().strip().partition("=")[2]
            own = {"kty": "RSA", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}
        else:
            der = openssl("pkey", "-pubin", "-in", self.path, "-outform", "DER")
            name, size = CURVES[self.kind]
            if self.kind.startswith("ed"):
                own = {"kty": "OKP", "crv": name, "x": base64url(der[-size:])}
            else:
                own = {"kty": "EC", "crv": name, "x": base64url(der[-2 * size : -size]), "y": base64url(der[-size:])}
        return own | ({"kid": self.kid} if self.kid else {}) | members


def two_numbers(der, half):
    """The numbers of an ECDSA signature one behind the other, as JOSE has them."""
    at = 3 if der[1] & 0x80 else 2
    numbers = b""
    for _ in range(2):
        length = der[at + 1]
        numbers += int.from_bytes(der[at + 2 : at + 2 + length], "big").to_bytes(half, "big")
        at += 2 + length
    return numbers


def sign(key, alg, header, claims):
    """A token of exactly this header and these claims (objects, or bytes as they are)."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    data = f"{base64url(parts[0])}.{base64url(parts[1])}".encode()
    return f"{data.decode()}.{base64url(key.sign(alg, data))}"


def token(key, alg="HS256", subscribe=(), publish=(), ttl=600, header=None, **claims):
    """A token of an honest issuer: @ttl seconds from now it expires (None: never)."""
    claims = {"sse": {"subscribe": list(subscribe), "publish": list(publish)}} | claims
    if ttl is not None:
        claims = {"exp": time.time() + ttl} | claims
    head = {"typ": "JWT", "alg": alg} | ({"kid": key.kid} if key.kid else {}) | (header or {})
    return sign(key, alg, head, claims)
