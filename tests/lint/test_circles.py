"""No room holds files that call each other in a circle, and the check of it finds one."""

import os
import pathlib
import subprocess

import circles

BUILD = os.environ.get("BUILD", "build")


def compile_room(folder, **files):
    room = folder / "relay/http"
    room.mkdir(parents=True)
    for name, text in files.items():
        (room / f"{name}.c").write_text(text)
        subprocess.run(["cc", "-c", "-o", str(room / f"{name}.o"), str(room / f"{name}.c")], check=True)
    return folder


def test_no_files_of_a_room_call_each_other_in_a_circle():
    assert list(pathlib.Path(BUILD, "relay/http").glob("*.o")), f"{BUILD} holds no objects"
    assert circles.check(BUILD) == []


def test_a_circle_is_named(tmp_path):
    build = compile_room(tmp_path, a="void b(void); void a(void) { b(); }", b="extern int c; void b(void) { c = 1; }",
                         c="void a(void); int c; void d(void) { a(); }", e="void a(void); void e(void) { a(); }")
    assert circles.check(build, build) == ["relay/http: a, b, c call each other in a circle"]


def test_a_call_through_a_pointer_is_no_circle(tmp_path):
    build = compile_room(tmp_path, a="void b(void (*up)(void)); static void f(void) {} void a(void) { b(f); }",
                         b="void b(void (*up)(void)) { up(); }")
    assert circles.check(build, build) == []
