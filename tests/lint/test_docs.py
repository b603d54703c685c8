"""Documentation that points at something that is not there: links and their anchors, files in the tables of rooms, and the
stops of the tour in the README."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = {".git", "build", "node_modules", ".venv", ".pytest_cache"}
PAGES = sorted(page for page in ROOT.rglob("*.md") if not SKIPPED & set(page.relative_to(ROOT).parts))
ROOMS = sorted(page for page in PAGES if page.parent.parent == ROOT / "relay")


def prose(page):
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", h)).strip().lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), target


@pytest.mark.parametrize("page", ROOMS, ids=lambda page: page.parent.name)
def test_tables_of_rooms_name_their_files(page):
    """A room whose README has a table of files: each of them is there, and each source file is in the table."""
    table = re.search(r"^\| file \| (?:does|holds) \|\n\|---\|---\|\n(.*?)(?:\n\n|\Z)", page.read_text(), re.M | re.S)
    if not table:
        pytest.skip("it has no table of files")
    named = [name for cell in re.findall(r"^\| (.*?) \|", table[1], re.M) for name in re.findall(r"`([\w.]+)`", cell)]
    there = {file.name for file in page.parent.iterdir()}
    assert [name for name in named if not {name, f"{name}.h", f"{name}.c"} & there] == []
    stems = {name.partition(".")[0] for name in named}
    assert sorted(file.name for file in page.parent.glob("*.c") if file.stem not in stems) == []


def test_the_tour_goes_where_it_says():
    """Each stop is a function of the file that is named behind it."""
    tour = re.search(r"^To follow one event in the code.*?\n\n", (ROOT / "README.md").read_text(), re.M | re.S)[0]
    stops = re.findall(r"`(\w+)\(\)` in `([\w/.]+)`", tour)
    assert len(stops) >= 6, tour
    room = ROOT
    for function, name in stops:
        file = ROOT / name if "/" in name else room / name
        room = file.parent
        assert re.search(rf"^(?:static )?\w[\w *]*\b{function}\(", file.read_text(), re.M), (function, name)


def test_the_rooms_are_all_there():
    """The table of rooms in relay/README.md has each folder, and each file that stands beside them."""
    text = (ROOT / "relay/README.md").read_text()
    folders = {p.name for p in (ROOT / "relay").iterdir() if p.is_dir()}
    assert set(re.findall(r"^\| \[`(\w+)/`\]", text, re.M)) == folders
    files = {p.name for p in (ROOT / "relay").glob("*.c")}
    assert set(re.findall(r"`(\w+\.c)`", text)) >= files, files - set(re.findall(r"`(\w+\.c)`", text))
