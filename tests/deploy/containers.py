"""Docker and Compose as the tests use them: the image that is shipped, and docker-compose.yml under a project name, ports and
volumes of its own. Nothing here installs or starts an engine: engine.sh does, where there is none.
"""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess

import harness

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = "sse-relay:test"
COMPOSE = (2, 24)  # the first whose `up --wait` passes over a service that did its work and ended


def docker(*args, timeout=600, check=True, **how):
    """What it said on standard output; with check=False, the finished process."""
    argv = ["docker", *(str(a) for a in args)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False, **how)
    if not check:
        return done
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout[-3000:]}{done.stderr[-6000:]}"
    return done.stdout.strip()


@functools.cache
def missing():
    """Why nothing can be run in containers here, or None."""
    if not shutil.which("docker"):
        return "docker is not installed (tests/deploy/engine.sh brings it)"
    engine = docker("info", "--format", "{{.ServerVersion}}", check=False, timeout=30)
    if engine.returncode != 0 or not engine.stdout.strip():
        return "no container engine answers `docker info` (tests/deploy/engine.sh starts one)"
    compose = docker("compose", "version", "--short", check=False)
    version = re.match(r"v?(\d+)\.(\d+)", compose.stdout)
    if not version or tuple(map(int, version.groups())) < COMPOSE:
        return f"Compose {COMPOSE[0]}.{COMPOSE[1]} or later is not installed"
    return None


def build(*args, image=IMAGE):
    """Make the image, as `make image` does; returns its id, which names every byte of it."""
    base = ["--build-arg", f"BASE={os.environ['BASE_IMAGE']}"] if "BASE_IMAGE" in os.environ else []
    settings = [f"IMAGE={image}", f"IMAGE_ARGS={' '.join([*base, *args])}"]
    argv = ["make", "--no-print-directory", "image", *settings]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    return inspect(image)["Id"]


def inspect(name):
    return json.loads(docker("inspect", name))[0]


class Deployment:
    """docker-compose.yml, as it is."""

    def __init__(self):
        self.project = f"sse-relay-test-{os.getpid()}"
        self.http, self.https, self.redis, self.prometheus = (harness.free_port() for _ in range(4))
        own = {"HTTP_PORT": self.http, "HTTPS_PORT": self.https, "REDIS_PORT": self.redis, "PROMETHEUS_PORT": self.prometheus}
        self.image = f"sse-relay:{self.project}"  # which Compose has to build, as for a newcomer
        own |= {"RELAY_IMAGE": self.image, "CERTIFICATE_IMAGE": f"{IMAGE}-certificate", "RELAY_DRAIN": "2s"}
        own |= {"COMPOSE_PROJECT_NAME": self.project}
        self.env = os.environ | {name: str(value) for name, value in own.items()}

    def __call__(self, *args, **how):
        return docker("compose", "--ansi", "never", *args, env=self.env, **how)

    def up(self, *args):
        """As a person would start it, and until all is well."""
        return self("--profile", "demo", "up", "--detach", "--wait", *args)

    def container(self, service, number=1):
        return f"{self.project}-{service}-{number}"

    def containers(self):
        """What was started, each inspected."""
        return [inspect(name) for name in self("ps", "--all", "--quiet").split()]

    def address(self, service, number=1, port=8080, network="relay"):
        """Of one container, as this machine reaches it beside the balancer."""
        networks = inspect(self.container(service, number))["NetworkSettings"]["Networks"]
        return networks[f"{self.project}_{network}"]["IPAddress"], port

    def wait_well(self, service, number=1):
        name = self.container(service, number)
        harness.wait_until(lambda: inspect(name)["State"].get("Health", {}).get("Status") == "healthy", f"{name} that is well")

    def down(self):
        self("--profile", "*", "down", "--volumes", "--timeout", "20")
        docker("image", "rm", self.image, check=False)
