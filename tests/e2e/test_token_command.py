"""`sse-publish token`: tokens that a relay takes, by each kind of key, and what is said about one."""

import json
import os
import re
import subprocess

import pytest

import jose
from harness import run_publish
from jose import KeyPair, Secret, token
from settings import BUILD, ROOT

from test_tokens import bearer


def make(*args, code=0):
    done = run_publish("token", *args)
    assert done.returncode == code, done.stderr
    return done.stdout.strip() if code == 0 else done.stderr


def show(text, *args, code=0):
    done = run_publish("token", "--show", *args, stdin=text.encode())
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("kind, alg", [("secret", "HS256"), ("rsa", "RS256"), ("p256", "ES256"), ("p384", "ES384"), ("p521", "ES512"),
                                       ("ed25519", "EdDSA"), ("ed448", "EdDSA")])  # fmt: skip
def test_a_relay_takes_it(start_relay, tmp_path, kind, alg):
    key = Secret(tmp_path) if kind == "secret" else KeyPair(tmp_path, kind)
    signs = ("--secret-file", key.path) if kind == "secret" else ("--key-file", key.private)
    checks = ("--token-secret-file" if kind == "secret" else "--token-key", key.path)
    relay = start_relay(*checks, "--token-audience", "relay", "--token-issuer", "me", "--token-claim", "/my~1app/sse").wait_ready()
    text = make(*signs, "--subscribe", "users.{sub}.*", "--publish", "out", "--publish", "more.**", "--subject", "7", "--audience", "relay",
                "--issuer", "me", "--claim", "/my~1app/sse", "--kid", 'a "name"')  # fmt: skip
    head, claims = (json.loads(jose.base64.urlsafe_b64decode(part + "==")) for part in text.split(".")[:2])
    assert head == {"alg": alg, "typ": "JWT", "kid": 'a "name"'}
    assert claims.pop("exp") - claims.pop("iat") == 3600
    assert re.fullmatch("[0-9a-f]{16}", claims.pop("jti"))
    assert claims == {"sub": "7", "iss": "me", "aud": "relay",
                      "my/app": {"sse": {"subscribe": ["users.{sub}.*"], "publish": ["out", "more.**"]}}}
    with relay.stream("users.7.inbox", headers=bearer(text)) as stream:
        stream.wait_live()
    assert relay.post("/sse?topics=out,more.x", b"x", bearer(text)).status == 200
    assert relay.get("/sse?topic=users.8.inbox", bearer(text)).status == 403


def test_many_of_a_curve(tmp_path):
    """A number of a signature that begins with a zero is as long as the others."""
    key = KeyPair(tmp_path, "p256")
    for n in range(600):
        signature = make("--key-file", key.private, "--publish", f"t{n}").split(".")[2]
        assert len(signature) == 86
        if signature.startswith("A"):
            break


def test_as_a_header_in_a_file(start_relay, tmp_path, topic):
    """For `-H @FILE` of tail and of curl, so that it is in no list of processes; only its owner may read it."""
    key, file = Secret(tmp_path), tmp_path / "header"
    relay = start_relay("--token-secret-file", key.path).wait_ready()
    assert make("--secret-file", key.path, "--subscribe", topic, "--publish", topic, "--header-file", str(file)) == ""
    assert file.stat().st_mode & 0o777 == 0o600
    subprocess.run(["curl", "-fsS", "-H", f"@{file}", "-d", "hello", f"{relay.url}/sse?topic={topic}"], check=True, capture_output=True)
    done = run_publish("tail", topic, "--last", "1", "--count", "1", "--url", relay.url, "-H", f"@{file}")
    assert done.stdout == "hello\n", done
    said = make("--secret-file", key.path, "--subscribe", topic, "--header-file", str(tmp_path), code=1)
    assert f"cannot be written to {tmp_path}: " in said


def test_tail_uses_it(start_relay, redis, tmp_path, topic):
    """SSE_TOKEN is what `tail` sends."""
    secret = Secret(tmp_path)
    relay = start_relay("--token-secret-file", secret.path).wait_ready()
    text = make("--secret-file", secret.path, "--subscribe", topic, "--publish", topic)
    assert relay.post(f"/sse?topic={topic}", b"for those who may", bearer(text)).status == 200
    tail = ("tail", "--url", relay.url, topic, "--last", "1", "--count", "1")
    done = run_publish(*tail, env={"SSE_TOKEN": text})
    assert (done.returncode, done.stdout) == (0, "for those who may\n"), done.stderr
    done = run_publish(*tail)
    assert done.returncode == 1 and "needs a token" in done.stderr


def test_show(tmp_path):
    secret, other = Secret(tmp_path), Secret(tmp_path, "x" * 40, "other")
    text = token(secret, subscribe=["a.*", "b"], sub="me", exp=4102444800.5)
    said = show(text, "--secret-file", secret.path)
    assert "signature:   good" in said and "subject:     me" in said and "2100-01-01T00:00:00Z" in said
    assert "may read:    a.*, b\n" in said and "may publish: nothing\n" in said
    assert "not looked at" in show(text + "\n") and "may read:    a.*, b\n" in show(text)
    done = run_publish("token", "--show", env={"SSE_TOKEN": text})
    assert done.returncode == 0 and "a.*, b" in done.stdout
    assert "signature" in show(text, "--secret-file", other.path, code=1)
    assert "expired" in show(token(secret, subscribe=["a"], ttl=-100), code=1)
    assert "audience" in show(token(secret, aud="x"), "--audience", "y", code=1)
    assert "not a JSON Web Token" in show("rubbish", code=1) and "not a JSON Web Token" in show("", code=1)
    jwks = tmp_path / "jwks.json"
    pair = KeyPair(tmp_path, "rsa", kid="one")
    jwks.write_text(json.dumps({"keys": [pair.jwk()]}))
    assert "good" in show(token(pair, "PS384"), "--key-file", jwks)
    assert "for ever" in show(token(secret, ttl=None)) and "\x1b" not in show(token(secret, sub="\x1b[31m"))


def test_what_is_refused(tmp_path):
    secret, pair = Secret(tmp_path), KeyPair(tmp_path, "p256")
    assert "no key" in make("--subscribe", "a", code=2)
    assert "nothing" in make("--secret-file", secret.path, code=2)
    assert "do not go together" in make("--secret-file", secret.path, "--key-file", pair.private, "--publish", "a", code=2)
    assert "cannot be read" in make("--key-file", pair.path, "--publish", "a", code=2)
    assert "cannot be read" in make("--key-file", tmp_path / "none", "--publish", "a", code=2)
    for bad in ("{user}", "", "a***"):
        assert "--subscribe" in make("--secret-file", secret.path, "--subscribe", bad, code=2)
    short = tmp_path / "short"
    short.write_text("my-short-secret")
    said = make("--secret-file", short, "--publish", "a", code=2)
    assert "32 bytes" in said and "my-short-secret" not in said
    locked = tmp_path / "locked.pem"
    jose.openssl("pkey", "-in", pair.private, "-aes-256-cbc", "-passout", "pass:abc", "-out", locked)
    assert "passphrase" in make("--key-file", locked, "--publish", "a", code=2)


def test_the_lines_of_the_readme(start_relay, tmp_path):
    """The newcomer's way, word for word but for the port: a secret, a relay, a token, a reader and a publish."""
    section = re.search(r"^## Or by token$.*?(?=^## )", (ROOT / "README.md").read_text(), re.M | re.S)[0]
    relay_lines, lines = re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)
    (tmp_path / "build").symlink_to(BUILD)

    def sh(script):
        env = os.environ | {"E2E": "1"}
        return subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)

    make_secret, start = relay_lines.splitlines()
    assert sh(make_secret).returncode == 0 and (tmp_path / "secret").stat().st_size == 65
    options = start.split("#")[0].split()
    assert options[:3] == ["build/sse-relay", "--token-secret-file", "secret"]
    options[2] = tmp_path / "secret"
    options.remove("--embedded-redis")  # the tests have one
    relay = start_relay(*(str(o).strip("'") for o in options[1:])).wait_ready()
    lines = lines.replace("http://127.0.0.1:8080", relay.url)
    watch = next(line for line in lines.splitlines() if "curl -N" in line)
    done = sh(lines.replace(watch, ""))
    assert done.returncode == 0 and '"ids"' in done.stdout and "signature:   good" in done.stdout, done.stderr
    lines = lines.replace("curl -N", "curl -sN").splitlines()
    reader = subprocess.Popen(["sh", "-ec", lines[0] + "\nexec " + lines[1].split("#")[0].replace("inbox'", "inbox&last=1'")], cwd=tmp_path,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    with reader:
        assert any(line == "data: hello\n" for line in reader.stdout)
        reader.kill()
