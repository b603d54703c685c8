"""The table of who may know whom (see README.md in relay/), and the check of every include against it.

Run alone it checks the tree it stands in, or the one given as its argument.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Room -> the rooms it may include, itself aside. A header in place of a room opens that header alone.
ROOMS = {
    "relay/base": [],
    "relay/wire": ["relay/base"],
    "relay/options": ["relay/base"],
    "relay/sse": ["relay/base", "relay/wire"],
    "relay/redis": ["relay/base"],
    "relay/bus": ["relay/base", "relay/wire", "relay/sse", "relay/redis", "relay/auth/bars.h"],
    "relay/hub": ["relay/base", "relay/wire", "relay/sse", "relay/bus/message.h"],
    "relay/auth": ["relay/base", "relay/wire"],
    "relay/jwks": ["relay/base"],
    "relay/http": ["relay/base", "relay/wire", "relay/sse", "relay/hub", "relay/auth"],
    "relay/admin": ["relay/base", "relay/bus/bus_metrics.h", "relay/hub/hub_metrics.h", "relay/http/http_metrics.h",
                    "relay/jwks/jwks_metrics.h"],
    "relay/config": ["relay/base", "relay/wire", "relay/redis", "relay/options", "relay/auth/pattern.h"],
    "relay/embedded": ["relay/base"],
    # The wiring, the files right in relay/, knows every room.
    "relay": [f"relay/{room}" for room in ("base", "wire", "sse", "redis", "bus", "hub", "auth", "jwks", "http", "admin",
                                         "options", "config", "embedded")],
    # sse-publish, which of the relay may know these three rooms alone.
    "publisher-cli/base": ["relay/base", "relay/wire", "relay/redis/url.h"],
    "publisher-cli/options": ["relay/base", "relay/wire", "relay/redis", "relay/options", "relay/auth/pattern.h",
                              "publisher-cli/base"],
    "publisher-cli/input": ["relay/base", "relay/wire", "publisher-cli/options"],
    "publisher-cli/publish": ["relay/base", "relay/wire", "relay/redis", "publisher-cli/base", "publisher-cli/options",
                              "publisher-cli/input"],
    "publisher-cli/tail": ["relay/base", "relay/wire", "publisher-cli/base", "publisher-cli/options"],
    "publisher-cli/token": ["relay/base", "relay/wire", "relay/auth", "publisher-cli/base", "publisher-cli/options"],
    "publisher-cli/inspect": ["relay/base", "relay/wire", "relay/redis", "publisher-cli/base",
                              "publisher-cli/options"],
    "publisher-cli": ["relay/base", "relay/wire", "relay/options", *(f"publisher-cli/{room}" for room in (
        "base", "options", "publish", "tail", "token", "inspect"))],
}

# A library's headers -> the rooms, or single files without their ending, that may include them.
LIBRARIES = {
    r"uv\.h|uv/.*": ["relay/base", "relay/redis", "relay/bus/bus", "relay/jwks/source", "relay/http", "relay/admin", "relay/embedded",
                     "relay", "publisher-cli/options", "publisher-cli/input", "publisher-cli/publish",
                     "publisher-cli/tail", "publisher-cli/token", "publisher-cli/inspect"],
    r"jansson\.h": ["relay/wire", "relay/auth", "relay/config/file", "publisher-cli/tail"],
    r"hiredis\.h|hiredis/.*|sds\.h|read\.h": ["relay/redis"],
    r"curl/.*": ["relay/jwks/get", "publisher-cli/tail"],
    r"llhttp\.h|nghttp2/.*": ["relay/http"],
    r"openssl/.*": ["relay/redis", "relay/auth", "relay/http", "relay/health_check"],
    r"sys/socket\.h|sys/un\.h|netinet/.*|netdb\.h": [
        "relay/base", "relay/redis", "relay/http", "relay/admin", "relay/config", "relay/embedded", "relay"],
    r"cmocka\.h": [],
}

# Files of a room, without their ending -> headers of it that they may not include: whoever serves a request cannot ask
# which protocol brought it.
APART = {r"relay/http/(?:route|sse|post|access|respond|exchange|client_address|request|fields|origin|query|start)":
         r"relay/http/(?:h\d\w*|conn|transport|server)\.h"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def room_of(path):
    """relay/hub/topic.c is of relay/hub, relay/app.c of relay."""
    return str(pathlib.PurePosixPath(path).parent)


def may_include(path, header):
    """Whether the file may include that header of ours."""
    file = str(pathlib.PurePosixPath(path).with_suffix(""))
    if any(re.fullmatch(files, file) and re.fullmatch(headers, header) for files, headers in APART.items()):
        return False
    allowed = ROOMS[room_of(path)]
    return room_of(header) in (room_of(path), *allowed) or header in allowed


def may_use(path, header):
    """Whether the file may include that header in angle brackets."""
    for pattern, users in LIBRARIES.items():
        if re.fullmatch(pattern, header):
            return room_of(path) in users or str(pathlib.PurePosixPath(path).with_suffix("")) in users
    return True


def check_include(root, path, mark, header):
    """What is wrong with one include, or None."""
    if mark == "<":
        if not may_use(path, header):
            return f"{room_of(path)} may not know <{header}>"
    elif not (root / header).is_file():
        return f'"{header}" is not a file, seen from the root of the tree'
    elif not header.endswith(".h"):
        return f'"{header}" is no header'
    elif not may_include(path, header):
        who = path if room_of(header) == room_of(path) else room_of(path)
        return f'{who} may not know "{header}"'
    return None


def check_guard(path, text):
    """What is wrong with a header's include guard, or None."""
    parts = pathlib.PurePosixPath(path).with_suffix("").parts
    name = "_".join(parts).upper().replace("-", "_") + "_H"
    if not re.search(rf"^#ifndef {name}\n#define {name}$", text, re.MULTILINE):
        return f"wants the include guard {name}"
    return None


def check_table(rooms):
    """Rooms that know each other in a circle: there is no order to read them in."""
    problems, state = [], {}

    def visit(room, trail):
        if state.get(room) == "done":
            return
        if room in trail:
            problems.append("the table goes in a circle: " + " -> ".join([*trail[trail.index(room):], room]))
            return
        for other in rooms.get(room, []):
            visit(room_of(other) if other.endswith(".h") else other, [*trail, room])
        state[room] = "done"

    for room in rooms:
        visit(room, [])
    return problems


def check(root=ROOT):
    """Every problem in the tree, as `file:line: sentence`."""
    problems = check_table(ROOMS)
    files = [f for top in ("relay", "publisher-cli") for f in (root / top).rglob("*.[ch]")]
    for file in sorted(files):
        path = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8")
        if room_of(path) not in ROOMS:
            problems.append(f"{path}:1: {room_of(path)} is not a room of the table")
            continue
        if path.endswith(".h") and (wrong := check_guard(path, text)):
            problems.append(f"{path}:1: {wrong}")
        for number, line in enumerate(text.splitlines(), 1):
            if found := INCLUDE.match(line):
                if wrong := check_include(root, path, *found.groups()):
                    problems.append(f"{path}:{number}: {wrong}")
    return problems


if __name__ == "__main__":
    found = check(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    print("\n".join(found) or "layers: ok")
    sys.exit(bool(found))
