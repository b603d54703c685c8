"""Start and end: listeners, second relays, the embedded Redis, the drain."""

import os
import pathlib
import re
import select
import signal
import socket
import time

import pytest

from harness import run_publish, run_relay, wait_until
from http_raw import Closed, Conn
from resp import RedisClient
from settings import DEADLINE
from sse import Stream


def test_port_zero_is_printed(start_relay, topic):
    """The relay: port 0 is resolved once for all workers and printed."""
    relay = start_relay("--workers", "4").wait_ready()
    (address,) = relay.addresses
    assert address[0] == "127.0.0.1" and address[1] > 0
    for _ in range(20):
        assert relay.get("/healthz").status == 200


def test_several_listeners(socket_dir, start_relay, redis, topic):
    """--listen is repeatable, takes IPv6 and unix:, and every one serves the same."""
    path = f"{socket_dir}/relay.sock"
    relay = start_relay("--listen", "[::1]:0", "--listen", f"unix:{path}").wait_listening(3)
    relay.wait_ready()
    assert relay.addresses[1][0] == "::1" and relay.addresses[2] == path
    streams = [Stream(address, f"/sse?topic={topic}") for address in relay.addresses]
    for stream in streams:
        stream.wait_live()
    redis.publish(topic, "everywhere")
    for stream in streams:
        stream.wait_data("everywhere")
        stream.close()
    assert relay.terminate() == 0 and not os.path.exists(path)


def test_unix_listener_spreads_over_workers(socket_dir, start_relay, redis, topic):
    """The relay: `unix:` has one acceptor that hands connections to the workers."""
    relay = start_relay("--workers", "4", listen=f"unix:{socket_dir}/r.sock").wait_ready()
    streams = [relay.live(topic) for _ in range(40)]
    redis.publish(topic, "to all")
    for stream in streams:
        stream.wait_data("to all")
        stream.close()


def test_stale_socket_file(socket_dir, start_relay):
    """The relay: a stale socket file is removed: one that a killed relay left behind."""
    first = start_relay(listen=f"unix:{socket_dir}/r.sock").wait_ready()
    first.expect_clean = False
    first.kill()
    assert os.path.exists(f"{socket_dir}/r.sock")
    start_relay(listen=f"unix:{socket_dir}/r.sock").wait_ready()


def test_living_socket_file_is_not_taken(socket_dir, start_relay):
    """The relay: somebody else's socket is not stolen, and a file that is no socket not removed."""
    path = f"{socket_dir}/r.sock"
    first = start_relay(listen=f"unix:{path}").wait_ready()
    done = run_relay("--listen", f"unix:{path}")
    assert done.returncode not in (0, 2) and path in done.stderr
    assert first.get("/healthz").status == 200
    precious = socket_dir / "precious"
    precious.write_text("data")
    done = run_relay("--listen", f"unix:{precious}")
    assert done.returncode != 0 and str(precious) in done.stderr and precious.read_text() == "data"


def test_second_relay_on_the_same_address(start_relay, redis):
    """The relay: a second relay on the same address fails at start, with a sentence, instead of sharing it."""
    first = start_relay().wait_ready()
    address = "{}:{}".format(*first.address)
    done = run_relay("--listen", address, "--redis", redis.url)
    assert done.returncode not in (0, 2) and address in done.stderr and "listening on" not in done.stdout
    for _ in range(20):
        assert first.get("/healthz").status == 200


def test_address_can_be_taken_again_at_once(start_relay, redis, topic):
    """A restart finds its port free although connections of before linger in the kernel."""
    first = start_relay().wait_ready()
    stream = first.live(topic)
    address = first.address
    assert first.terminate() == 0
    stream.close()
    second = start_relay(listen="{}:{}".format(*address)).wait_ready()
    second.live(topic).close()


def test_address_that_cannot_be_had(socket_dir):
    """An address of somebody else's machine, a directory that is not there: an end with a sentence."""
    for address in ("192.0.2.1:8080", f"unix:{socket_dir}/nowhere/r.sock"):
        done = run_relay("--listen", address)
        assert done.returncode not in (0, 2) and address.removeprefix("unix:") in done.stderr


def test_admin_listener(start_relay):
    """--admin-listen: a listener of its own for health, readiness and metrics, and for nothing else."""
    relay = start_relay("--admin-listen", "127.0.0.1:0").wait_ready()
    admin = Conn(relay.addresses[1])
    for path in ("/healthz", "/readyz", "/metrics"):
        admin.request("GET", path)
        assert admin.read_answer().status == 200
        assert relay.get(path).status == 404, "and not to clients"
    admin.request("GET", "/sse?topic=a")
    assert admin.read_answer().status == 404
    admin.close()


def test_health_for_clients_beside_an_admin_listener(start_relay):
    """--public-health: for a balancer that can ask the port of its traffic only. Metrics stay where they are."""
    relay = start_relay("--admin-listen", "127.0.0.1:0", "--public-health").wait_ready()
    assert relay.get("/healthz").status == relay.get("/readyz").status == 200
    assert relay.get("/metrics").status == 404


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_without_clients(start_relay, number):
    """SIGTERM and SIGINT end it with exit code 0."""
    relay = start_relay().wait_ready()
    relay.signal(number)
    assert relay.wait() == 0


def test_drain(start_relay, redis, topic):
    """SIGTERM: readiness fails; in the grace streams are still served and new ones too; then each stream is
    closed properly, with the notice of it and a `retry:` of its own."""
    relay = start_relay(
        "--drain-grace", "2s", "--drain", "1s", "--allow-anonymous-publish", "--heartbeat", "1h", quick=False
    ).wait_ready()
    streams = [relay.live(topic) for _ in range(20)]
    relay.signal(signal.SIGTERM)
    answer = wait_until(lambda: (a := relay.get("/readyz")).status == 503 and a, "a failing /readyz")
    assert b"drain" in answer.body
    assert relay.get("/healthz").status == 200
    streams.append(relay.live(topic))
    assert relay.post(f"/sse?topic={topic}", b"in the grace").status == 200
    for stream in streams:
        stream.wait_data("in the grace")
    retries = []
    for stream in streams:
        stream.wait_end()
        assert len(stream.parser.retries) == 2 and stream.parser.log[-2][0] == "retry"
        assert stream.events[-1] == ("relay.close", '{"reason":"drain"}', stream.events[-1].id)
        retries.append(stream.parser.retries[-1])
        stream.close()
    assert len(set(retries)) > 1, "every stream has a retry of its own"
    assert relay.wait() == 0


def read_to_first_end(streams):
    """Read all of @streams until the relay ends one of them, whichever that is."""
    while not any(stream.ended for stream in streams):
        readable = select.select([stream.conn.sock for stream in streams], [], [], DEADLINE)[0]
        assert readable, "no stream ended"
        for stream in streams:
            if stream.conn.sock in readable:
                stream.read_more(time.monotonic() + DEADLINE)


def test_drain_closes_streams_spread_over_the_window(start_relay, redis, topic):
    """SIGTERM: streams end one after the other, and those that are still open are served."""
    relay = start_relay("--drain-grace", "0s", "--drain", "5s", quick=False).wait_ready()
    streams = [relay.live(topic) for _ in range(30)]
    relay.signal(signal.SIGTERM)
    read_to_first_end(streams)
    redis.publish(topic, "late")
    late = 0
    for stream in streams:
        stream.wait_end()
        late += any(e.data == "late" for e in stream.events)
    for stream in streams:
        stream.close()
    assert late > 0, "all streams ended at once"
    assert relay.wait() == 0


def test_draining_relay_refuses_politely(start_relay, topic):
    """Section 5: a draining node gives an EventSource on a connection that it still has a short `retry:` and the
    end, or closes that connection."""
    relay = start_relay("--drain-grace", "0s", "--drain", "1h", quick=False).wait_ready()
    with relay.live(topic), relay.conn() as kept:
        kept.request("GET", "/healthz")
        assert kept.read_answer().status == 200
        relay.signal(signal.SIGTERM)
        wait_until(lambda: refuses(relay), "the end of accepting")
        try:
            kept.request("GET", f"/sse?topic={topic}", [("Accept", "text/event-stream")])
            head = kept.read_head()
            assert head.status == 200 and head.get("content-type") == "text/event-stream; charset=utf-8"
            body = b"".join(iter(kept.read_chunk, b""))
            assert body.startswith(b"event: relay.close\nretry: ")
        except (Closed, ConnectionError):
            pass
        end_at_once(relay)


def end_at_once(relay):
    """A second signal: nobody is waited for, which the exit code may say."""
    relay.expect_clean = False
    relay.signal(signal.SIGTERM)
    assert relay.wait() in (0, 1)


def refuses(relay):
    """Whether the relay refuses connections. To leave them hanging is no refusal."""
    try:
        with relay.conn() as conn:
            conn.request("GET", "/healthz")
            conn.read_answer()
            return False
    except ConnectionRefusedError:
        return True
    except (Closed, ConnectionError):
        return False


def test_second_signal_ends_at_once(start_relay, topic):
    """A second SIGTERM ends at once, whatever the grace and the window."""
    relay = start_relay("--drain-grace", "10m", "--drain", "1h", quick=False).wait_ready()
    with relay.live(topic) as stream:
        relay.signal(signal.SIGTERM)
        wait_until(lambda: relay.get("/readyz").status == 503, "a failing /readyz")
        end_at_once(relay)
        with pytest.raises((Closed, AssertionError)):
            stream.read_until(lambda: False)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_what_the_kernel_has_accepted_is_answered(socket_dir, start_relay, topic, kind):
    """The relay: connections that wait in the kernel when SIGTERM comes are answered, each and every one: an
    EventSource is asked to come back soon."""
    listen = "127.0.0.1:0" if kind == "tcp" else f"unix:{socket_dir}/r.sock"
    options = ["--drain-grace", "0s", "--drain", "200ms", "--workers", "1"]
    relay = start_relay(*options, listen=listen, quick=False).wait_ready()
    # Stopped, it finds the signal and more connections than it accepts in one go when it wakes up.
    relay.signal(signal.SIGSTOP)
    plain, streams = [relay.conn() for _ in range(200)], [relay.conn() for _ in range(200)]
    for conn in plain:
        conn.request("GET", "/healthz")
    for conn in streams:
        conn.request("GET", f"/sse?topic={topic}", [("Accept", "text/event-stream")])
    relay.signal(signal.SIGTERM)
    relay.signal(signal.SIGCONT)
    for conn in plain:
        assert conn.read_answer().status == 200
        conn.close()
    for conn in streams:
        answer = conn.read_answer()
        assert answer.status == 200 and answer.body.startswith(b"event: relay.close\nretry: ")
        conn.close()
    assert relay.wait() == 0


def test_drain_with_a_client_that_never_reads(start_relay, redis, topic):
    """The end waits for nobody who does not read."""
    relay = start_relay("--outbox-limit", "64KiB", "--send-buffer", "16KiB", "--write-timeout", "1h").wait_ready()
    with relay.live(topic, rcvbuf=4096):
        for _ in range(20):
            redis.publish(topic, "x" * 60000)
        wait_until(lambda: relay.metrics()["sse_relay_subscribers_lagging"] == 1, "a full outbox")
        assert relay.terminate() == 0


def test_drain_with_a_publish_under_way(start_relay, own_redis, topic):
    """The end answers a POST whose fate is not known, or closes its connection; Redis says nothing any more."""
    relay = start_relay("--allow-anonymous-publish", redis_url=own_redis.url).wait_ready()
    own_redis.pause()
    with relay.conn() as conn:
        conn.request("POST", f"/sse?topic={topic}", body=b"x")
        wait_until(lambda: relay.metrics()["sse_relay_http_requests_total"] >= 2, "the request")
        relay.signal(signal.SIGTERM)
        try:
            assert conn.read_answer().status in (503, 504)
        except Closed:
            pass
    assert relay.wait() == 0


def test_drain_with_redis_down(start_relay, own_redis, topic):
    """The end needs no Redis."""
    relay = start_relay(redis_url=own_redis.url).wait_ready()
    with relay.live(topic):
        own_redis.pause()
        assert relay.terminate() == 0


# ---- the embedded Redis ----


@pytest.fixture
def embedded(socket_dir, start_relay):
    """A relay with a Redis of its own, whose private directory is the only thing in TMPDIR."""
    relay = start_relay("--embedded-redis", redis_url="", env={"TMPDIR": str(socket_dir)})
    return relay.wait_ready()


def status_of(pid):
    """Name, state and parent of a process, or None when there is none."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()[0], int(rest.split()[1])


def descendants(pid):
    """Process ids of children and their children, with their names."""
    everybody = {int(p.name): status_of(p.name) for p in pathlib.Path("/proc").glob("[0-9]*")}
    found, parents = {}, {pid}
    while parents:
        children = {p: s[0] for p, s in everybody.items() if s and s[2] in parents}
        found |= children
        parents = children.keys()
    return found


def alive(pid):
    """Whether a process runs; a zombie does not."""
    status = status_of(pid)
    return status is not None and status[1] != "Z"


def redis_children(relay):
    return [pid for pid, name in descendants(relay.pid).items() if name.startswith("redis-server")]


def test_embedded_redis(socket_dir, embedded, topic):
    """--embedded-redis: a private redis-server in a private directory, no port, a session of its own; gone with
    its directory at the end."""
    (pid,) = redis_children(embedded)
    assert os.getsid(pid) != os.getsid(embedded.pid)
    (directory,) = socket_dir.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    (path,) = [p for p in directory.iterdir() if p.is_socket()]
    with Stream(embedded.address, f"/sse?topic={topic}") as stream:
        stream.wait_live()
        with RedisClient(str(path)) as client:
            assert client("CONFIG", "GET", "port")[1] == b"0"
            client("PUBLISH", f"sse:{topic}", "private")
        stream.wait_data("private")
    assert embedded.terminate() == 0
    wait_until(lambda: not alive(pid), "the end of redis-server")
    wait_until(lambda: not list(socket_dir.iterdir()), "the removal of the directory")


def test_embedded_redis_dies_with_a_killed_relay(socket_dir, embedded):
    """--embedded-redis: gone even when the relay is SIGKILLed."""
    pids = descendants(embedded.pid)
    assert redis_children(embedded)
    embedded.expect_clean = False
    embedded.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of all children")
    wait_until(lambda: not list(socket_dir.iterdir()), "the removal of the directory")


def test_embedded_redis_that_dies(embedded):
    """When the private redis-server ends on its own, the relay ends too, with a failure and a reason."""
    (pid,) = redis_children(embedded)
    embedded.expect_clean = False
    os.kill(pid, signal.SIGKILL)
    assert embedded.wait() not in (0, 2) and "redis-server" in embedded.err


def test_embedded_redis_is_not_installed(tmp_path):
    """--embedded-redis: a clear error where redis-server is not installed."""
    done = run_relay("--embedded-redis", "--listen", "127.0.0.1:0", env={"PATH": str(tmp_path)})
    assert done.returncode not in (0, 2) and "redis-server" in done.stderr


@pytest.mark.parametrize("option", ["--listen", "--admin-listen"])
def test_an_address_in_use_is_told_with_its_way_out(relay, option):
    """Exit 1 and one sentence: the address, what is wrong, and which option chooses another."""
    address = "%s:%d" % relay.address
    listen = ["--listen", "127.0.0.1:0"] if option == "--admin-listen" else []
    done = run_relay(*listen, option, address, "--redis", "redis://127.0.0.1:1")
    assert done.returncode == 1
    assert done.stderr == (f"sse-relay: cannot listen on {address}: another program does already; stop it, or choose "
                           f"another address with {option} HOST:PORT, such as 127.0.0.1:8081, or unix:PATH\n")


def test_a_taken_port_is_told_before_redis_starts(relay, socket_dir):
    """--embedded-redis: it is the one thing that is said, and nothing was started meanwhile that would have to be ended."""
    done = run_relay("--embedded-redis", "--demo", "--listen", "%s:%d" % relay.address,
                     env={"TMPDIR": str(socket_dir), "PATH": "/nowhere"})
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("sse-relay: cannot listen on ") and done.stderr.count("\n") == 1
    assert not list(socket_dir.iterdir())


def test_the_supervisor_keeps_no_port(embedded):
    """The listeners are bound before it is forked: what is left of a relay that was killed does not hold its port."""
    _, _, supervisor = status_of(redis_children(embedded)[0])
    held = [os.readlink(f) for f in pathlib.Path(f"/proc/{supervisor}/fd").iterdir()]
    assert held and not [name for name in held if name.startswith("socket:")]


def test_demo(socket_dir, start_relay):
    """`make run`: the clock in topic `time`, random letters in `letters`, and all of it ends with the relay."""
    relay = start_relay("--embedded-redis", "--demo", redis_url="", env={"TMPDIR": str(socket_dir)}).wait_ready()
    invitation = f"\nconsole: {relay.url}/?topics=time,letters\n"
    wait_until(lambda: relay.out.endswith(invitation), "the address of the page, as the last line")
    with relay.live("/sse?topics=time&as=topic") as clock, relay.live("/sse?topics=letters&as=topic") as letters:
        clock.wait_name("time"), clock.wait_name("time")
        letters.wait_name("letters")
        url = re.search(r"\n\npublish from another shell: export REDIS_URL=(\S+)\n", relay.out)[1]
        assert run_publish("-t", "letters", "by hand", env={"REDIS_URL": url}).returncode == 0
        letters.wait_data("by hand")
    pids = descendants(relay.pid)
    assert relay.terminate() == 0
    wait_until(lambda: not any(alive(pid) for pid in pids), "the end of all children")


def test_ctrl_c_reaches_the_children_after_the_drain(socket_dir, start_relay, topic):
    """Ctrl-C signals the whole foreground group: the private Redis still serves while the relay drains."""
    relay = start_relay(
        "--embedded-redis", "--drain-grace", "10m", "--allow-anonymous-publish",
        redis_url="", env={"TMPDIR": str(socket_dir)}, quick=False,
    ).wait_ready()  # fmt: skip
    with relay.live(topic) as stream:
        os.killpg(os.getpgid(relay.pid), signal.SIGINT)
        wait_until(lambda: relay.get("/readyz").status == 503, "a failing /readyz")
        assert relay.post(f"/sse?topic={topic}", b"still served").status == 200
        stream.wait_data("still served")
    end_at_once(relay)
