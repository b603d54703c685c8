"""`sse-publish subscribers`: the relays are asked over Redis how many streams have a topic, and their answers are added up."""

import pytest

from harness import frozen_thread, json_lines, run_publish, wait_until


def ask(redis, *args, code=0, url=None):
    done = run_publish("subscribers", *args, "--redis", url or redis.url)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


@pytest.fixture
def nodes(start_relay, own_redis):
    return [start_relay("--workers", "2", redis_url=own_redis.url).wait_ready() for _ in "ab"]


def test_all_relays_and_all_their_workers(nodes, own_redis, topic):
    """Streams of any form count, each once; those that have gone do not; a topic that nobody has is 0."""
    a, b = f"{topic}.a", f"{topic} b"  # a topic may have spaces
    streams = [node.live(f"/sse?topic={a}&as={form}") for node in nodes for form in ("data", "topic", "json") for _ in range(3)]
    streams.append(nodes[0].live(f"/sse?topic={a}&topic={b.replace(' ', '%20')}"))
    done = ask(own_redis, a, b, f"{topic}.none")
    assert done.stdout == f"{a}\t19\t2\n{b}\t1\t2\n{topic}.none\t0\t2\n" and done.stderr == ""
    for stream in streams[5:]:
        stream.close()
    wait_until(lambda: sum(node.metrics()["sse_relay_subscribers"] for node in nodes) == 5, "the others gone")
    assert json_lines(ask(own_redis, a, b, "--json").stdout) == [
        {"topic": a, "subscribers": 5, "relays": 2}, {"topic": b, "subscribers": 0, "relays": 2}]
    for stream in streams[:5]:
        stream.close()


def test_a_relay_that_does_not_answer(nodes, own_redis, topic):
    """It is not waited for for ever; the others' answers are printed, and how many are missing is said."""
    with nodes[1].live(topic), frozen_thread(nodes[0].pid, "worker 1"):
        done = ask(own_redis, topic, "--timeout", "1s", code=1)
    assert done.stdout == f"{topic}\t1\t1\n" and f"{topic}: 1 of 2 relays did not answer in time" in done.stderr


def test_no_relay(own_redis, topic):
    done = ask(own_redis, topic)
    assert done.stdout == f"{topic}\t0\t0\n" and "no relay that can be asked" in done.stderr


def test_another_prefix(nodes, own_redis, topic):
    assert "no relay that can be asked" in ask(own_redis, "--prefix", "other", topic).stderr


@pytest.mark.parametrize("text", ["", "x", "answer-", "answer- t", "answer-x ", "answer-x a*", "count t", "Answer-x t", "answer-x\n t",
                                  "answer-" + "x" * 40 + " t", "answer-x " + "t" * 257, "answer-x \udcff"])
def test_what_is_no_question(nodes, own_redis, text):
    """Nobody answers, on no channel, and nobody is disturbed."""
    with own_redis.client() as listener, own_redis.client() as client:
        listener("PSUBSCRIBE", "sse:relay.answer*")
        client("PUBLISH", "sse:relay.count", text.encode("utf-8", "surrogateescape"))
        client("PUBLISH", "sse:relay.count", "answer-end t")
        answers = [listener.read() for _ in nodes]
        assert {answer[2] for answer in answers} == {b"sse:relay.answer-end"}
        assert all(answer[3].endswith(b" 0 t") for answer in answers)
    for node in nodes:
        assert node.get("/readyz").status == 200


def test_very_many_questions(nodes, own_redis, topic):
    """Some are passed over; afterwards all goes on."""
    with nodes[0].live(topic) as stream, own_redis.client() as client:
        client.pipeline([("PUBLISH", "sse:relay.count", f"answer-x {topic}")] * 20000)
        own_redis.publish(topic, "still there")
        stream.wait_data("still there")
        assert ask(own_redis, topic).stdout == f"{topic}\t1\t2\n"


def test_asked_while_it_ends(start_relay, own_redis, topic):
    """Questions come to the last moment, and behind it; the relay ends as it should (its fixture looks)."""
    for _ in range(5):
        relay = start_relay("--workers", "3", redis_url=own_redis.url).wait_ready()
        with own_redis.client() as client:
            relay.signal(15)
            while relay.running:
                client.pipeline([("PUBLISH", "sse:relay.count", f"answer-x {topic}")] * 100)


def test_rights(nodes, own_redis, topic):
    """+publish +subscribe and the channels sse:relay.*; without, Redis's words."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "resetchannels", "&sse:relay.*", "+publish", "+subscribe", "+client|setname", "+ping")
    url = own_redis.url.replace("redis://", "redis://some:pw@")
    assert ask(own_redis, topic, url=url).stdout == f"{topic}\t0\t2\n"
    own_redis("ACL", "SETUSER", "some", "resetchannels")
    assert "NOPERM" in ask(own_redis, topic, url=url, code=1).stderr


def test_a_relay_that_may_not(start_relay, own_redis, topic):
    """Without the channel it works as before, and is not asked."""
    own_redis("ACL", "SETUSER", "some", "on", ">pw", "~*", "+@all", "resetchannels", "&sse:relay.sse-relay-*", f"&sse:{topic}")
    relay = start_relay(redis_url=own_redis.url.replace("redis://", "redis://some:pw@")).wait_ready()
    with relay.live(topic) as stream:
        own_redis.publish(topic, "x")
        stream.wait_data("x")
        assert "no relay that can be asked" in ask(own_redis, topic).stderr


def test_no_redis(topic):
    assert "cannot reach Redis" in ask(None, topic, code=3, url="redis://127.0.0.1:1").stderr
