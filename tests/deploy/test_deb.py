"""`make deb`: the package as Debian builds it, what lintian says, and its life on a machine: installed, upgraded, purged."""

import re
import subprocess

import pytest

from harness import wait_until
from settings import ROOT, tool
from systemd_box import box

READY = ("curl", "-fsS", "http://127.0.0.1:9090/readyz")
QUICK = "/etc/systemd/system/sse-relay.service.d/quick.conf"
QUICK_FILES = {
    QUICK: b"[Service]\nEnvironmentFile=/etc/quick.env\n",
    "/etc/quick.env": b"SSE_RELAY_DRAIN_GRACE=0s\nSSE_RELAY_DRAIN=0s\n",
}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package, built from a copy of the sources."""
    if not tool("dh"):
        pytest.skip("dh is missing: it is in the package debhelper")
    build = tmp_path_factory.mktemp("build")
    done = subprocess.run(["sh", ROOT / "deploy/deb.sh", build], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    packages = list(build.glob("*.deb"))
    assert len(packages) == 1, packages
    return packages[0]


def field(package, name):
    return subprocess.run(["dpkg-deb", "--field", package, name], capture_output=True, text=True, check=True).stdout.strip()


def test_version(package):
    """It is the Makefile's, and stands in the file's name."""
    version = re.search(r"^VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.M)[1]
    assert field(package, "Version") == version
    assert package.name == f"sse-relay_{version}_{field(package, 'Architecture')}.deb"


def test_libraries(package):
    """It depends on the libraries that the programs are linked with, as dpkg-shlibdeps found them."""
    depends = field(package, "Depends")
    assert all(name in depends for name in ("libc6 (>=", "libuv1", "libhiredis", "libjansson4", "libnghttp2-14")), depends


def test_contents(package):
    """Both programs with their manuals and completions, the publish script and the page about it, the units, and the settings as a conffile."""
    listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    files = {line.split()[5].lstrip(".").removesuffix(".gz") for line in listed.splitlines()}
    wanted = {f"/usr/{where}" for program in ("sse-relay", "sse-publish") for where in (
        f"bin/{program}", f"share/bash-completion/completions/{program}", f"share/fish/vendor_completions.d/{program}.fish",
        f"share/zsh/vendor-completions/_{program}")}
    wanted |= {"/usr/share/sse-relay/publish.lua", "/usr/share/sse-relay/delete.lua", "/usr/share/sse-relay/kick.lua", "/usr/share/doc/sse-relay/contract.md"}
    wanted |= {"/usr/share/man/man8/sse-relay.8", "/usr/share/man/man1/sse-publish.1", "/etc/sse-relay/relay.env"}
    assert wanted <= files, wanted - files
    assert {file.rpartition("/")[2] for file in files if file.endswith(".service")} == {"sse-relay.service", "sse-relay@.service"}
    conffiles = subprocess.run(["dpkg-deb", "--info", package, "conffiles"], capture_output=True, text=True, check=True).stdout
    assert conffiles.split() == ["/etc/sse-relay/relay.env"]


def test_lintian(package):
    """Clean, its information included; but for overrides of what only other versions of lintian look for."""
    if not tool("lintian"):
        pytest.skip("lintian is missing")
    changes = next((package.parent / "deb").glob("*.changes"))
    done = subprocess.run(["lintian", "--allow-root", "--suppress-tags=alien-tag", "--display-info", "--fail-on=error,warning,info",
                           changes],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stdout.strip(), done.stdout + done.stderr


def test_life(package, tmp_path):
    """Installed, the relay runs and serves; a changed setting survives an upgrade, which restarts it; purged, nothing is left."""
    with box({"/var/tmp/sse-relay.deb": package} | QUICK_FILES, tmp_path) as machine:
        install = ("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--install", "/var/tmp/sse-relay.deb")
        ready = lambda: machine.run(*READY, check=False) == "ready"
        machine.run(*install)
        wait_until(ready, "readiness")
        assert machine.show("sse-relay", "UnitFileState") == "enabled"
        assert machine.run("stat", "--format=%a %U", "/etc/sse-relay/relay.env") == "600 root"
        assert machine.run("sse-publish", "deb", "hello")

        machine.run("sh", "-c", "echo SSE_RELAY_RETRY=5s >>/etc/sse-relay/relay.env")
        before = machine.show("sse-relay", "MainPID")
        machine.run(*install)
        wait_until(ready, "readiness")
        assert machine.show("sse-relay", "MainPID") != before and "RETRY=5s" in machine.run("cat", "/etc/sse-relay/relay.env")

        files = machine.run("dpkg", "--listfiles", "sse-relay").split("\n")
        machine.run("dpkg", "--purge", "sse-relay")
        assert machine.show("sse-relay", "ActiveState") == "inactive"
        ours = [file for file in files if "sse-relay" in file or "sse-publish" in file]
        assert len(ours) > 10
        left = [file for file in ours if machine.run("sh", "-c", f"test -e '{file}' && echo there", check=False)]
        assert left == []
