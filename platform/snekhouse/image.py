"""The image: a Dockerfile rendered from a registry, with a stage for each interpreter."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2

from snekhouse.assets import templates
from snekhouse.errors import Problem, RegistryError
from snekhouse.registry.build import Build
from snekhouse.registry.models import Registry, Runtime

_PYTHONS = "/snekbin/python"

_JIT = "--enable-experimental-jit"

_LLVM = {(3, 13): 18, (3, 14): 19, (3, 15): 21}
"""The LLVM release that builds the JIT compiler of each CPython release (its Tools/jit/README.md)."""


@dataclass(frozen=True, slots=True)
class BuildStage:
    """The stage that builds one interpreter.

    Attributes:
        name: Its name.
        runtime: Name of the runtime and of its folder.
        build: The interpreter to build.
        llvm: The release of LLVM that it needs; None if it needs none.
    """

    name: str
    runtime: str
    build: Build
    llvm: int | None

    @property
    def folder(self) -> str:
        """The folder of the interpreter in the image."""
        return f"{_PYTHONS}/{self.runtime}"


def render_dockerfile(registry: Registry) -> str:
    """Render the Dockerfile of a registry.

    Raises:
        RegistryError: A runtime cannot be built, or no runtime has a table `build`.
    """
    stages = _stages(registry)
    if not stages:
        remedy = 'add [runtimes."NAME".build] with version and sha256, or with image'
        message = "no runtime has a build table, so the image would have no interpreter"
        raise RegistryError([Problem(registry.source, "runtimes", message, remedy)])
    default = next((stage for stage in stages if stage.runtime == registry.default), None)
    return (
        templates("docker", finalize=_quote, trim_blocks=True, lstrip_blocks=True)
        .get_template("Dockerfile.jinja")
        .render(
            source=registry.source.rpartition("/")[2],
            stages=[stage for stage in stages if not stage.build.image],
            images=[stage for stage in stages if stage.build.image],
            llvms=sorted({stage.llvm for stage in stages if stage.llvm}),
            default=default.folder if default else None,
        )
    )


def _stages(registry: Registry) -> list[BuildStage]:
    stages: list[BuildStage] = []
    problems: list[Problem] = []
    for runtime in registry.runtimes.values():
        if runtime.build is None:
            continue
        stage = BuildStage(_free_name(runtime, stages), runtime.name, runtime.build, _llvm(runtime.build))
        key = f'runtimes."{runtime.name}"'
        if not runtime.executable.startswith(f"{stage.folder}/"):
            message = f"{runtime.executable!r} is not below {stage.folder}, where its build installs the interpreter"
            problems.append(
                Problem(registry.source, f"{key}.executable", message, f'write "{stage.folder}/bin/python"')
            )
        if stage.llvm is None and _JIT in runtime.build.configure:
            known = ", ".join(f"{major}.{minor}" for major, minor in _LLVM)
            problems.append(
                Problem(
                    registry.source,
                    f"{key}.build",
                    "the JIT of this release cannot be built",
                    f"use a release of {known}",
                )
            )
        stages.append(stage)
    if problems:
        raise RegistryError(problems)
    return stages


def _free_name(runtime: Runtime, stages: Sequence[BuildStage]) -> str:
    """Return a free name for a runtime's stage, with only the characters that names of stages allow."""
    name = "python-" + re.sub(r"[^a-z0-9_.-]", "-", runtime.name.lower())
    return name if all(stage.name != name for stage in stages) else f"{name}-{len(stages)}"


def _llvm(build: Build) -> int | None:
    if _JIT not in build.configure or not build.version:
        return None
    major, minor = map(int, build.version.split(".")[:2])
    return _LLVM.get((major, minor))


_UNQUOTED = re.compile(r"[A-Za-z0-9_./:@+=-]+")


def _quote(value: object) -> str:
    """Write a value for a Dockerfile: names as they are, lists as JSON for the exec forms.

    Raises:
        ValueError: A Dockerfile cannot hold the value.
    """
    match value:
        case jinja2.Undefined():
            return str(value)  # StrictUndefined raises here, and names the variable
        case list() | tuple():
            return json.dumps(list(value))
        case str() | int() if _UNQUOTED.fullmatch(str(value)):
            return str(value)
        case _:
            raise ValueError(f"a Dockerfile cannot hold {value!r}")
