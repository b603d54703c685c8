"""deploy/Dockerfile: what is in the image, and what is not, and that it runs with nothing but itself."""

import json
import re
import subprocess
import tarfile
import urllib.parse

import pytest

import containers
import harness
from containers import IMAGE, ROOT, build, docker, inspect
from sse import Stream

LIMIT = 25_000_000  # bytes, unpacked
BY_THE_ENGINE = re.compile(r"/(dev|proc|sys|etc/(hosts|hostname|resolv\.conf|mtab)|\.dockerenv)(/|$)|/(etc)?$")
EPOCH = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def makefile_version():
    return re.search(r"^VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.M)[1]


@pytest.fixture(scope="module")
def image():
    if reason := containers.missing():
        pytest.skip(reason)
    build()
    return inspect(IMAGE)


@pytest.fixture(scope="module")
def files(image, tmp_path_factory):
    """What is in the image, by path: (what tar knows of it, its bytes)."""
    name = docker("create", IMAGE)
    archive = tmp_path_factory.mktemp("image") / "files.tar"
    docker("export", "--output", archive, name)
    docker("rm", name)
    with tarfile.open(archive) as tar:
        found = {f"/{m.name}": (m, tar.extractfile(m).read() if m.isfile() else b"") for m in tar}
    return {path: entry for path, entry in found.items() if not BY_THE_ENGINE.match(path)}


@pytest.fixture
def run():
    """A function that starts a container without any right; it is gone after the test."""
    started = []

    def start(*args, command=()):
        confined = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "64", "-m", "128m"]
        started.append(docker("run", "--detach", *confined, *args, IMAGE, *command))
        return started[-1]

    yield start
    for name in started:
        docker("rm", "--force", name)


def test_an_image_that_was_not_made_by_make_knows_its_version():
    assert f"ARG VERSION={makefile_version()}\n" in (ROOT / "deploy/Dockerfile").read_text()


def test_the_same_commit_is_the_same_image(image):
    assert build("--no-cache") == image["Id"]


def test_it_is_small(image):
    print(f"{image['Size']} bytes")
    assert image["Size"] <= LIMIT


def test_it_says_what_it_is(image):
    config = image["Config"]
    version = makefile_version()
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items()}
    assert (labels["title"], labels["version"], labels["revision"], labels["licenses"]) == ("sse-relay", version, head, "MIT")
    assert config["User"] == "10001:10001" and set(config["ExposedPorts"]) == {"8080/tcp", "9090/tcp"}
    assert docker("run", "--rm", IMAGE, "--version") == f"sse-relay {version}"
    assert docker("run", "--rm", "--entrypoint", "sse-publish", IMAGE, "--version") == f"sse-publish {version}"


def test_there_is_nothing_else_to_run(files):
    programs = {path for path, (entry, _) in files.items() if entry.isfile() and entry.mode & 0o111 and ".so" not in path}
    assert programs == {"/usr/bin/sse-relay", "/usr/bin/sse-publish"}
    assert not [path for path, (entry, _) in files.items() if entry.mode & 0o6000]


def test_files_carry_the_time_of_the_commit(files):
    assert {entry.mtime for entry, _ in files.values()} == {int(EPOCH)}


def test_the_list_of_parts_is_complete(files, image):
    parts = json.loads(files["/usr/share/sbom/sse-relay.spdx.json"][1])
    assert parts["spdxVersion"] == "SPDX-2.3" and parts["name"] == f"sse-relay-{image['Config']['Labels']['org.opencontainers.image.version']}"
    packages = {p["name"]: p for p in parts["packages"]}
    known = {p["SPDXID"] for p in parts["packages"]} | {"SPDXRef-DOCUMENT"}
    assert all(re.fullmatch(r"SPDXRef-[a-zA-Z0-9.-]+", each) for each in known) and len(known) == len(packages) + 1
    links = [(r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in parts["relationships"]]
    assert {element for a, _, b in links for element in (a, b)} == known
    # What scanners read is the same.
    status = [content.decode() for path, (_, content) in files.items() if path.startswith("/var/lib/dpkg/status.d/") and content]
    installed = {re.search(r"^Package: (.*)$", s, re.M)[1]: re.search(r"^Version: (.*)$", s, re.M)[1] for s in status}
    assert {name: p["versionInfo"] for name, p in packages.items() if name != "sse-relay"} == installed
    for name, package in packages.items():
        for reference in package.get("externalRefs", ()):
            locator = urllib.parse.unquote(reference["referenceLocator"])
            assert re.match(rf"pkg:deb/\w+/{re.escape(name)}@{re.escape(package['versionInfo'])}\?arch=\w+&distro=", locator)
    # Every library has its package, and the licence of each is there.
    libraries = [path for path, (entry, _) in files.items() if ".so" in path and entry.isfile()]
    assert len(libraries) > 10 and {"libc6", "ca-certificates", "uthash-dev"} <= set(packages)
    assert {"/usr/share/doc/sse-relay/LICENSE", "/usr/share/doc/sse-relay/LICENSES-OF-PARTS.gz"} <= set(files)


def test_the_list_of_parts_can_be_had_alone(files, tmp_path):
    docker("build", "--file", "deploy/Dockerfile", "--target", "sbom", "--output", tmp_path, "--build-arg",
           f"SOURCE_DATE_EPOCH={EPOCH.strip()}", ".")  # fmt: skip
    (found,) = tmp_path.iterdir()
    assert found.name == "sse-relay.spdx.json"
    assert found.read_bytes() == files["/usr/share/sbom/sse-relay.spdx.json"][1]


def test_its_health_is_told_by_itself(image, run):
    """Without Redis it is alive and not ready; asked to end, it ends well."""
    name = run("--network", "none", "--health-interval", "1s", "--env", "SSE_RELAY_DRAIN_GRACE=0s")
    harness.wait_until(lambda: inspect(name)["State"]["Health"]["Status"] == "healthy", "health")
    assert docker("exec", name, "/usr/bin/sse-relay", "--check-health") == "ok"
    ready = docker("exec", name, "/usr/bin/sse-relay", "--check-ready", check=False)
    assert ready.returncode == 1 and "503" in ready.stderr
    assert docker("exec", name, "sh", check=False).returncode != 0
    docker("stop", name)
    assert inspect(name)["State"]["ExitCode"] == 0


def test_the_told_stop_timeout_is_enough(image, run):
    """`docker stop` drains a relay that was started as the page says, with a stream on it, and does not kill it."""
    told = re.search(r"^    docker run .*(--stop-timeout \d+)", (ROOT / "deploy/containers.md").read_text(), re.M)[1]
    name = run(*told.split())
    address = inspect(name)["NetworkSettings"]["IPAddress"]
    harness.wait_until(lambda: docker("exec", name, "/usr/bin/sse-relay", "--check-health", check=False).returncode == 0, "health")
    with Stream((address, 8080), "/sse?topic=a") as stream:
        docker("stop", name)
        stream.read_until(lambda: stream.ended)
    assert inspect(name)["State"]["ExitCode"] == 0


def test_certificates_and_name_look_ups_work_in_it(image):
    """`sse-publish tail` gets as far as one can without a network."""
    tail = ["run", "--rm", "--network", "none", "--read-only", "--entrypoint", "sse-publish", IMAGE, "tail", "a", "--timeout", "1s", "--url"]
    done = docker(*tail, "https://localhost:1", check=False)
    assert done.returncode == 3 and "onnect" in done.stderr, done.stderr
    done = docker(*tail, "https://relay.example", check=False)
    assert done.returncode == 3 and "resolve" in done.stderr, done.stderr
