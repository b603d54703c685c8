"""Keys as a JWKS: several by `kid`, what is passed over, what is refused; tricks with `kid`; issuers that name their claims otherwise."""

import json
import os
import signal
import threading
import time

import pytest

import jose
from harness import run_relay, wait_until
from jose import KeyPair, Secret, sign, token

from test_tokens import bearer, problem, refused, refuses_to_start


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A key of each kind, each with a name."""
    directory = tmp_path_factory.mktemp("keys")
    named = {kind: KeyPair(directory, kind, kid=f"{kind} key") for kind in jose.CURVES | {"rsa": None}}
    return named | {"oct": Secret(directory, kid="oct key")}


def write_set(path, *members, **more):
    path.write_text(json.dumps({"keys": list(members)} | more))
    return path


def status(relay, text):
    return relay.request("HEAD", "/sse?topic=a", bearer(text)).status


ALGORITHMS = {"HS256": "oct", "HS384": "oct", "HS512": "oct"} | jose.KIND_OF


def test_all_algorithms_by_kid(start_relay, keys, tmp_path):
    """One file with keys of every kind; each opens by its own name alone."""
    file = write_set(tmp_path / "jwks.json", *(key.jwk(use="sig") for key in keys.values()))
    relay = start_relay("--token-key", file).wait_ready()
    for alg, kind in [*ALGORITHMS.items(), ("EdDSA", "ed448")]:
        key = keys[kind]
        assert status(relay, token(key, alg, subscribe=["a"])) == 200, alg
        assert status(relay, token(key, alg, subscribe=["a"], header={"kid": "oct key" if kind != "oct" else "rsa key"})) == 401, alg
        nameless = sign(key, alg, {"alg": alg}, {"sse": {"subscribe": ["a"]}})
        assert status(relay, nameless) == 200, alg


def test_two_keys_of_a_kind(start_relay, tmp_path):
    """As when an issuer changes its key: both are taken, each under its name, and none under the other's."""
    old, new = KeyPair(tmp_path, "p256", "old", kid="2025"), KeyPair(tmp_path, "p256", "new", kid="2026")
    file = write_set(tmp_path / "jwks.json", old.jwk(alg="ES256"), new.jwk())
    relay = start_relay("--token-key", file).wait_ready()
    assert status(relay, token(old, "ES256", subscribe=["a"])) == status(relay, token(new, "ES256", subscribe=["a"])) == 200
    assert status(relay, token(old, "ES256", subscribe=["a"], header={"kid": "2026"})) == 401
    with relay.stream("a", headers=bearer(token(old, "ES256", subscribe=["a"]))) as stream:
        stream.wait_live()
        write_set(tmp_path / "next.json", new.jwk()).rename(file)
        wait_until(lambda: status(relay, token(old, "ES256", subscribe=["a"])) == 401, "the end of the old key")
        assert status(relay, token(new, "ES256", subscribe=["a"])) == 200
        file.write_text("{")
        wait_until(lambda: any("not read again" in line["msg"] for line in relay.logs()), "a complaint")
        assert status(relay, token(new, "ES256", subscribe=["a"])) == 200
        file.unlink()
        wait_until(lambda: any("cannot be read" in line.get("why", "") for line in relay.logs()), "a complaint")
        assert status(relay, token(new, "ES256", subscribe=["a"])) == 200
        assert relay.metrics()["sse_relay_subscribers"] == 1 and not stream.ended


def test_alg_binds_a_key(start_relay, keys, tmp_path):
    """An RSA key that says PS256 takes no RS256, nor anything else of its family."""
    relay = start_relay("--token-key", write_set(tmp_path / "jwks.json", keys["rsa"].jwk(alg="PS256"), keys["oct"].jwk(alg="HS384")))
    relay.wait_ready()
    good = {alg for alg in ("RS256", "RS384", "PS256", "PS384", "PS512") if status(relay, token(keys["rsa"], alg, subscribe=["a"])) == 200}
    good |= {alg for alg in ("HS256", "HS384", "HS512") if status(relay, token(keys["oct"], alg, subscribe=["a"])) == 200}
    assert good == {"PS256", "HS384"}


def test_confusion(start_relay, keys, tmp_path):
    """What is public about a key, as the secret of HMAC, under that key's own name."""
    relay = start_relay("--token-key", write_set(tmp_path / "jwks.json", *(k.jwk() for k in keys.values()))).wait_ready()
    claims = {"sse": {"subscribe": ["**"]}, "exp": time.time() + 600}
    forger = Secret(tmp_path, name="forged")
    for key in keys.values():
        if key.kid == "oct key":
            continue
        jwk = key.jwk()
        for known in (key.path.read_bytes(), json.dumps(jwk).encode(), *(str(v).encode() for v in jwk.values()), b"", b"\0" * 64):
            forger.bytes = known
            for alg in ("HS256", "HS512"):
                assert status(relay, sign(forger, alg, {"alg": alg, "kid": key.kid}, claims)) == 401


@pytest.mark.parametrize(
    "kid",
    ["../../../../dev/null", "/etc/passwd", "/proc/self/environ", "' OR '1'='1", "key\u0000", "", "%s%n%x", "$(id)", "`id`", "rsa key ",
     "RSA KEY", "*", ".*", "http://127.0.0.1:1/k", "x" * 10000, "\x7f", "\u202e", 0, -1, None, True, [], ["rsa key"], {"rsa key": 1}],
)  # fmt: skip
def test_kid_is_a_name_and_nothing_else(start_relay, keys, tmp_path, kid):
    """No path, pattern, number or command; one that does not fit chooses no key, also where a file has but one."""
    relay = start_relay("--token-key", write_set(tmp_path / "jwks.json", keys["rsa"].jwk())).wait_ready()
    forger = Secret(tmp_path, name="forged")
    forger.bytes = b""
    claims = {"sse": {"subscribe": ["**"]}}
    for key, alg in ((keys["rsa"], "RS256"), (forger, "HS256")):
        said = refused(relay, sign(key, alg, {"alg": alg, "kid": kid}, claims))
        assert str(kid) not in said or len(str(kid)) < 6
    assert status(relay, sign(keys["rsa"], "RS256", {"alg": "RS256", "kid": "rsa key"}, claims)) == 200


def test_what_is_passed_over(start_relay, keys, tmp_path):
    """Keys for something else, and of kinds that nobody knew when this was written (RFC 7517, section 5)."""
    others = [
        keys["p256"].jwk(use="enc"), keys["p384"].jwk(key_ops=["deriveKey"]), keys["rsa"].jwk(alg="RSA-OAEP"),
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, {"kty": "EC", "crv": "secp256k1", "x": "A", "y": "B"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
    ]  # fmt: skip
    good = keys["ed25519"].jwk(use="sig", key_ops=["verify"], x5t="whatever", more={"a": [1]})
    relay = start_relay("--token-key", write_set(tmp_path / "jwks.json", *others, good, issuer="me")).wait_ready()
    assert any(line.get("keys") == 1 for line in relay.logs())
    assert status(relay, token(keys["ed25519"], "EdDSA", subscribe=["a"])) == 200
    for kind, alg in (("p256", "ES256"), ("p384", "ES384"), ("rsa", "RS256")):
        assert status(relay, token(keys[kind], alg, subscribe=["a"])) == 401


def test_one_key_without_a_set(start_relay, keys, tmp_path):
    file = tmp_path / "key.json"
    file.write_text("\n  " + json.dumps(keys["p521"].jwk()))
    relay = start_relay("--token-key", file).wait_ready()
    assert status(relay, token(keys["p521"], "ES512", subscribe=["a"])) == 200


def test_sets_that_are_refused(redis, keys, tmp_path):
    """Whole, with the position of the key and what to do, and never with a key's bytes."""
    file = tmp_path / "jwks.json"

    def says(*members, text=None):
        file.write_text(text) if text is not None else write_set(file, *members)
        said = refuses_to_start(redis, "--token-key", file)
        assert str(file) in said
        for member in members:
            for value in member.values() if isinstance(member, dict) else ():
                assert not isinstance(value, str) or len(value) < 20 or value not in said
        return said

    good, x, n = keys["p256"].jwk(), keys["p256"].jwk()["x"], keys["rsa"].jwk()["n"]
    for text in ("{", "{}", '{"keys":{}}', '{"keys":[]}', '{"keys":[],"keys":[]}', '{"keys":5}', '{"keys":null}', "{" * 5000):
        says(text=text)
    assert "private" in says(good, keys["p256"].jwk(d="AAAA")) and "number 2" in says(good, keys["rsa"].jwk(d="AAAA"))
    for broken in ({"x": None}, {"x": ""}, {"x": x[:-1]}, {"x": x + "="}, {"x": "AA"}, {"y": x}, {"y": x, "x": x + "AAAA"}, {"kid": 5}, {"kty": 1},
                   {"alg": "ES384"}, {"alg": "HS256"}):
        assert "number 2" in says(keys["rsa"].jwk(), good | broken), broken
    assert "number 1" in says(keys["rsa"].jwk(n=n[:100])) and "2048" in says(keys["rsa"].jwk(n=n[:100]))
    assert "16384" in says(keys["rsa"].jwk(n="_" * 4096)) and "number 1" in says(keys["rsa"].jwk(e=""))
    assert "32 bytes" in says({"kty": "oct", "k": "c2hvcnQ"})
    assert "longer" in says({"kty": "oct", "k": "A" * 43, "alg": "HS512"})
    assert "number 1" in says("key") and "number 1" in says(None) and "number 1" in says({})
    assert "no key that" in says(keys["p256"].jwk(use="enc"))
    assert "64" in says(*[good] * 65)
    # A JWKS is no secret either.
    file.write_text(json.dumps({"keys": [good]}))
    assert "--token-key" in refuses_to_start(redis, "--token-secret-file", file)


def test_sixty_four_keys(start_relay, tmp_path):
    """As many as may be; a token without a name finds the last of them."""
    last = KeyPair(tmp_path, "ed25519")
    others = [{"kty": "oct", "k": jose.base64url(bytes([n]) * 64), "kid": str(n)} for n in range(63)]
    relay = start_relay("--token-key", write_set(tmp_path / "jwks.json", *others, last.jwk())).wait_ready()
    assert status(relay, token(last, "EdDSA", subscribe=["a"])) == 200


def test_a_pipe_is_read_once(start_relay, tmp_path):
    """A secret from a shell's <(command): SIGHUP does not wait for more of it, and the relay goes on."""
    secret = Secret(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(secret.bytes), daemon=True).start()
    relay = start_relay("--token-secret-file", pipe).wait_ready()
    assert status(relay, token(secret, subscribe=["a"])) == 200
    relay.signal(signal.SIGHUP)
    wait_until(lambda: any("no regular file" in line["msg"] for line in relay.logs()), "a word about the pipe")
    assert status(relay, token(secret, subscribe=["a"])) == 200


# ---- where the topics stand ----


@pytest.mark.parametrize(
    "name, claims",
    [
        ("https://example.com/sse", {"https://example.com/sse": {"subscribe": ["a"]}}),
        ("a.b", {"a.b": {"subscribe": ["a"]}}),
        ("/app/topics", {"app": {"topics": {"subscribe": ["a"]}}}),
        ("/a~1b/~0c", {"a/b": {"~c": {"subscribe": ["a"]}}}),
    ],
)
def test_token_claim(start_relay, keys, tmp_path, name, claims):
    """An issuer whose claims have names of its own is taken as it is, and `sse` then means nothing."""
    secret = keys["oct"]
    relay = start_relay("--token-secret-file", secret.path, "--token-claim", name).wait_ready()
    assert status(relay, sign(secret, "HS256", {"alg": "HS256"}, claims)) == 200
    assert status(relay, token(secret, subscribe=["a"])) == 403
    for value in ([], "a", 5, None):
        other = json.loads(json.dumps(claims).replace('{"subscribe": ["a"]}', json.dumps(value)))
        assert "claim" in refused(relay, sign(secret, "HS256", {"alg": "HS256"}, other)), value
    for other in ({}, {"app": []}, {"app": {}}, {"app": {"topics": {}}}, {"a": {"b": {"subscribe": ["a"]}}}, {"example": 1}):
        detail = problem(relay.get("/sse?topic=a", bearer(sign(secret, "HS256", {"alg": "HS256"}, other))), 403)
        assert "topic 1" in detail


def test_an_empty_claim_is_none():
    assert run_relay("--token-claim", "", "--check-config").returncode == 2
