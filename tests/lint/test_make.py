"""What a stranger meets first: `make deps`, `make help`, `make install`."""

import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BUILD", "build")


def call(*command, **settings):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120, check=False, **settings)


def test_deps_are_quiet_when_all_is_there():
    done = call("sh", "deploy/deps.sh", "build", "test")
    assert (done.returncode, done.stdout) == (0, "")


def bare_path(tmp_path, *tools):
    """A PATH with a shell's usual company and the named tools, and neither a compiler nor apt."""
    for tool in ("sh", "cat", "sed", "tr", "find", "id", *tools):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    return {"PATH": str(tmp_path)}


def test_deps_without_apt_name_the_packages(tmp_path):
    done = call("sh", "deploy/deps.sh", "build", env=bare_path(tmp_path))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["Alpine", "Fedora", "Homebrew"]
    for line, names in zip(lines[1:], ("apk add gcc libuv-dev redis", "dnf install gcc libuv-devel redis",
                                       "brew install gcc libuv redis")):
        assert set(names.split()) <= set(line.split())


def test_help_lists_every_target_that_the_documentation_names():
    listed = call("make", "help").stdout
    for target in ("run", "test", "bench", "lint", "fuzz", "install", "deps", "deps-test"):
        assert f"\n  {target} " in listed


def test_the_benchmark_comes_last():
    """Its load leaves thousands of ports in TIME_WAIT, and whoever connects after it may be refused one."""
    planned = call("make", "-n", "-o", "all", "-o", "test-programs", "SANITIZE=", "test-run").stdout
    places = [planned.find(f"tests/{room}/test_") for room in ("lint", "e2e", "browser", "bench")]
    assert -1 not in places and places == sorted(places)
    assert "test_" not in planned[planned.rfind("tests/bench/test_") + len("tests/bench/test_"):]


def test_the_relay_is_linked_without_what_only_the_command_line_needs():
    linked = {name: call("ldd", BUILD / name).stdout for name in ("sse-relay", "sse-publish")}
    assert "libcurl" in linked["sse-publish"] and "libcurl" not in linked["sse-relay"]
    assert "libuv" in linked["sse-relay"]


def test_install_and_uninstall_keep_to_their_folder(tmp_path):
    # -o all: what is installed is what is being tested, whatever flags it was built with.
    arguments = ("-o", "all", f"BUILD={BUILD}", f"DESTDIR={tmp_path}", "PREFIX=/opt/sse")
    done = call("make", *arguments, "install")
    assert done.returncode == 0, done.stdout
    files = {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()}
    shared = {path for program in ("sse-relay", "sse-publish") for path in (
        f"bash-completion/completions/{program}", f"fish/vendor_completions.d/{program}.fish",
        f"zsh/site-functions/_{program}")} | {"man/man1/sse-publish.1", "man/man8/sse-relay.8"}
    assert files == {"opt/sse/bin/sse-relay", "opt/sse/bin/sse-publish"} | {f"opt/sse/share/{f}" for f in shared}
    assert os.access(tmp_path / "opt/sse/bin/sse-relay", os.X_OK)
    assert call("make", *arguments, "uninstall").returncode == 0
    assert not [f for f in tmp_path.rglob("*") if f.is_file()]
