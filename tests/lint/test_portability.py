"""What other systems make of the sources, as far as this one can tell: musl's headers (Alpine), the GNU make 3.81 of macOS,
Homebrew's folder of headers."""

import concurrent.futures
import os
import pathlib
import platform
import re
import shlex
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BUILD", "build")
PROGRAMS = sorted(file for folder in ("relay", "publisher-cli") for file in (ROOT / folder).rglob("*.c"))
TESTS = sorted(file for folder in ("unit", "loop") for file in (ROOT / "tests" / folder).rglob("*.c"))
LIBRARIES = ("uv.h", "uv", "hiredis", "jansson.h", "jansson_config.h", "curl", "openssl", "uthash.h", "utlist.h", "llhttp.h",
             "nghttp2",
             "cmocka.h", "cmocka_pbc.h", "cmocka_version.h")  # fmt: skip
OF_THE_KERNEL = ("linux", "asm", "asm-generic")


def flags():
    """As the Makefile gives them to the compiler, without those that only gcc or only clang knows."""
    said = subprocess.run(["make", "-s", "-n", "-B", "V=1", "SANITIZE=", f"BUILD={BUILD}", f"{BUILD}/relay/main.o"], cwd=ROOT,
                          capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in said.splitlines() if line.endswith(" relay/main.c")]
    words = shlex.split(line)
    found = [word for word in words if word.startswith(("-D", "-I", "-W", "-std"))]
    return found, [words[i + 1] for i, word in enumerate(words) if word == "-isystem"]


def complaints(compiler, sources):
    """What it says of each file, which it only reads."""
    def one(source):
        done = subprocess.run([*compiler, "-Werror", "-fsyntax-only", source], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stderr if done.returncode else ""

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return "".join(pool.map(one, sources))


def headers(directory, names, system):
    """A folder with nothing in it but links to some of this system's headers; a compiler that is given it sees no other."""
    directory.mkdir()
    triplet = subprocess.run(["cc", "-print-multiarch"], capture_output=True, text=True, check=False).stdout.strip()
    places = [*map(pathlib.Path, system), pathlib.Path("/usr/include", triplet), pathlib.Path("/usr/include")]
    for name in names:
        for place in places:
            here = [place / name] if not (place / name).is_dir() else sorted(p for p in (place / name).rglob("*") if p.is_file())
            for header in here:  # Debian has some of OpenSSL's beside the others
                link = directory / header.relative_to(place)
                if header.exists() and not link.exists():
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(header)
    return directory


@pytest.mark.parametrize("sources", [PROGRAMS, TESTS], ids=["programs", "tests"])
def test_musl(sources, tmp_path):
    """The headers of Alpine's C library, those of the kernel (linux-headers) and of our libraries; none of glibc."""
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is missing: it is in the package musl-tools")
    found, system = flags()
    ours, kernel = headers(tmp_path / "ours", LIBRARIES, system), headers(tmp_path / "kernel", OF_THE_KERNEL, [])
    compiler = ["musl-gcc", *found, "-idirafter", ours, "-idirafter", ours / "hiredis", "-idirafter", kernel]
    assert complaints(compiler, sources) == ""


def test_make_3_81():
    """What came after it: modifiers, assignments, functions and targets that it would read as something else."""
    later = (r"(^|:)\s*(private|undefine)\s", r"^\.ONESHELL", r"!=", r":::?=", r"\$\((file|guile|let|intcmp) ", r"&:", r"^define \w+ [?+:]?=$")
    for file in (ROOT / "Makefile", ROOT / "tests/tests.mk", *(ROOT / "tests").rglob("*.mk")):
        for line in file.read_text().splitlines():
            if not line.startswith(("\t", "#")):
                assert not [pattern for pattern in later if re.search(pattern, line)], f"{file.name}: {line}"


def test_homebrew():
    """Its headers are found, although no compiler looks there by itself; elsewhere there is no such folder."""
    argv = ["make", "-s", "-n", "-B", "V=1", "SANITIZE=", f"BUILD={BUILD}", f"{BUILD}/relay/main.o"]
    said = subprocess.run([*argv, "BREW_PREFIX=/opt/homebrew"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert " -isystem /opt/homebrew/include " in said
    if platform.system() == "Linux":
        assert "homebrew" not in subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_what_is_own_to_a_target_is_in_no_stamp():
    """make hands a target's variables on to what the target is made from: were they in build/flags, each test would compile all
    that there is once more."""
    makefile = (ROOT / "Makefile").read_text()
    (stamp,) = re.findall(r"^\$\(BUILD\)/flags: stamp = (.*)$", makefile, re.M)
    own = re.findall(r"^\S.*: (\w+) [?:+]?= ", (ROOT / "tests/tests.mk").read_text() + makefile, re.M)
    assert {"OWN_LIBS", "OWN_CPPFLAGS"} <= set(own)
    assert not [name for name in own if f"$({name})" in stamp], stamp
