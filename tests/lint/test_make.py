"""What a stranger meets first: `make deps`, `make help`, `make install`."""

import fnmatch
import os
import pathlib
import shutil
import socket
import subprocess

import pytest

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
    for tool in ("sh", "cat", "sed", "tr", "find", "id", "uname", *tools):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    return {"PATH": str(tmp_path)}


def test_deps_without_apt_name_the_packages(tmp_path):
    done = call("sh", "deploy/deps.sh", "build", env=bare_path(tmp_path))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["Alpine", "Fedora", "Homebrew"]
    for line, names in zip(lines[1:], ("apk add gcc libuv-dev linux-headers redis", "dnf install gcc libuv-devel redis",
                                       "brew install gcc libuv redis")):
        assert set(names.split()) <= set(line.split())


def test_deps_look_where_homebrew_keeps_headers(tmp_path):
    """uthash has no pkg-config data, and no compiler of macOS looks into Homebrew's folder by itself."""
    path = bare_path(tmp_path)
    for name, text in {"brew": "echo /opt/homebrew", "cc": 'case "$*" in *-I/opt/homebrew/include*) ;; *) exit 1 ;; esac'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    said = call("sh", "deploy/deps.sh", "build", env=path).stdout
    assert "uthash" not in said and "gcc" not in said and "libuv" in said


@pytest.mark.parametrize("sets", ["build deb", "build test"])
def test_deps_of_the_package_are_all_that_it_needs(tmp_path, sets):
    """`make deb`, and the test that builds the package, on a machine with nothing on it: dpkg-buildpackage asks for build-essential
    and for what control names."""
    path = bare_path(tmp_path)
    for name, text in {"dpkg-query": "printf not-installed", "apt-get": ""}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    script = (ROOT / "deploy/deps.sh").read_text()
    wanted = subprocess.run(["sh", "-c", script.partition("\nif [ ")[0] + f"\nmissing apt {sets}"], env=path, cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split()  # fmt: skip
    assert {"debhelper", "build-essential", "libuv1-dev"} <= set(wanted)
    named = (ROOT / "deploy/debian/control").read_text().partition("Build-Depends:")[2].partition("\nStandards-")[0]
    for package in wanted:
        if package.endswith("-dev") and package not in ("libc6-dev", "linux-libc-dev", "libcmocka-dev") and "clang" not in package:
            assert set(package.split("/")) & set(named.replace(",", " ").split()), f"{package} is not in debian/control"


APT = """#!/bin/sh
case "$*" in
*update*) echo "Reading package lists..." ;;
*) echo "Setting up gcc (4:12.2.0) ..."; sleep 5; exit 3 ;;
esac
"""


@pytest.mark.skipif(os.getuid() != 0, reason="packages are installed as root")
def test_deps_say_what_apt_does(tmp_path):
    """apt takes a minute and more: what it does is told meanwhile, and all that it said where it fails."""
    path = bare_path(tmp_path, "mktemp", "rm", "chmod", "sleep", "tail", "cut")
    path["TELL_EVERY"] = "1"
    for name, text in {"apt-get": APT, "apt-cache": "#!/bin/sh\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = call("sh", "deploy/deps.sh", "build", env=path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("deps: installing gcc ") and "a minute" in lines[1]
    assert "deps: 1 s: Setting up gcc (4:12.2.0) ..." in lines
    assert lines[-1].startswith("deps: apt-get could not install: gcc ") and "Setting up gcc (4:12.2.0) ..." in lines
    assert done.returncode == 1


def test_a_taken_port_is_told_before_anything_is_built():
    """As the last line, with what to do; a port that is free, and one on another address, keep nobody from it."""
    if not os.path.exists("/proc/net/tcp"):
        pytest.skip("no /proc/net/tcp: the relay says it when it starts")
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with socket.create_server((address, 0), family=family) as taken:
            port = taken.getsockname()[1]
            for listen in (f"--listen 127.0.0.1:{port}", f"--drain 1s --listen=:{port}"):
                done = call("make", "run", f"RUN_ARGS={listen}")
                assert done.returncode == 2 and "deps" not in done.stdout and "CC" not in done.stdout
                assert f"another program listens on port {port}" in done.stdout.splitlines()[-1]
                assert "make run RUN_ARGS='--listen 127.0.0.1:8090'" in done.stdout.splitlines()[-1]
    for free in (["--listen", f"127.0.0.1:{port}"], ["--listen", "unix:/tmp/x"]):
        assert call("sh", "deploy/port-taken.sh", *free).stdout == ""
    with socket.create_server(("127.0.0.2", 0)) as elsewhere:
        assert call("sh", "deploy/port-taken.sh", "--listen", f"127.0.0.1:{elsewhere.getsockname()[1]}").stdout == ""


def without_package(tmp_path, name):
    """An environment in which pkg-config knows all that it knows here, but for one package."""
    known = call("pkg-config", "--variable", "pc_path", "pkg-config").stdout.strip().split(":")
    for folder in reversed(known):  # the first one that has a package wins
        for file in pathlib.Path(folder).glob("*.pc"):
            link = tmp_path / file.name
            link.unlink(missing_ok=True)
            if file.stem != name:
                link.symlink_to(file)
    return {**os.environ, "PKG_CONFIG_LIBDIR": str(tmp_path), "PKG_CONFIG_PATH": ""}


def test_what_is_missing_for_the_tests_is_named(tmp_path):
    """Without cmocka, a test that is to be compiled says what installs it; a machine that only builds needs none of it."""
    (tmp_path / "pkgconfig").mkdir()
    env = without_package(tmp_path / "pkgconfig", "cmocka")
    build = tmp_path / "build"
    done = call("make", f"BUILD={build}", "SANITIZE=", f"{build}/tests/unit/base/test_buf.o", env=env)
    assert done.returncode != 0
    assert "cmocka is missing: `make deps-test` installs what the tests need." in done.stdout and "fatal error" not in done.stdout
    done = call("make", f"BUILD={build}", "SANITIZE=", f"{build}/relay/base/buf.o", env=env)
    assert done.returncode == 0, done.stdout


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


def test_install_and_uninstall_keep_to_their_folder(tmp_path):
    # -o all: what is installed is what is being tested, whatever flags it was built with.
    arguments = ("-o", "all", f"BUILD={BUILD}", f"DESTDIR={tmp_path}", "PREFIX=/opt/sse")
    done = call("make", *arguments, "install")
    assert done.returncode == 0, done.stdout
    files = {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()}
    shared = {path for program in ("sse-relay", "sse-publish") for path in (
        f"bash-completion/completions/{program}", f"fish/vendor_completions.d/{program}.fish",
        f"zsh/site-functions/_{program}")} | {
        "man/man1/sse-publish.1", "man/man8/sse-relay.8", "sse-relay/publish.lua", "sse-relay/delete.lua", "sse-relay/kick.lua",
        "doc/sse-relay/contract.md"}
    assert files == {"opt/sse/bin/sse-relay", "opt/sse/bin/sse-publish"} | {f"opt/sse/share/{f}" for f in shared}
    assert os.access(tmp_path / "opt/sse/bin/sse-relay", os.X_OK)
    for path, source in (("sse-relay/publish.lua", "publish.lua"), ("doc/sse-relay/contract.md", "README.md")):
        assert (tmp_path / "opt/sse/share" / path).read_bytes() == (ROOT / "relay/wire" / source).read_bytes()
    assert call("make", *arguments, "uninstall").returncode == 0
    assert not [f for f in tmp_path.rglob("*") if f.is_file()]


def in_the_image(path, patterns):
    """Whether .dockerignore lets a file through: the last pattern that fits it, or a folder that it is in, decides."""
    kept = True
    for pattern in patterns:
        name = pattern.removeprefix("!")
        ways = [path, *path.parents]
        if name.startswith("**/"):
            fits = any(way.name and fnmatch.fnmatch(way.name, name[3:]) for way in ways)
        else:
            fits = any(fnmatch.fnmatchcase(str(way), name) and str(way).count("/") == name.count("/") for way in ways)
        if fits:
            kept = pattern.startswith("!")
    return kept


def test_the_image_is_given_all_that_it_is_built_from(tmp_path):
    """What .dockerignore lets through is enough for `make`: it is seen here, where there is no container engine."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    kept = [file for file in files if in_the_image(pathlib.PurePosixPath(file), patterns)]
    assert "relay/main.c" in kept and "README.md" not in kept and "relay/README.md" not in kept and "tests/run.py" not in kept
    for file in kept:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    done = subprocess.run(["make", "-n", "all", "SANITIZE=", "BUILD=build"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_changelog_knows_the_version():
    """It, and the package's, begin with the Makefile's version or with what comes after it; each version says which others may share a
    Redis with it."""
    version = next(line.split()[-1] for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("VERSION :="))
    sections = (ROOT / "deploy/CHANGELOG.md").read_text().split("\n## ")[1:]
    names = [section.split("\n")[0].split()[0] for section in sections]
    assert version in names and names[: names.index(version)] in ([], ["Unreleased"])
    assert all("**Sharing a Redis**: " in section for section in sections)
    assert (ROOT / "deploy/debian/changelog").read_text().startswith(f"sse-relay ({version})")
