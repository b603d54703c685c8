"""The layer check finds what it is there to find."""

import pathlib

import layers
import pytest


def check_file(tmp_path, path, text):
    """The problems of a tree that holds one file beside the headers that exist to be included."""
    for header in ("relay/base/buf.h", "relay/hub/hub.h", "relay/bus/bus.h", "relay/bus/message.h", "relay/http/h1.h"):
        file = tmp_path / header
        file.parent.mkdir(parents=True, exist_ok=True)
        guard = header.upper().replace("/", "_").replace(".", "_")
        file.write_text(f"#ifndef {guard}\n#define {guard}\n#endif\n", encoding="utf-8")
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return layers.check(tmp_path)


@pytest.mark.parametrize("path, text, problem", [
    ("relay/base/x.c", '#include "relay/hub/hub.h"', 'relay/base/x.c:1: relay/base may not know "relay/hub/hub.h"'),
    ("relay/hub/x.c", '\n#  include "relay/bus/bus.h"', 'relay/hub/x.c:2: relay/hub may not know "relay/bus/bus.h"'),
    ("relay/hub/x.c", "#include <uv.h>", "relay/hub/x.c:1: relay/hub may not know <uv.h>"),
    ("relay/http/x.c", "#include <jansson.h>", "relay/http/x.c:1: relay/http may not know <jansson.h>"),
    ("relay/bus/x.c", "#include <hiredis/hiredis.h>", "relay/bus/x.c:1: relay/bus may not know <hiredis/hiredis.h>"),
    ("relay/hub/x.c", "#include <sys/socket.h>", "relay/hub/x.c:1: relay/hub may not know <sys/socket.h>"),
    ("relay/hub/x.c", '#include "hub.h"', 'relay/hub/x.c:1: "hub.h" is not a file, seen from the root of the tree'),
    ("relay/http/x.c", '#include "relay/http/x.c"', 'relay/http/x.c:1: "relay/http/x.c" is no header'),
    ("relay/http/sse.c", '#include "relay/http/h1.h"', 'relay/http/sse.c:1: relay/http/sse.c may not know "relay/http/h1.h"'),
    ("relay/attic/x.c", "", "relay/attic/x.c:1: relay/attic is not a room of the table"),
    ("relay/base/x-y.h", "#ifndef X_H\n#define X_H\n", "relay/base/x-y.h:1: wants the include guard RELAY_BASE_X_Y_H"),
])
def test_a_violation_is_named(tmp_path, path, text, problem):
    assert check_file(tmp_path, path, text) == [problem]


@pytest.mark.parametrize("path, text", [
    ("relay/hub/x.c", '#include "relay/bus/message.h"\n#include "relay/hub/hub.h"\n#include <stdlib.h>\n'),
    ("relay/config/file.c", "#include <jansson.h>\n"),
    ("relay/app.c", '#include "relay/hub/hub.h"\n#include <uv.h>\n'),
    ("relay/wire/x.c", "#include <jansson.h>\n"),
    ("relay/http/server.c", '#include "relay/http/h1.h"\n'),
])
def test_what_the_table_allows_passes(tmp_path, path, text):
    assert check_file(tmp_path, path, text) == []


def test_a_circle_in_the_table_is_named():
    assert layers.check_table({"relay/a": ["relay/b"], "relay/b": ["relay/a/x.h"]}) == [
        "the table goes in a circle: relay/a -> relay/b -> relay/a"]
    assert layers.check_table(layers.ROOMS) == []


def test_every_folder_of_the_table_exists():
    root = pathlib.Path(layers.ROOT)
    assert [room for room in layers.ROOMS if not (root / room).is_dir() and room != "relay/auth"] == []
