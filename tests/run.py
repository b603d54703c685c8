"""Runs test programs and counts; `make test` and `make fuzz` end in it.

A program is a cmocka program, a fuzzer or its replay, or a Python file for pytest. Of each this sees that it
ends in time, that it leaves no process behind, and that no sanitizer complained, in the program itself or
in any process it started. Only failures show their output. The last line is `N passed, N failed`; the exit
code is 1 if anything failed or nothing was run, 2 when the call itself is wrong.

With --again, a program whose tests failed among others is run once more, alone: on a loaded machine a test may
wait for what does not come in time. What passes then is told as flaky, with the output of its failure. A crash, a
sanitizer's report and a process left behind are failures at the first time.
"""

import argparse
import concurrent.futures
import ctypes
import importlib.util
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
PR_SET_CHILD_SUBREAPER = 36
ADDR_NO_RANDOMIZE = 0x0040000
SHOWN_LINES = 400  # of the output of a failed program


class Result:
    """What one program came to; every problem is one failure and a line of explanation."""

    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped
        self.problems = []

    def problem(self, text):
        self.problems.append(text)

    def failures(self):
        return self.failed + len(self.problems)

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failures()
        self.skipped += other.skipped


class Run:
    """The settings of one call, and the private directory that everything temporary goes to."""

    def __init__(self, args, directory):
        self.build = (ROOT / args.build).resolve()
        self.sanitize = args.sanitize
        self.fuzz_seconds = args.fuzz
        self.fuzz_seed = args.fuzz_seed
        self.grace = args.grace
        self.timeout = args.timeout
        self.directory = directory
        self.reports = directory / "reports"
        self.reports.mkdir()

    def environment(self, tmp):
        env = dict(os.environ, BUILD=str(self.build), SANITIZE=self.sanitize, TMPDIR=str(tmp))
        env.update(CMOCKA_MESSAGE_OUTPUT="TAP", PYTHONDONTWRITEBYTECODE="1")
        for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"):
            env.pop(name, None)  # a test that calls make is not part of our make
        if not self.fuzz_seconds:
            common = f"log_path={self.reports}/report:exitcode=99"
            env["ASAN_OPTIONS"] = f"{common}:detect_leaks=1:detect_stack_use_after_return=1{self.suppressions('asan')}"
            env["UBSAN_OPTIONS"] = f"{common}:print_stacktrace=1:halt_on_error=1{self.suppressions('ubsan')}"
            env["TSAN_OPTIONS"] = f"{common}:halt_on_error=1:second_deadlock_stack=1{self.suppressions('tsan')}"
            env["LSAN_OPTIONS"] = f"print_suppressions=0{self.suppressions('lsan')}"
        return env

    @staticmethod
    def suppressions(sanitizer):
        file = ROOT / "tests" / f"{sanitizer}.supp"
        return f":suppressions={file}" if file.exists() else ""

    def command(self, program, tmp):
        """The command line, its time limit, and the function that counts what it did."""
        path = pathlib.Path(program)
        if path.suffix == ".py":
            report = tmp / "junit.xml"
            command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
                       "-o", f"faulthandler_timeout={self.timeout * 0.9}", f"--junitxml={report}", program]
            return command, self.timeout, lambda out, code: count_junit(report, code)
        if path.name.startswith("replay_"):
            corpus = ROOT / "tests/fuzz/corpus" / path.name.removeprefix("replay_")
            return [program, str(corpus)], self.timeout, count_exit
        if path.name.startswith("fuzz_"):
            return self.fuzz_command(path), self.fuzz_seconds + self.timeout, count_exit
        return [program], self.timeout, count_tap

    def fuzz_command(self, path):
        name = path.name.removeprefix("fuzz_")
        found = self.build / "corpus" / name  # kept between runs, outside the tree
        found.mkdir(parents=True, exist_ok=True)
        committed = ROOT / "tests/fuzz/corpus" / name
        dictionary = ROOT / "tests/fuzz" / f"{name}.dict"
        return [str(path), f"-max_total_time={self.fuzz_seconds}", "-timeout=10",
                *([f"-seed={self.fuzz_seed}"] if self.fuzz_seed else []),
                f"-artifact_prefix={self.build}/finding-{name}-",
                *([f"-dict={dictionary}"] if dictionary.exists() else []),
                str(found), *([str(committed)] if committed.is_dir() else [])]


def count_exit(_output, code):
    return Result(passed=int(code == 0))


def count_tap(output, _code):
    lines = re.findall(r"^(not ok|ok)\b(.*)", output, re.MULTILINE)
    skipped = sum("# SKIP" in rest for _, rest in lines)  # "not ok", says cmocka, of these too
    failed = sum(verdict == "not ok" and "# SKIP" not in rest for verdict, rest in lines)
    return Result(passed=len(lines) - skipped - failed, failed=failed, skipped=skipped)


def count_junit(report, _code):
    try:
        suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite")
        total, failed, errors, skipped = (int(suite.get(k)) for k in ("tests", "failures", "errors", "skipped"))
    except (OSError, xml.etree.ElementTree.ParseError):
        return Result()  # pytest itself died: its exit code tells
    return Result(passed=max(0, total - failed - errors - skipped), failed=failed + errors, skipped=skipped)


def children():
    """The pids of this process's children that live: those of programs that ended, too (see main)."""
    pids = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, ppid = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue  # gone meanwhile
        if int(ppid) == os.getpid() and state != "Z":
            pids.append(int(stat.parent.name))
    return pids


def reap():
    """Collect every child that ended: {pid: exit code, negative for a signal}."""
    ended = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def wait_for(pid, seconds):
    """The exit code of our child @pid, or None when time is up. Reaps orphans all the while, since a test
    may be waiting for one to vanish."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended = reap()
        if pid in ended:
            return ended[pid]
        time.sleep(0.01)
    return None


def end_leftovers(grace):
    """Give what a program left behind @grace seconds to go by itself, then kill it. Returns the command
    lines of what had to be killed."""
    deadline = time.monotonic() + grace
    while reap() is not None and children() and time.monotonic() < deadline:
        time.sleep(0.05)
    killed = []
    while pids := children():  # their own children become ours, so this comes to an end
        for pid in pids:
            try:
                killed.append(pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " "))
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass  # gone meanwhile
        time.sleep(0.05)
        reap()
    return killed


def run_program(run, program):
    """Run one program to its end; returns its Result and what it printed."""
    tmp = pathlib.Path(tempfile.mkdtemp(dir=run.directory))
    command, limit, count = run.command(program, tmp)
    with open(tmp / "output", "w+b") as out:
        child = subprocess.Popen(command, cwd=ROOT, env=run.environment(tmp), stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        code = wait_for(child.pid, limit)
        child.returncode = code if code is not None else -signal.SIGKILL  # reaped here, not by Popen
        leftovers = end_leftovers(run.grace if code is not None else 0)
        out.seek(0)
        output = out.read().decode(errors="replace")
    result = count(output, code)
    if code is None:
        result.problem(f"did not end within {limit:.0f} s")
    else:
        if code < 0:
            result.problem(f"died of {signal.Signals(-code).name}")
        elif code != 0 and not result.failed:
            result.problem(f"exit code {code}")
        elif result.passed + result.failed + result.skipped == 0:
            result.problem("ran no test")
        for line in leftovers:
            result.problem(f"left running: {line}")
    for report in sorted(run.reports.iterdir()):
        text = report.read_text(errors="replace")
        if text.strip():
            result.problem(f"a sanitizer reports in process {report.suffix[1:]}:")
            output += f"\n{text}"
        report.unlink()
    shutil.rmtree(tmp, ignore_errors=True)
    return result, output


def cpu_seconds():
    """Of all that was reaped so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(program, result, output, seconds, cpu):
    """One line for a program, and for one that failed what it printed."""
    skipped = f", {result.skipped} skipped" if result.skipped else ""
    line = f"{result.passed} passed, {result.failures()} failed{skipped}" if result.failures() else f"{result.passed}{skipped}"
    print(f"{'FAIL' if result.failures() else 'ok':<4}  {program}  {line}  ({seconds:.1f} s, {cpu:.1f} s of CPU)")
    if not result.failures():
        for reason in re.findall(r"^SKIPPED.*|^(?:not )?ok\b.*# SKIP.*", output, re.MULTILINE):
            print(f"      {reason}")
    else:
        lines = output.splitlines()
        if len(lines) > SHOWN_LINES:
            print(f"      … {len(lines) - SHOWN_LINES} lines before these")
        print("\n".join("      " + text for text in lines[-SHOWN_LINES:]))
        for text in result.problems:
            print(f"      {text}")
    sys.stdout.flush()


def short(build, program):
    """The program's name as a reader knows it: a path in the tree."""
    path = pathlib.Path(program).resolve()
    for base in (build, ROOT):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return program


def run_one_by_one(args):
    """Run the programs in turn; returns how many tests passed, failed and were skipped."""
    libc = ctypes.CDLL(None, use_errno=True)
    # Orphans of a test program become our children, so that we see them.
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        print("tests/run.py: no subreaper here: leftovers are not seen", file=sys.stderr)
    # Older ThreadSanitizers refuse to start where the kernel shuffles addresses widely.
    if "thread" in args.sanitize:
        libc.personality(ADDR_NO_RANDOMIZE)

    counts = Result()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="sse-test-"))
    try:
        run = Run(args, directory)
        for program in args.programs:
            began, cpu = time.monotonic(), cpu_seconds()
            result, output = run_program(run, program)
            show(short(run.build, program), result, output, time.monotonic() - began, cpu_seconds() - cpu)
            counts.add(result)
    finally:
        end_leftovers(0)
        shutil.rmtree(directory, ignore_errors=True)
    return counts


class Jobs:
    """Several programs at a time, each under a run.py of its own, which sees to what that one leaves behind."""

    def __init__(self, args):
        self.settings = [f"--{name}={getattr(args, name.replace('-', '_'))}"
                         for name in ("build", "sanitize", "fuzz", "fuzz-seed", "timeout", "grace")]
        self.running = set()
        self.stopping = False

    def one(self, program):
        """Run @program; returns what its run.py printed. None once all are to end."""
        if self.stopping:
            return None
        child = subprocess.Popen([sys.executable, __file__, *self.settings, program], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, text=True, errors="replace")
        self.running.add(child)
        output = child.communicate()[0]
        self.running.discard(child)
        return output

    def stop(self):
        """End those that run; they see to their programs."""
        self.stopping = True
        for child in list(self.running):
            child.terminate()

    def run(self, programs, jobs, again=False):
        """Run them, showing each as it ends; returns the sum of their counts."""
        counts = Result()
        unsure = {}  # what is run again, with the counts of the first time
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            try:
                outputs = {pool.submit(self.one, program): program for program in programs}
                for done in concurrent.futures.as_completed(outputs):
                    shown, result = split_counts(done.result() or "")
                    print(shown, end="", flush=True)
                    if again and result.failed and not is_certain(shown):
                        unsure[outputs[done]] = result
                    else:
                        counts.add(result)
            finally:
                self.stop()
        self.stopping = False
        for program, first in unsure.items():
            second = self.run([program], 1)
            if not second.failures():
                print(f"flaky {program}  {first.failed} failed among others, none alone", flush=True)
            counts.add(second)
        return counts


def is_certain(shown):
    """Whether a failure that was shown is none of timing, however often the program passes after it."""
    return re.search(r"^      (?:died of|a sanitizer reports|left running)|run\.py did not come", shown, re.MULTILINE)


def split_counts(output):
    """What a run.py showed, and what its closing lines count; one failure where they are missing."""
    found = re.search(r"(?:^(\d+) skipped \(see above\)\n)?^(\d+) passed, (\d+) failed\n\Z", output, re.MULTILINE)
    if not found:
        return output + "FAIL  run.py did not come to its end\n", Result(failed=1)
    skipped, passed, failed = (int(number or 0) for number in found.groups())
    return output[:found.start()], Result(passed, failed, skipped)


def longest_first(build, programs, hints):
    """The order in which two or more at a time are over soonest: what takes long is begun first, by the file of hints.
    What is not named there is short, and keeps its place."""
    lines = pathlib.Path(hints).read_text().splitlines()
    seconds = {name: float(number) for number, name in (line.split() for line in lines if not line.startswith("#"))}
    return sorted(programs, key=lambda program: -seconds.get(short(build, program), 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build", help="where the programs under test are")
    parser.add_argument("--sanitize", default="", help="what they were built with")
    parser.add_argument("--fuzz", type=int, default=0, metavar="SECONDS", help="how long a fuzzer runs")
    parser.add_argument("--fuzz-seed", type=int, default=0, metavar="N", help="what a fuzzer begins with; 0: by chance")
    parser.add_argument("--timeout", type=float, default=900, metavar="SECONDS", help="for each program")
    parser.add_argument("--grace", type=float, default=10, metavar="SECONDS", help="for orphans to end by themselves")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="how many programs run at a time")
    parser.add_argument("--again", action="store_true", help="run what failed among others once more, alone")
    parser.add_argument("--only", default="", metavar="TEXT", help="only programs with TEXT in their name")
    parser.add_argument("--longest", default=ROOT / "tests/longest.txt", metavar="FILE", help="SECONDS NAME, a line each")
    parser.add_argument("programs", nargs="*")
    args = parser.parse_args()

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda caught, frame: sys.exit(128 + caught))

    build = (ROOT / args.build).resolve()
    args.programs = [program for program in args.programs if args.only in short(build, program)]
    if any(program.endswith(".py") for program in args.programs) and importlib.util.find_spec("pytest") is None:
        print("pytest is missing: `make deps-test` installs what the tests need.", file=sys.stderr)
        sys.exit(2)
    try:
        if args.jobs == 1:
            counts = run_one_by_one(args)
        else:
            # What measures, or takes ports by the thousand, comes last and alone.
            alone = [program for program in args.programs if short(build, program).startswith("tests/bench/")]
            others = [program for program in args.programs if program not in alone]
            counts = Jobs(args).run(longest_first(build, others, args.longest), args.jobs, args.again)
            counts.add(Jobs(args).run(alone, 1, args.again))
    except KeyboardInterrupt:
        sys.exit(130)
    if counts.skipped:
        print(f"{counts.skipped} skipped (see above)")
    print(f"{counts.passed} passed, {counts.failures()} failed")
    return int(counts.failures() > 0 or counts.passed == 0)


if __name__ == "__main__":
    sys.exit(main())
