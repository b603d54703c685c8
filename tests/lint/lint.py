"""`make lint`: everything about the tree that can be told without building it.

Every check is a function that yields problems; a check passes when it yields none. Warnings do not fail.
The last line is `N passed, N failed`.
"""

import pathlib
import re
import shutil
import subprocess
import sys

import layers

ROOT = layers.ROOT
FORMAT_VERSION = 14  # the clang-format that decides: Debian 12's. Others differ in corners.
FILE_LINES, FUNCTION_LINES = 600, 80  # above these, a file or a function usually holds two things


def tree(*patterns):
    """The project's own files with such names, none of what was built or installed into the tree."""
    skipped = {".git", "build", "node_modules", ".venv"}
    files = (f for pattern in patterns for f in ROOT.rglob(pattern))
    return sorted(f for f in files if f.is_file() and skipped.isdisjoint(f.relative_to(ROOT).parts))


def name(file):
    return file.relative_to(ROOT).as_posix()


def check_layers():
    """includes keep to the table of layers.py"""
    yield from layers.check()


def check_format():
    """C files are formatted as .clang-format says (`make format` does it)"""
    if not shutil.which("clang-format"):
        yield "clang-format is missing: `make deps-test` installs it"
        return
    said = subprocess.run(["clang-format", "--version"], capture_output=True, text=True, check=True).stdout
    version = int(re.search(r"version (\d+)", said)[1])
    for file in tree("*.[ch]"):
        run = subprocess.run(["clang-format", "--dry-run", "-Werror", "--ferror-limit=1", file],
                             capture_output=True, text=True, cwd=ROOT, check=False)
        if run.returncode == 0:
            continue
        line = re.search(r":(\d+):\d+: error", run.stderr)
        problem = f"{name(file)}:{line[1] if line else 1}: not formatted"
        if version == FORMAT_VERSION:
            yield problem
        else:
            print(f"  warning: {problem} (says version {version}; {FORMAT_VERSION} decides)")


def check_shell():
    """shell scripts parse"""
    scripts = set(tree("*.sh")) | {f for f in tree("*") if f.suffix == "" and re.match(rb"#!.*\b(ba|da)?sh\b", head(f))}
    for file in sorted(scripts):
        shell = "bash" if b"bash" in head(file) else "sh"
        run = subprocess.run([shell, "-n", file], capture_output=True, text=True, check=False)
        if run.returncode != 0:
            yield run.stderr.strip()


def head(file):
    """A file's first line."""
    with open(file, "rb") as opened:
        return opened.readline(200)


def check_python():
    """Python files parse"""
    for file in tree("*.py"):
        try:
            compile(file.read_bytes(), str(file), "exec")
        except SyntaxError as error:
            yield f"{name(file)}:{error.lineno}: {error.msg}"


def check_lock_files():
    """npm lock files name no registry, so that any mirror serves"""
    for file in tree("package-lock.json", ".package-lock.json"):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if '"resolved"' in line:
                yield f"{name(file)}:{number}: {line.strip()}"


def warn_lengths():
    """Print what has grown long: worth a look, no failure."""
    for file in tree("*.[ch]"):
        lines = file.read_text(encoding="utf-8").splitlines()
        if len(lines) > FILE_LINES:
            print(f"  warning: {name(file)}: {len(lines)} lines")
        start = None
        for number, line in enumerate(lines, 1):
            if re.match(r"[a-zA-Z].*\{$", line) or line == "{":
                start = number
            elif line == "}" and start:
                if number - start > FUNCTION_LINES:
                    print(f"  warning: {name(file)}:{start}: a function of {number - start} lines")
                start = None


def main():
    failed = 0
    checks = [check_layers, check_format, check_shell, check_python, check_lock_files]
    for check in checks:
        problems = list(check())
        print(f"{'FAIL' if problems else 'ok':<4}  {check.__doc__}")
        for problem in problems:
            print(f"      {problem}")
        failed += bool(problems)
    warn_lengths()
    print(f"{len(checks) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
