"""--check-health and --check-ready: the relay as the client of its own health."""

import signal

import pytest

from harness import free_port, run_relay, wait_until


def asked(which, *args, **how):
    """The exit code and what was said, on either output."""
    done = run_relay(f"--check-{which}", *args, **how)
    assert not (done.stdout and done.stderr)
    return done.returncode, done.stdout or done.stderr


def test_a_relay_that_is_well(start_relay):
    relay = start_relay().wait_ready()
    address = f"127.0.0.1:{relay.address[1]}"
    assert asked("health", "--listen", address) == (0, "ok\n")
    assert asked("ready", "--listen", address) == (0, "ready\n")
    assert asked("ready", env={"SSE_RELAY_LISTEN": address}) == (0, "ready\n")


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1", "localhost"])
def test_wherever_it_listens(start_relay, host):
    listen = f"{host}:{free_port()}"
    start_relay(listen=listen).wait_ready()
    assert asked("ready", "--listen", listen) == (0, "ready\n")


def test_a_unix_socket(start_relay, socket_dir):
    listen = f"unix:{socket_dir}/relay.sock"
    start_relay(listen=listen).wait_ready()
    assert asked("ready", "--listen", listen) == (0, "ready\n")


def test_the_admin_listener_is_asked_where_there_is_one(start_relay):
    relay = start_relay("--admin-listen", "127.0.0.1:0").wait_listening(2).wait_ready()
    nobody, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{relay.addresses[1][1]}"
    assert asked("ready", "--listen", nobody, "--admin-listen", admin) == (0, "ready\n")
    assert asked("ready", "--listen", admin, "--admin-listen", nobody)[0] == 1


def test_without_redis_it_is_alive_and_not_ready(start_relay):
    relay = start_relay(redis_url=f"redis://127.0.0.1:{free_port()}").wait_listening()
    address = f"127.0.0.1:{relay.address[1]}"
    assert asked("health", "--listen", address) == (0, "ok\n")
    code, said = asked("ready", "--listen", address)
    assert code == 1 and f"/readyz of the relay at {address}: HTTP/1.1 503" in said and "Redis" in said


def test_nobody_there():
    address = f"127.0.0.1:{free_port()}"
    assert asked("health", "--listen", address) == (1, f"sse-relay: no answer from a relay at {address}: Connection refused\n")
    assert asked("health", "--listen", "unix:/nonexistent/relay.sock")[0] == 1


def test_one_that_hangs(start_relay):
    relay = start_relay().wait_ready()
    address = f"127.0.0.1:{relay.address[1]}"
    relay.signal(signal.SIGSTOP)
    try:
        assert asked("health", "--listen", address) == (1, f"sse-relay: no answer from a relay at {address}: it says nothing\n")
    finally:
        relay.signal(signal.SIGCONT)
    wait_until(lambda: asked("ready", "--listen", address)[0] == 0, "its recovery")
