"""tests/run.py itself: whatever goes wrong in a test program turns into a failure."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

RUN = pathlib.Path(__file__).resolve().parents[1] / "run.py"


@pytest.fixture(params=["1", "2"])
def run(tmp_path, request):
    """Run shell scripts, or other files, under run.py, in turn and at the same time; returns its exit code and output."""

    def call(*sources, name="test_it", options=()):
        programs = []
        for number, source in enumerate(sources):
            file = tmp_path / str(number) / name
            file.parent.mkdir()
            file.write_text(source, encoding="utf-8")
            file.chmod(0o755)
            programs.append(str(file))
        done = subprocess.run([sys.executable, RUN, "--jobs", request.param, "--build", str(tmp_path), *options, *programs],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        return done.returncode, done.stdout

    return call


def last_line(output):
    return output.splitlines()[-1]


def test_counts_add_up(run):
    code, output = run("#!/bin/sh\necho ok 1 - a\necho ok 2 - b\n", "#!/bin/sh\necho ok 1 - c\n")
    assert (code, last_line(output)) == (0, "3 passed, 0 failed")


def test_skipped_is_neither(run):
    code, output = run("#!/bin/sh\necho ok 1 - a\necho 'not ok 2 # SKIP b'\n")
    assert (code, last_line(output)) == (0, "1 passed, 0 failed")
    assert "not ok 2 # SKIP b" in output


@pytest.mark.parametrize("source, why", [
    ("echo ok 1 - a; echo not ok 2 - b; exit 1", "not ok 2 - b"),
    ("echo ok 1 - a; exit 3", "exit code 3"),
    ("echo ok 1 - a; kill -SEGV $$", "died of SIGSEGV"),
    ("exit 0", "ran no test"),
    ("echo ok 1 - a; sleep 1000", "did not end within 1 s"),
    ("echo ok 1 - a; setsid sleep 1000 &", "left running: sleep 1000"),
    ("echo ok 1 - a; p=${ASAN_OPTIONS#log_path=}; echo a leak > ${p%%:*}.7", "a leak"),
])
def test_each_failure_is_seen(run, source, why):
    code, output = run(f"#!/bin/sh\n{source}\n", options=["--timeout", "1", "--grace", "0.1"])
    assert code == 1
    assert last_line(output).endswith(" 1 failed")
    assert why in output


@pytest.mark.parametrize("source, last", [
    ("def test_a(): pass\ndef test_b(): pass\n", "2 passed, 0 failed"),
    ("def test_a(): pass\ndef test_b(): assert False\n", "1 passed, 1 failed"),
    ("import no_such_module\n", "0 passed, 1 failed"),
    ("\n", "0 passed, 1 failed"),
    ("import os\ndef test_a(): os._exit(0)\n", "0 passed, 1 failed"),
])
def test_pytest_is_counted(run, source, last):
    code, output = run(source, name="test_it.py")
    assert last_line(output) == last
    assert code == int(" 0 failed" not in last)


def test_a_failure_does_not_stop_the_others(run):
    code, output = run("#!/bin/sh\nexit 1\n", "#!/bin/sh\necho ok 1 - a\n")
    assert (code, last_line(output)) == (1, "1 passed, 1 failed")


FAILS_ONCE = "[ -e $0.again ] && { echo ok 1 - a; exit 0; }\ntouch $0.again\n"


def test_what_passes_alone_is_flaky(run, request):
    code, output = run(f"#!/bin/sh\n{FAILS_ONCE}echo not ok 1 - a; exit 1\n", "#!/bin/sh\necho ok 1 - a\n", options=["--again"])
    if "[1]" in request.node.name:  # nothing else ran, so there is nothing to blame
        assert (code, last_line(output)) == (1, "1 passed, 1 failed")
    else:
        assert (code, last_line(output)) == (0, "2 passed, 0 failed")
        assert "not ok 1 - a" in output and "flaky " in output


@pytest.mark.parametrize("source", [
    "echo not ok 1 - a; exit 1",
    f"{FAILS_ONCE}echo not ok 1 - a; kill -SEGV $$",
    f"{FAILS_ONCE}echo not ok 1 - a; setsid sleep 1000 & exit 1",
    f"{FAILS_ONCE}echo not ok 1 - a; p=${{ASAN_OPTIONS#log_path=}}; echo a leak > ${{p%%:*}}.7; exit 1",
])
def test_no_second_time_excuses(run, source):
    code, output = run(f"#!/bin/sh\n{source}\n", "#!/bin/sh\necho ok 1 - a\n", options=["--again", "--grace", "0.1"])
    assert code == 1
    assert not last_line(output).endswith(" 0 failed")
    assert "flaky" not in output


def test_nothing_to_run_is_a_failure(run):
    assert run() == (1, "0 passed, 0 failed\n")
    assert run("#!/bin/sh\necho ok 1 - a\n", options=["--only", "another"])[0] == 1


def script_that_waits(mine, others):
    return f"#!/bin/sh\ntouch {mine}\nwhile [ ! -e {others} ]; do sleep 0.05; done\necho ok 1 - a\n"


def start(tmp_path, *sources, options=()):
    """run.py on shell scripts, two at a time, still running."""
    programs = []
    for number, source in enumerate(sources):
        programs.append(tmp_path / f"test_{number}")
        programs[-1].write_text(source, encoding="utf-8")
        programs[-1].chmod(0o755)
    return subprocess.Popen([sys.executable, RUN, "--jobs", "2", "--build", str(tmp_path), *options, *programs],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_run_at_the_same_time(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    with start(tmp_path, script_that_waits(a, b), script_that_waits(b, a)) as runner:
        assert last_line(runner.communicate(timeout=60)[0]) == "2 passed, 0 failed"


def test_what_runs_ends_with_the_runner(tmp_path):
    pid_file = tmp_path / "pid"
    with start(tmp_path, f"#!/bin/sh\necho $$ > {pid_file}.new; mv {pid_file}.new {pid_file}\nexec sleep 1000\n") as runner:
        while not pid_file.exists():
            time.sleep(0.05)
        runner.terminate()
        runner.communicate(timeout=60)
        assert runner.returncode == 128 + signal.SIGTERM
    assert not pathlib.Path(f"/proc/{pid_file.read_text().strip()}").exists()


def test_the_longest_are_begun_first(tmp_path):
    """By the hints, wherever they stand: these two wait for each other, and what comes before them finds neither."""
    one, other, hints = tmp_path / "one", tmp_path / "other", tmp_path / "hints"
    hints.write_text("# seconds\n5 test_3\n9 test_1\n")
    behind = f"#!/bin/sh\n[ -e {one} ] && [ -e {other} ] && echo ok 1 - a\n"
    sources = [behind, script_that_waits(one, other), behind, script_that_waits(other, one)]
    with start(tmp_path, *sources, options=["--longest", str(hints)]) as runner:
        assert last_line(runner.communicate(timeout=60)[0]) == "4 passed, 0 failed"


def test_the_hints_name_what_there_is():
    root = RUN.parent.parent
    for line in (root / "tests/longest.txt").read_text().splitlines():
        if not line.startswith("#"):
            name = line.split()[1]
            assert (root / name).exists() or (root / f"{name}.c").exists(), name
