"""--check-health and --check-ready: the relay as the client of its own health."""

import pathlib
import signal
import socket
import time

import pytest

from harness import Process, free_port, relay_env, run_relay, wait_until
from settings import RELAY


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


def stop(process):
    """Until each thread of it stands still, which a signal alone does not say."""
    process.signal(signal.SIGSTOP)
    states = lambda: {task.joinpath("stat").read_text().rpartition(")")[2].split()[0]
                      for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()}  # fmt: skip
    wait_until(lambda: states() == {"T"}, "the stop")


def test_one_that_hangs(start_relay):
    relay = start_relay().wait_ready()
    address = f"127.0.0.1:{relay.address[1]}"
    stop(relay)
    try:
        assert asked("health", "--listen", address) == (1, f"sse-relay: no answer from a relay at {address}: it says nothing\n")
    finally:
        relay.signal(signal.SIGCONT)
    wait_until(lambda: asked("ready", "--listen", address)[0] == 0, "its recovery")


def stop_and_go_on(process):
    """As Ctrl-Z and `fg` do, or a debugger."""
    stop(process)
    process.signal(signal.SIGCONT)


def test_one_that_was_stopped_meanwhile(socket_dir, tmp_path):
    """Calls that wait on a socket with a timeout are interrupted by that, while it connects and while it reads: the answer is
    waited for all the same."""
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(f"{socket_dir}/relay.sock")
        server.listen(0)
        first.connect(f"{socket_dir}/relay.sock")  # now the next one has to wait
        argv = [RELAY, "--check-health", "--listen", f"unix:{socket_dir}/relay.sock"]
        check = Process(argv, tmp_path, "check", env=relay_env())
        for _ in range(20):
            time.sleep(0.01)
            stop_and_go_on(check)
        server.accept()[0].close()
        conn = server.accept()[0]
        assert conn.recv(4096).startswith(b"GET /healthz ")
        for _ in range(20):
            time.sleep(0.01)
            stop_and_go_on(check)
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\nok\n")
        conn.close()
        assert check.wait() == 0 and check.out == "ok\n", check.err
