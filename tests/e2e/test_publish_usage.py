"""What is said about the programs: help, manuals, completions in real shells, what is refused, installing."""

import os
import pathlib
import pty
import re
import select
import shlex
import signal
import subprocess
import time

import pytest

from harness import relay_env, run_publish, run_relay
from settings import BUILD, DEADLINE, PUBLISH, ROOT, tool

SHARE = BUILD / "share"
MANUALS = [SHARE / "man/man1/sse-publish.1", SHARE / "man/man8/sse-relay.8"]
COMPLETIONS = {
    "bash": lambda program: SHARE / f"bash-completion/completions/{program}",
    "zsh": lambda program: SHARE / f"zsh/site-functions/_{program}",
    "fish": lambda program: SHARE / f"fish/vendor_completions.d/{program}.fish",
}


def run(*argv, **how):
    """Another program, to its end."""
    return subprocess.run(
        [str(a) for a in argv], capture_output=True, text=True, timeout=DEADLINE, check=False, **how
    )


def help_of(*words):
    done = run_publish(*words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def commands():
    """The commands that the overview lists."""
    listed = help_of("--help").partition("\nCommands\n")[2].partition("\n\n")[0]
    return re.findall(r"^  (\S+) ", listed, re.M)


def options_in(text):
    """The options that a help lists: those that a line begins with."""
    return re.findall(r"^ {1,8}(?:-\w, )?--([a-z-]+)", text, re.M)


def all_options():
    """The options of all commands, and the one that is for those who install it."""
    return {option for _, command in every_help()[1:] for option in options_in(help_of("help", command))} | {"generate"}


def every_help():
    return [["--help"], *(["help", command] for command in commands() if command != "help")]


# ---- help ----


def test_the_overview_fits_a_screen():
    """--help: at most 40 lines of 80 columns, with the commands, examples and the exit codes."""
    text = help_of("--help")
    assert len(text.splitlines()) <= 40
    assert {"publish", "clock", "letters", "help"} <= set(commands())
    assert "\nExamples\n" in text and "Exit codes: 0 " in text
    assert text == help_of("-h") == help_of("help") == help_of("help", "help")


def test_help_is_80_columns_wide():
    for words in every_help():
        for line in help_of(*words).splitlines():
            assert len(line) <= 80 and line == line.rstrip(), line


def test_every_command_says_what_it_does_and_takes():
    for _, command in every_help()[1:]:
        text = help_of("help", command)
        assert text.startswith("Usage: sse-publish ") and {"help", "version"} <= set(options_in(text))
        assert text == help_of(command, "--help")
    assert re.search(r"--every .*\(1s\)", help_of("clock", "-h")) and "(500ms)" in help_of("letters", "-h")
    assert "(100)" in help_of("clock", "-h") and "(1000)" in help_of("help", "publish")
    assert "--lines" not in help_of("clock", "--help")


def test_the_version():
    done = run_publish("--version")
    assert re.fullmatch(r"sse-publish \d+\.\d+\.\d+\n", done.stdout) and done.returncode == 0
    assert run_publish("-V").stdout == done.stdout


# ---- what is refused ----

REFUSED = {
    "no topic": ([], "there is no topic: sse-publish TOPIC [DATA]"),
    "mistyped": (["--hsitory", "5", "a"], 'there is no option "--hsitory"; was --history meant?'),
    "of another command": (["--every", "1s", "a"], "--every is for clock and letters, not for publish"),
    "no value": (["a", "--event"], "--event needs a value behind it: --event NAME"),
    "a value too many": (["--live=yes", "a"], "--live takes no value"),
    "together": (["--live", "--key", "k", "a"], "--live events are not stored"),
    "out of range": (["--lines", "--rate", "0/s", "a"], '--rate "0/s" is out of range; allowed: such as 100/s'),
    "too many words": (["a", "two", "words"], "data with spaces needs quotes"),
    "a topic twice": (["-t", "a", "-t", "a"], 'the topic "a" is given twice'),
    "no such command": (["help", "nonsense"], 'there is no command "nonsense"; there are publish, '),
    "no such file": (["--generate", "csh"], '--generate "csh" is not one of its values; allowed: man, bash'),
}


@pytest.mark.parametrize("args, sentence", REFUSED.values(), ids=REFUSED.keys())
def test_wrong_usage(args, sentence):
    """2, a sentence on standard error that says what to do, and nothing on standard output."""
    done = run_publish(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sse-publish: ") and sentence in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(own_redis, closed):
    """What is missing is missed where it is needed, and nothing else is taken for it."""
    commands = f'"$0" t data {closed}; echo $? >>"$1"; "$0" --lines t "$2" {closed}; echo $? >>"$1"'
    lines, codes = (own_redis.directory / name for name in ("lines", "codes"))
    lines.write_text("one\ntwo\n")
    subprocess.run(["sh", "-c", commands, PUBLISH, codes, lines], env=relay_env({"REDIS_URL": own_redis.url}),
                   stdout=subprocess.DEVNULL, check=True, timeout=DEADLINE)
    aborted = str(128 + signal.SIGABRT)
    assert len(codes.read_text().split()) == 2 and aborted not in codes.read_text()
    assert own_redis("XLEN", "sse:{0}:log:t") == 3


def test_a_secret_is_not_repeated():
    for args in (["--redis", "http://:hunter2@h", "a"], ["--redsi=redis://:hunter2@h", "a"]):
        done = run_publish(*args)
        assert done.returncode == 2 and "hunter2" not in done.stderr


@pytest.mark.parametrize(
    "env, has_colours",
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["terminal", "NO_COLOR", "dumb"],
)
def test_colours_are_for_terminals(env, has_colours):
    """Colours on a terminal, and never with NO_COLOR."""
    with Terminal([PUBLISH], {**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, **env}) as terminal:
        assert ("\x1b[" in terminal.read_until("can be given")) == has_colours


# ---- manuals ----


@pytest.mark.parametrize("page", MANUALS, ids=lambda page: page.name)
def test_manuals_are_sound(page):
    """mandoc finds nothing to say about them, and man none to warn of."""
    assert tool("mandoc"), "mandoc is missing: make deps-test installs it"
    done = run("mandoc", "-Tlint", page)
    assert done.stdout + done.stderr == "" and done.returncode == 0
    if tool("groff"):
        done = run("groff", "-man", "-ww", "-Tutf8", "-z", page)
        assert done.stderr == "" and done.returncode == 0


def rendered(page):
    """The page as one reads it, without bold and underlined."""
    done = run("mandoc", "-Tutf8", "-Owidth=78", page)
    return re.sub(".\b", "", done.stdout)


def test_the_manual_has_all_options():
    text = rendered(MANUALS[0])
    assert all_options() == set(options_in(text.partition("\nOPTIONS\n")[2].partition("\nENVIRONMENT\n")[0]))
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "ENVIRONMENT", "EXIT STATUS",
                    "EXAMPLES", "SEE ALSO"):  # fmt: skip
        assert f"\n{section}\n" in text, section
    for command in commands():
        assert re.search(rf"^ +{command}( |$)", text, re.M), command
    assert "--name=VALUE" in text and "REDIS_URL" in text and "NO_COLOR" in text


def test_the_manual_of_the_relay_has_all_options():
    described = options_in(rendered(MANUALS[1]).partition("\nOPTIONS\n")[2].partition("\nENVIRONMENT AND FILE\n")[0])
    assert set(options_in(run_relay("--help").stdout)) == set(described)


def test_the_files_are_those_of_the_programs():
    """What the build left is what the programs write now."""
    assert run_publish("--generate", "man").stdout == MANUALS[0].read_text()
    assert run_relay("--generate", "man").stdout == MANUALS[1].read_text()
    for shell, path in COMPLETIONS.items():
        assert run_publish("--generate", shell).stdout == path("sse-publish").read_text()
        assert run_relay("--generate", shell).stdout == path("sse-relay").read_text()


# ---- completions ----


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv, env, cwd=None):
        self.master, slave = pty.openpty()
        self.child = subprocess.Popen(
            [str(a) for a in argv], stdin=slave, stdout=slave, stderr=slave, env=env, cwd=cwd, start_new_session=True
        )
        os.close(slave)
        self.text = ""

    def write(self, text):
        os.write(self.master, text.encode())

    def read_until(self, wanted):
        """What came up to and with @wanted."""
        end = time.monotonic() + DEADLINE
        while wanted not in self.text:
            readable, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert readable, f"{wanted!r} does not come: {self.text[-3000:]}"
            self.text += os.read(self.master, 65536).decode(errors="replace")
        text, self.text = self.text.split(wanted, 1)
        return text + wanted

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        os.close(self.master)


def complete_bash(line, cwd):
    """COMPREPLY at the end of @line, whose words are told apart as bash does it."""
    words = [w for w in re.split(r"\s+|(=)", line.rstrip()) if w] + ([""] if line.endswith(" ") else [])
    program = words[0]
    script = f"""source {shlex.quote(str(COMPLETIONS["bash"](program)))}
        COMP_WORDS=({" ".join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}
        complete -p {program} >/dev/null && _{program.replace("-", "_")} && printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = run("bash", "--norc", "-c", script, cwd=cwd)
    assert done.stderr == ""
    return {word for word in done.stdout.splitlines() if word}


# In place of completing, print what would be: _arguments and its like end in compadd.
ZSH_SETUP = r"""
PROMPT= RPROMPT=
fpath=({fpath} $fpath)
autoload -Uz compinit && compinit -u -D
compadd() {{
    local -a found
    [[ ${{@[(I)-[OAD]]}} -gt 0 ]] || {{ builtin compadd -O found "$@"; print -rn -- "<${{(pj:><:)found}}>" }}
    builtin compadd "$@"
}}
show() {{ zle complete-word; print -r -- "end-""of-list"; zle kill-buffer }}
zle -N show; bindkey '^X' show; bindkey '^U' kill-whole-line; unsetopt zle_bracketed_paste
print re""ady
"""


def complete_zsh(line, cwd):
    env = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(cwd), "LC_ALL": "C"}
    setup = pathlib.Path(cwd) / ".zsh-setup"
    setup.write_text(ZSH_SETUP.format(fpath=shlex.quote(str(SHARE / "zsh/site-functions"))))
    with Terminal(["zsh", "-f", "-i"], env, cwd) as terminal:
        terminal.write("source ./.zsh-setup\n")
        terminal.read_until("ready")
        terminal.write(line + "\x18")
        return set(re.findall(r"<([^<>]+)>", terminal.read_until("end-of-list")))


def complete_fish(line, cwd):
    script = f"""source {shlex.quote(str(COMPLETIONS["fish"](line.split()[0])))}
        complete -C {shlex.quote(line)}"""
    done = run("fish", "--no-config", "-c", script, cwd=cwd, env={**os.environ, "HOME": str(cwd)})
    assert done.stderr == ""
    words = {found.split("\t")[0] for found in done.stdout.splitlines()}
    typed = re.search(r"(\\ |\S)*$", line)[0]
    words = {word for word in words if word.startswith(typed)}  # from version 4 on, others that have it in them follow
    option = re.search(r"(--[\w-]+=)\S*$", line)  # fish repeats the option
    return {w.removeprefix(option[1]) for w in words} if option else words


COMPLETE = {"bash": complete_bash, "zsh": complete_zsh, "fish": complete_fish}

# What stands on the line; what is offered; what must not be.
LINES = {
    "commands": ("sse-publish ", {"publish", "clock", "letters", "help"}, {"--event"}),
    "a part of a command": ("sse-publish cl", {"clock"}, {"letters"}),
    "options": ("sse-publish --re", {"--redis", "--retry", "--repeat", "--resume-from"}, {"--live"}),
    "options of a command": ("sse-publish clock --e", {"--every", "--event"}, {"--help"}),
    "not those of others": ("sse-publish clock --l", {"--live"}, {"--lines"}),
    "options behind a topic": ("sse-publish news --l", {"--live", "--lines"}, {"--letters"}),
    "choices": ("sse-publish --output ", {"text", "json"}, {"stop", "clock"}),
    "choices behind =": ("sse-publish --output=", {"text", "json"}, {"stop", "clock"}),
    "a value is no command": ("sse-publish --event clock --key", {"--key"}, set()),
    "files": ("sse-publish --lines news some", {"some lines", "some.log"}, {"clock", "other"}),
    "files of ndjson": ("sse-publish --ndjson some.l", {"some.log"}, {"clock", "some lines"}),
    "help": ("sse-publish help l", {"letters"}, {"clock"}),
    "the relay's options": ("sse-relay --log", {"--log-level", "--log-format"}, {"--listen"}),
    "the relay's choices": ("sse-relay --log-level ", {"debug", "info", "warn", "error"}, {"auto"}),
    "the relay's file": ("sse-relay --config some.l", {"some.log"}, {"other"}),
}


@pytest.fixture
def folder(tmp_path):
    for name in ("some lines", "some.log", "other"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize("shell", COMPLETE)
@pytest.mark.parametrize("line, offered, withheld", LINES.values(), ids=LINES.keys())
def test_completion(shell, line, offered, withheld, folder):
    """What the shell itself offers at the end of the line."""
    assert tool(shell), f"{shell} is missing: make deps-test installs it"
    found = COMPLETE[shell](line, folder)
    found = {word.replace("\\ ", " ") for word in found}
    assert offered <= found and not withheld & found


@pytest.mark.parametrize("shell", COMPLETE)
def test_completions_have_all_options(shell):
    """Every option of every command is in each shell's file."""
    for program, options in (("sse-publish", all_options()), ("sse-relay", set(options_in(run_relay("--help").stdout)))):
        text = COMPLETIONS[shell](program).read_text()
        form = " -l {}( |$)" if shell == "fish" else "--{}[^a-z-]"
        for option in options:
            assert re.search(form.format(option), text, re.M), option


# ---- installing ----


def test_what_is_installed_works(tmp_path):
    """make install: programs that run, manuals that man finds; uninstall leaves no file behind."""
    arguments = ["-o", "all", f"BUILD={BUILD.relative_to(ROOT)}", f"DESTDIR={tmp_path}", "PREFIX=/usr"]
    done = run("make", "-C", ROOT, *arguments, "install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(tmp_path / "usr/bin/sse-publish", "--version").returncode == 0
    for name in ("sse-publish", "sse-relay"):
        for path in COMPLETIONS.values():
            assert (tmp_path / "usr/share" / path(name).relative_to(SHARE)).is_file()
    if tool("man"):
        page = run("man", "-M", tmp_path / "usr/share/man", "sse-publish", env={**os.environ, "MANPAGER": "cat"})
        assert "NAME" in page.stdout
    assert run("make", "-C", ROOT, *arguments, "uninstall").returncode == 0
    assert not [file for file in tmp_path.rglob("*") if not file.is_dir()]
