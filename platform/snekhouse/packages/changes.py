"""Changes to the packages of a runtime: uv changes a copy of them in a jail, and the copy then replaces them."""

import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from snekhouse.errors import PackagesError
from snekhouse.evaluation import Result, Status
from snekhouse.packages.inputs import Inputs
from snekhouse.packages.jail import InstallJail, Workplace, find_site, workplace
from snekhouse.packages.requirements import Reader
from snekhouse.packages.site import Site, installed
from snekhouse.packages.stage import CACHE, Stage, staged
from snekhouse.registry.mistakes import nearest
from snekhouse.registry.models import Mount, Registry, Runtime

_TRUE = {"1", "true", "t", "yes", "y", "on"}
"""Values of a variable that uv reads as true."""

_NEEDS_BUILD = re.compile(r"no usable wheels|Building source distributions|building from source is disabled")
"""uv's messages for a package that has only a source distribution."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes to the packages of a runtime.

    Attributes:
        registry: The registry of the runtime.
        runtime: The runtime.
        say: Prints a line of uv's output.
    """

    registry: Registry
    runtime: Runtime
    say: Callable[[str], None]

    async def install(self, requirements: Sequence[str]) -> None:
        """Install packages, or change their versions.

        Args:
            requirements: In pip's syntax (PEP 508): ``numpy``, ``numpy>=2``, the path of a wheel.

        Raises:
            HostError: This host cannot build a jail.
            PackagesError: uv failed; `say` has printed its output.
        """
        async with self._changing() as change:
            given = change.reader.requirements(requirements)
            await change.uv("install", ["install", *change.target, *change.sources, "-r", given])

    async def remove(self, names: Sequence[str]) -> None:
        """Remove packages, but not their dependencies.

        Raises:
            HostError: This host cannot build a jail.
            PackagesError: A package is not installed, or uv failed; `say` has printed its output.
        """
        async with self._changing() as change:
            _check_installed(names, change.site, self.runtime)
            await change.uv("uninstall", ["uninstall", *change.target, "--", *names], network=False)

    async def sync(self, requirements: Path) -> None:
        """Install exactly the packages of a requirements file and their dependencies; remove all others.

        Args:
            requirements: A file in pip's format.

        Raises:
            HostError: This host cannot build a jail.
            PackagesError: uv failed; `say` has printed its output.
        """
        async with self._changing() as change:
            given = change.reader.file(requirements)
            # Not `uv pip sync`: it needs a resolved file, which would lose the file's indexes and hashes.
            await change.uv("sync", ["install", "--exact", "--upgrade", *change.target, *change.sources, "-r", given])

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator["_Change"]:
        """Yield a copy of the packages to change. Then replace the packages with the copy, unless the change failed."""
        site = await find_site(self.registry, self.runtime)
        async with workplace(self.registry, self.runtime) as place:
            with staged(site, place.owner) as stage:
                change = _Change(self, site, place, stage, Inputs(stage.given, Path.cwd()))
                yield change
                stage.drop_old_bytecode()
                await change.jail().compile(site.inside)
                for path in stage.publish():
                    self.say(f"left out {path}: it is not a regular file")
                self.say(f"the packages of {self.runtime.name} are in {site.folder}")


def _check_installed(names: Sequence[str], site: Site, runtime: Runtime) -> None:
    known = [canonicalize_name(package.name) for package in installed(site.folder)]
    for name in names:
        if canonicalize_name(name) not in known:
            remedy = nearest(canonicalize_name(name), known, f"see snekhouse packages list {runtime.name}")
            raise PackagesError(f"{runtime.name} has no package {name!r}, and nothing was removed; {remedy}")


@dataclass(frozen=True, slots=True)
class _Change:
    """A change in progress."""

    of: Changes
    site: Site
    place: Workplace
    stage: Stage
    inputs: Inputs

    @property
    def reader(self) -> Reader:
        return Reader(self.inputs, self._builds, self._remedy)

    @property
    def target(self) -> list[str]:
        python = ["--no-config", "--no-python-downloads", "--python", self.of.runtime.executable]
        return [*python, "--target", str(self.site.inside)]

    @property
    def sources(self) -> list[str]:
        policy = [] if self._builds else ["--only-binary", ":all:"]
        return [*policy, "--no-compile-bytecode", "--link-mode", "hardlink"]

    async def uv(self, name: str, command: Sequence[str], *, network: bool = True) -> None:
        """Run uv in the jail, and print its output."""
        offline = os.environ.get("UV_OFFLINE", "").lower() in _TRUE
        result = await self.jail().uv(command, network=network and not offline)
        for line in result.stdout.splitlines():
            self.of.say(line)
        if result.status is not Status.OK:
            raise PackagesError(self._why(name, result))

    def jail(self) -> InstallJail:
        base = Mount(source=str(self.stage.base), target=self.site.base.target, writable=True)
        cache = f"{self.site.base.target}/{CACHE}"
        env = {"UV_CACHE_DIR": cache, "UV_NO_PROGRESS": "1", **self.inputs.environment(os.environ)}
        return self.place.jail(self.of.runtime, [base, *self.inputs.mounts], env)

    @property
    def _builds(self) -> bool:
        return self.of.runtime.packages_build == "source"

    @property
    def _remedy(self) -> str:
        key = f'runtimes."{self.of.runtime.name}".packages_build'
        return f'name a wheel, or set {key} = "source", which builds in a jail with network'

    def _why(self, name: str, result: Result) -> str:
        if result.message:
            return f"uv could not {name}: {result.message}"
        if not self._builds and _NEEDS_BUILD.search(result.stdout):
            return f"uv could not {name}: there is no wheel for this runtime; {self._remedy}"
        return f"uv could not {name}; its output is above"
