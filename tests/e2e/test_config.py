"""Options on the command line, in the environment and in a file: precedence, printing, refusals."""

import json

import pytest

from harness import run_relay
from jose import Secret
from tls_raw import Certificate


def printed(*args, env=None):
    """The configuration that --print-config shows."""
    done = run_relay(*args, "--print-config", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def config_file(tmp_path):
    """A function that writes a configuration file and returns its path."""

    def write(content):
        path = tmp_path / "config.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_defaults():
    """The options that others rely on have their defaults."""
    config = printed()
    assert config["listen"] == ["127.0.0.1:8080"] and config["heartbeat"] == "15s"
    assert config["allow_anonymous_publish"] is False and config["embedded_redis"] is False
    assert {"allowed_host", "redis", "workers", "retry", "max_age", "drain", "max_connections",
            "outbox_limit", "cors_origin", "log_level", "log_format"} <= config.keys()  # fmt: skip


def test_precedence(config_file):
    """Command line before environment before file before default."""
    path = config_file({"heartbeat": "1s", "retry": "1s", "drain": "1s", "listen": ["127.0.0.1:1", "[::1]:1"]})
    env = {"SSE_RELAY_HEARTBEAT": "2s", "SSE_RELAY_RETRY": "2s", "SSE_RELAY_LISTEN": "127.0.0.1:2"}
    config = printed("--config", path, "--heartbeat", "3s", env=env)
    assert (config["heartbeat"], config["retry"], config["drain"]) == ("3s", "2s", "1s")
    assert config["listen"] == ["127.0.0.1:2"] and config["linger"] == "2s"
    assert printed("--listen=127.0.0.1:3", env=env)["listen"] == ["127.0.0.1:3"]
    assert printed(env={"SSE_RELAY_CONFIG": str(path)})["heartbeat"] == "1s"


def test_what_was_printed_can_be_read_again(config_file):
    """--print-config writes a file that --config takes, and that means the same."""
    first = run_relay("--outbox-limit", "1MiB", "--max-age", "90m", "--demo", "--print-config").stdout
    assert run_relay("--config", config_file(first), "--print-config").stdout == first


def test_print_config_shows_no_password(config_file):
    """No secret in --print-config, in refusals and in the log, wherever it came from."""
    url = "redis://user:s3cret@redis.example:6380/3"
    for done in (
        run_relay("--redis", url, "--print-config"),
        run_relay("--print-config", env={"SSE_RELAY_REDIS": url}),
        run_relay("--print-config", "--config", config_file({"redis": url})),
    ):
        assert done.returncode == 0 and "redis.example" in done.stdout
        assert "s3cret" not in done.stdout + done.stderr
    bad = run_relay("--redis", "redis://user:s3cret@redis.example:99999")
    assert bad.returncode == 2 and "s3cret" not in bad.stdout + bad.stderr


def test_check_config(config_file):
    """--check-config: 0 and a word when it is valid, 2 and a sentence when it is not; nothing is started."""
    good = run_relay("--check-config", "--config", config_file({"workers": 2, "demo": True}))
    assert good.returncode == 0 and "listening" not in good.stdout
    assert run_relay("--check-config", "--config", config_file({"workers": -2})).returncode == 2


def test_check_config_reads_the_files(redis, tmp_path):
    """Keys and certificates are read as at the start, and what is wrong with one is said in the same words."""
    secret, short = Secret(tmp_path), tmp_path / "short"
    own, other = Certificate(tmp_path, "own", "localhost"), Certificate(tmp_path, "other", "localhost")
    short.write_text("secret")
    tls = ["--listen", "https://127.0.0.1:0"]
    good = run_relay("--check-config", "--token-secret-file", secret.path, *tls, *own.options)
    assert good.returncode == 0 and good.stdout == "configuration is valid\n"
    for bad in (
        ["--token-secret-file", short], ["--token-key", tmp_path / "missing.pem"], ["--token-jwks-url", "https://a.test/", "--token-jwks-ca", short.parent / "none"],
        [*tls, "--tls-cert", own.cert, "--tls-key", other.key], [*tls, "--tls-cert", short, "--tls-key", own.key],
        [*tls, *own.options, "--tls-ticket-key", short], [*tls, *own.options, "--tls-client-ca", short],
    ):  # fmt: skip
        checked = run_relay("--check-config", *bad)
        started = run_relay("--redis", redis.url, *(["--listen", "127.0.0.1:0"] if "--listen" not in bad else []), *bad)
        assert checked.returncode == started.returncode == 1 and not checked.stdout
        assert checked.stderr == started.stderr and str(tmp_path) in checked.stderr


def test_help_and_version():
    """--help names every option with its default; --version says which one this is."""
    text = run_relay("--help").stdout
    for name in printed():
        assert f"--{name.replace('_', '-')} " in text
    done = run_relay("--version")
    assert done.returncode == 0 and done.stdout.split()[1][0].isdigit()


# Arguments, and what the sentence has to name: the option, the value, and what is allowed.
REFUSED = {
    "unknown": (["--hartbeat", "1s"], ["--hartbeat", "--heartbeat"]),
    "unknown-far": (["--xyzzy"], ["--xyzzy"]),
    "argument": (["stray"], ["stray"]),
    "no-value": (["--workers"], ["--workers", "64"]),
    "range": (["--workers", "65"], ["--workers", "65", "64"]),
    "no-number": (["--workers", "many"], ["--workers", "many"]),
    "no-unit": (["--heartbeat", "15"], ["--heartbeat", "15", "1h"]),
    "bad-unit": (["--heartbeat", "15 parsecs"], ["--heartbeat", "parsecs"]),
    "duration-range": (["--heartbeat", "1ms"], ["--heartbeat", "1ms", "100ms"]),
    "size": (["--outbox-limit", "1"], ["--outbox-limit", "1KiB"]),
    "choice": (["--log-level", "loud"], ["--log-level", "loud", "debug", "warn"]),
    "address": (["--listen", "nowhere"], ["--listen", "nowhere", "HOST:PORT"]),
    "port": (["--listen", "127.0.0.1:99999"], ["--listen", "99999"]),
    "redis": (["--redis", "http://127.0.0.1"], ["--redis", "redis://"]),
    "tls": (["--redis", "rediss://127.0.0.1"], ["--redis"]),
    "origin": (["--cors-origin", "app.example"], ["--cors-origin", "app.example", "SCHEME://"]),
    "origin-star": (["--cors-origin", "*", "--cors-origin", "https://a.example"], ["--cors-origin", "*"]),
    "prefix": (["--prefix", "a:b"], ["--prefix", "a:b"]),
    "two-redises": (["--embedded-redis", "--redis", "redis://127.0.0.1"], ["--embedded-redis", "--redis"]),
    "no-file": (["--config", "/nowhere/c.json"], ["/nowhere/c.json"]),
    "directory": (["--config", "/"], ["/"]),
}


@pytest.mark.parametrize("args, words", REFUSED.values(), ids=REFUSED.keys())
def test_refused(args, words):
    """An unknown option, a value out of range, a file that cannot be read: exit 2 and one sentence."""
    assert_refused(run_relay(*args), words)


def assert_refused(done, words):
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.endswith("\n") and done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr, f"{word!r} is not in {done.stderr!r}"


@pytest.mark.parametrize(
    "variable, value, words",
    [
        ("SSE_RELAY_WORKERS", "none", ["SSE_RELAY_WORKERS", "none"]),
        ("SSE_RELAY_HARTBEAT", "1s", ["SSE_RELAY_HARTBEAT", "SSE_RELAY_HEARTBEAT"]),
    ],
)
def test_refused_variable(variable, value, words):
    """The environment is refused as the command line is; a value that a higher source overrides, too."""
    assert_refused(run_relay(env={variable: value}), words)
    assert_refused(run_relay("--workers", "2", env={variable: value}), words)


@pytest.mark.parametrize(
    "content, words",
    [
        ("{", ["config.json"]),
        ("[]", ["config.json"]),
        ('{"workers": 1, "workers": 2}', ["config.json", "workers"]),
        ({"hartbeat": "1s"}, ["hartbeat", "heartbeat", "config.json"]),
        ({"workers": [1, 2]}, ["workers", "config.json"]),
        ({"workers": {}}, ["workers", "config.json"]),
        ({"workers": 1.5}, ["workers", "1.5", "config.json"]),
        ({"heartbeat": 15}, ["heartbeat", "15", "config.json"]),
        ({"config": "other.json"}, ["config", "config.json"]),
    ],
)
def test_refused_file(config_file, content, words):
    """A file with a mistake in it: exit 2, and the sentence names the file."""
    assert_refused(run_relay("--config", config_file(content)), words)


def test_environment_of_kubernetes():
    """Variables that Kubernetes makes for a service named sse-relay are no options."""
    env = {"SSE_RELAY_SERVICE_HOST": "10.0.0.1", "SSE_RELAY_PORT": "tcp://10.0.0.1:80"}
    env["SSE_RELAY_PORT_80_TCP_ADDR"] = "10.0.0.1"
    assert run_relay("--check-config", env=env).returncode == 0
