"""Images and containers, made with Docker as deploy/README.md says."""

import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from command import snekhouse

ROOT = Path(__file__).parents[2]
README = (ROOT / "deploy" / "README.md").read_text()
NAME = "snekhouse-under-test"
_DOCKER = os.environ.get("DOCKER", "docker")
_CONTEXT = ("LICENSE", "README.md", "platform", "pyproject.toml", "runtimes", "templates", ".dockerignore")
_STARTING = 60.0


def docker(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run Docker's command line; what it says comes with the error when it fails."""
    done = subprocess.run([_DOCKER, *arguments], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"docker {shlex.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done


def build(registry: Path, folder: Path) -> str:
    """Build the image of a registry; return what the build printed.

    SNEKHOUSE_SOURCES names a folder to serve sources from, which is laid out as python.org's is.
    """
    for name in _CONTEXT:
        source = ROOT / name
        shutil.copytree(source, folder / name) if source.is_dir() else shutil.copy(source, folder / name)
    shutil.copy(registry, folder / "runtimes.toml")
    rendered = snekhouse("render", "dockerfile", "--registry", folder / "runtimes.toml")
    (folder / "Dockerfile").write_text(rendered.stdout)
    with _sources() as arguments:
        options = ("--progress", "plain", "--tag", NAME, "--build-arg", "OPTIMIZE=no", *arguments)
        env = {**os.environ, "DOCKER_BUILDKIT": "1"}
        done = subprocess.run(
            [_DOCKER, "build", *options, "."], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stderr


@contextmanager
def _sources() -> Iterator[Sequence[str]]:
    folder = os.environ.get("SNEKHOUSE_SOURCES")
    if not folder:
        yield ()
        return
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "--network", "host", "--build-arg", f"MIRROR=http://127.0.0.1:{server.server_port}"
        server.shutdown()


def documented(what: str) -> list[str]:
    """Read the flags of the README's `docker run` that names something; names, ports and volumes are the test's own."""
    shown = next(each for each in re.findall(r"(?s)    docker run (.*?)\n\n", README) if what in each)
    words = iter(shlex.split(shown.replace("\\\n", " "))[:-1])  # the image comes last
    flags: list[str] = []
    for flag in words:
        value = [] if flag == "--read-only" else [next(words).replace("seccomp=", f"seccomp={ROOT}/")]
        if flag not in {"--name", "-p"} and not (flag == "-v" and not value[0].startswith("/sys/")):
            flags += [flag, *value]
    return flags


@dataclass(frozen=True)
class Service:
    """A container that serves.

    Attributes:
        name: Its name.
        client: A client of it.
        registry: The file that it serves, on this machine.
    """

    name: str
    client: httpx.Client
    registry: Path

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", self.name).stdout)[0]
        return found

    @property
    def pid(self) -> int:
        """The server's process, as this machine numbers it."""
        return int(self.inspect()["State"]["Pid"])


@contextmanager
def running(name: str, registry: Path, flags: Sequence[str], volume: str = "") -> Iterator[Service]:
    """Run a container until the end.

    Args:
        name: Its name.
        registry: What it serves, in a folder that nothing else is in.
        flags: As `documented` reads them.
        volume: The name of one for its packages.
    """
    docker("rm", "--force", name, check=False)
    volumes = ["-v", f"{registry.parent}:/etc/snekhouse"] + (["-v", f"{volume}:/snekbox/user_base"] if volume else [])
    docker("run", "--detach", "--name", name, "-p", "127.0.0.1:0:8060", *flags, *volumes, NAME)
    try:
        port = docker("port", name, "8060").stdout.rpartition(":")[2].strip()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _await(name, client)
            yield Service(name, client, registry)
    finally:
        docker("rm", "--force", "--volumes", name)


def _await(name: str, client: httpx.Client) -> None:
    deadline = time.monotonic() + _STARTING
    while True:
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, docker("logs", name).stderr
        time.sleep(0.1)
