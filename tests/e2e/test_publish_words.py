"""sse-publish where somebody uses it for the first time, or something around it is odd: what it says, and how it ends."""

import os
import pty
import subprocess

import pytest

from harness import relay_env, run_publish
from publisher import data_of, length_of
from settings import DEADLINE, PUBLISH


def say(redis, *args, stdin=b"", code=0):
    """Standard error of sse-publish, which must exit with @code."""
    done = run_publish(*args, env={"REDIS_URL": redis.url}, stdin=stdin)
    assert done.returncode == code, done.stderr
    return done.stderr


def in_shell(redis, program, *args, redirect):
    """The program as a shell starts it, with @redirect behind it."""
    argv = ["sh", "-c", f'exec "$0" "$@" {redirect}', program, *args]
    env = relay_env({"REDIS_URL": redis.url})
    return subprocess.run(argv, env=env, capture_output=True, timeout=DEADLINE, check=False)


# ---- standard descriptors ----


@pytest.mark.parametrize("redirect", ["2>&-", "<&-", "<&- 2>&-"])
def test_closed_descriptors_that_nobody_needs(redis, topic, redirect):
    done = in_shell(redis, PUBLISH, topic, "data", redirect=redirect)
    assert done.returncode == 0 and done.stdout and not done.stderr
    assert data_of(redis, topic) == ["data"]


def test_closed_output_is_no_success(redis, topic):
    """The id cannot be told: the event is published, and it is said that its id went nowhere; not with --quiet."""
    done = in_shell(redis, PUBLISH, topic, "data", redirect=">&-")
    assert done.returncode == 1 and b"cannot write to standard output" in done.stderr
    assert in_shell(redis, PUBLISH, "--quiet", topic, "data", redirect=">&-").returncode == 0
    assert data_of(redis, topic) == ["data", "data"]


def test_closed_input_is_no_empty_event(redis, topic):
    done = in_shell(redis, PUBLISH, topic, redirect="<&-")
    assert done.returncode == 2 and b"cannot read standard input" in done.stderr
    assert length_of(redis, topic) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("many", [False, True])
def test_output_that_cannot_be_written(redis, topic, many):
    """Exit 1 and a sentence, which says that what was sent is published."""
    args = ["--lines", topic, "/dev/stdin"] if many else [topic, "1"]
    argv = ["sh", "-c", 'seq 3000 | "$0" "$@" > /dev/full', PUBLISH, *args]
    done = subprocess.run(argv, env=relay_env({"REDIS_URL": redis.url}), capture_output=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1 and b"cannot write to standard output: No space left" in done.stderr
    assert b"what was sent is published all the same" in done.stderr and length_of(redis, topic) > 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("args", [["--help"], ["--generate", "man"], ["topics"], ["doctor"]])
def test_answers_that_cannot_be_written(redis, topic, args):
    run_publish(topic, "x", env={"REDIS_URL": redis.url})
    done = in_shell(redis, PUBLISH, *args, redirect="> /dev/full")
    assert done.returncode == 1 and b"cannot write to standard output: No space left" in done.stderr


@pytest.mark.parametrize("redirect", ["</dev/null", "<<EOF\nEOF"])
def test_no_data_is_no_event(redis, topic, redirect):
    """As in cron: nothing is published, and it is said how an event with empty data is."""
    done = in_shell(redis, PUBLISH, topic, redirect=redirect)
    assert done.returncode == 2 and length_of(redis, topic) == 0 and done.stdout == b""
    assert b"standard input is empty (`-` takes it as an event with empty data, and --empty makes one); nothing" in done.stderr
    for args in ([topic, "-"], [topic, "--empty"], [topic, ""], ["-t", topic, "--empty", "--repeat", "2"]):
        assert in_shell(redis, PUBLISH, *args, redirect=redirect).returncode == 0, args
    assert data_of(redis, topic) == [""] * 5


def test_a_line_end_alone_is_data(redis, topic):
    assert say(redis, topic, stdin=b"\n") == "" and data_of(redis, topic) == [""]


# ---- what was meant ----


def test_a_mistyped_command_is_asked_about(redis):
    """Alone, it may be meant as a command; nothing is published, whatever standard input holds."""
    question = 'there is no command "doctr"; to publish to a topic of that name: sse-publish -t doctr; or was doctor meant?'
    before = redis("DBSIZE")
    for args in (["doctr"], ["doctr", "--json"], ["--event", "e", "doctr"]):
        assert question in say(redis, *args, code=2, stdin=b"some data")
    assert redis("DBSIZE") == before


def test_a_mistyped_command_is_noted(redis, topic):
    """With data it is a topic, and it is said that a command is called nearly so; not where -t or -- says that it is one."""
    note = '"histroy" is a topic here; was the command history meant?'
    assert note in say(redis, "histroy", topic)
    for args in (["-t", "histroy", topic], ["--", "histroy", topic], [topic, "histroy"]):
        assert say(redis, *args) == ""


def test_a_question_ends_as_one(redis, topic):
    assert "was --history meant?\n" in say(redis, "--histroy", "3", topic, "x", code=2)


def test_resume_from_beyond_the_end(redis, topic):
    err = say(redis, "--lines", "--resume-from", "5", topic, stdin=b"1\n2\n3\n")
    assert "the input has 3 lines: there is nothing from --resume-from 5 on" in err and length_of(redis, topic) == 0
    assert "nothing from" not in say(redis, "--lines", "--resume-from", "3", topic, stdin=b"1\n2\n3\n")


def test_a_line_that_ends_it_was_not_skipped(redis, topic):
    err = say(redis, "--lines", topic, stdin=b"1\n\xff\n3\n", code=1)
    assert "; 1 failed" in err and "skipped" not in err


def test_the_topic_without_a_log_is_named(redis, topic):
    assert f"the topic {topic} has no log" in say(redis, "history", topic)


def test_the_key_of_a_wrong_type_is_named(own_redis, topic):
    own_redis("LPUSH", f"sse:{{0}}:log:{topic}", "x")
    assert f"refused XREVRANGE of sse:{{0}}:log:{topic}: WRONGTYPE" in say(own_redis, "history", topic, code=1)


def test_how_to_give_a_password(own_redis, topic):
    own_redis("CONFIG", "SET", "requirepass", "secret")
    for args in ([topic, "x"], ["history", topic], ["topics"]):
        err = say(own_redis, *args, code=1)
        assert "NOAUTH" in err and "REDIS_URL=redis://:PASSWORD@HOST" in err
    url = own_redis.url.replace("redis://", "redis://:secret@")
    assert run_publish(topic, "x", env={"REDIS_URL": url}).returncode == 0


def test_a_missing_right_leads_to_the_doctor(own_redis, topic):
    own_redis("ACL", "SETUSER", "some", "on", ">secret", "~*", "&*", "+@all", "-xadd")
    url = own_redis.url.replace("redis://", "redis://some:secret@")
    done = run_publish(topic, "x", env={"REDIS_URL": url})
    assert done.returncode == 1 and "`sse-publish doctor` names what is missing" in done.stderr
    assert "user_script" not in done.stderr
    assert "xadd" in run_publish("doctor", env={"REDIS_URL": url}).stdout


def test_https_where_there_is_http(start_relay):
    url = start_relay().wait_ready().url.replace("http://", "https://")
    done = run_publish("tail", "t", "--timeout", "300ms", "--url", url)
    assert done.returncode == 3 and "is it http://?" in done.stderr


def test_typing_is_invited(redis, topic):
    """Where standard input is a terminal it is said that it is read, and how it ends."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([PUBLISH, topic], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=relay_env({"REDIS_URL": redis.url})) as child:
        os.close(theirs)
        assert child.stderr.readline() == b"sse-publish: reading standard input; Ctrl-D ends it\n"
        os.write(ours, b"typed\n\x04")
        assert child.wait(DEADLINE) == 0
    os.close(ours)
    assert data_of(redis, topic) == ["typed"]
