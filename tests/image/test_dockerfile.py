"""The Dockerfile: what the registry renders, and nothing that a registry says can be anything but a value in it."""

import difflib
import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from command import snekhouse
from snekhouse.errors import RegistryError
from snekhouse.image import render_dockerfile
from snekhouse.registry.loading import load, parse

_ROOT = Path(__file__).parents[2]
_IMAGE = _ROOT / "runtimes.toml"
_SHA256 = "0" * 64


def rendered(name: str, build: str, executable: str = "") -> str:
    executable = executable or f"/snekbin/python/{name}/bin/python"
    text = f'[runtimes."{name}"]\nexecutable = "{executable}"\n[runtimes."{name}".build]\n{build}\n'
    return render_dockerfile(parse(text.encode(), "runtimes.toml"))


def built(name: str, *configure: str, version: str = "3.14.6") -> str:
    return rendered(name, f'version = "{version}"\nsha256 = "{_SHA256}"\nconfigure = {json.dumps(configure)}')


def test_the_one_in_the_repository_is_what_the_registry_renders() -> None:
    assert (_ROOT / "Dockerfile").read_text() == snekhouse("render", "dockerfile", "-r", _IMAGE, cwd=_ROOT).stdout


def test_a_registry_may_have_any_name_that_ends_in_toml() -> None:
    dockerfile = render_dockerfile(parse(_IMAGE.read_bytes(), "folder/mine \u00e9.toml"))
    assert 'COPY ["mine \\u00e9.toml", "/etc/snekhouse/runtimes.toml"]' in dockerfile
    assert "!*.toml" in (_ROOT / ".dockerignore").read_text().splitlines()


def test_a_registry_that_builds_nothing_is_refused(small: Path) -> None:
    done = snekhouse("render", "dockerfile", "-r", small)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"snekhouse: {small}: runtimes: no runtime has a build table, so the image would have no interpreter; "
        'add [runtimes."NAME".build] with version and sha256, or with image\n'
    )


def test_one_more_runtime_is_one_more_stage_and_one_more_copy() -> None:
    before = render_dockerfile(load(_IMAGE))
    table = (
        '\n[runtimes."3.10"]\nexecutable = "/snekbin/python/3.10/bin/python"\n'
        f'[runtimes."3.10".build]\nversion = "3.10.20"\nsha256 = "{_SHA256}"\n'
    )
    after = render_dockerfile(parse(_IMAGE.read_bytes() + table.encode(), "runtimes.toml"))
    lines = [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-" and line[2:]]
    assert lines == [
        "+ # ---- 3.10",
        "+ FROM build AS python-3.10",
        "+ ARG MIRROR=https://www.python.org/ftp/python",
        "+ ARG OPTIMIZE=yes",
        "+ ARG JOBS=0",
        f'+ RUN ["build-python", "/snekbin/python/3.10", "3.10.20", "{_SHA256}"]',
        '+ COPY --from=python-3.10 ["/snekbin/python/3.10", "/snekbin/python/3.10"]',
    ]


def test_every_runtime_of_the_image_has_a_stage_of_its_own() -> None:
    text = (_ROOT / "Dockerfile").read_text()
    for name in load(_IMAGE).runtimes:
        assert re.search(rf"^FROM (?:build|llvm-\d+) AS python-{re.escape(name)}$", text, re.MULTILINE)
    assert 'RUN ["ln", "-s", "/snekbin/python/3.15", "/snekbin/python/default"]' in text


@pytest.mark.parametrize(("version", "llvm"), [("3.13.14", 18), ("3.14.6", 19), ("3.15.0", 21)])
def test_a_jit_has_the_llvm_that_its_release_asks_for(version: str, llvm: int) -> None:
    text = built("j", "--enable-experimental-jit", version=version)
    assert f"FROM build AS llvm-{llvm}" in text
    assert f"FROM llvm-{llvm} AS python-j" in text


def test_a_jit_of_a_release_that_has_none_is_refused() -> None:
    with pytest.raises(RegistryError, match=r"the JIT of this release cannot be built; .*3\.13, 3\.14, 3\.15"):
        built("j", "--enable-experimental-jit", version="3.12.13")


def test_an_interpreter_may_come_from_an_image() -> None:
    text = rendered("slim", 'image = "python:3.14-slim"')
    assert 'COPY --from=python:3.14-slim ["/usr/local", "/snekbin/python/slim"]' in text
    assert (
        "build-python" not in text.partition("# ---- the service")[0].partition("COPY runtimes")[2].partition("\n")[2]
    )


def test_an_executable_that_the_build_does_not_make_is_refused() -> None:
    with pytest.raises(RegistryError, match='write "/snekbin/python/x/bin/python"'):
        rendered("x", f'version = "3.14.6"\nsha256 = "{_SHA256}"', executable="/usr/bin/python3")


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        ("", "version: is missing; add it, or set image"),
        ('version = "3.14.6"', "sha256: is missing"),
        (f'image = "python:3"\nversion = "3.14.6"\nsha256 = "{_SHA256}"', "version: cannot be combined with image"),
        ('image = "python:3\\nRUN evil"', "is not the name of an image"),
        ('image = "--privileged"', "is not the name of an image"),
    ],
)
def test_a_build_that_makes_no_sense_is_refused(build: str, problem: str) -> None:
    with pytest.raises(RegistryError, match=problem):
        rendered("x", build)


@pytest.mark.parametrize("argument", ['"]\nRUN evil', "$(evil)", "`evil`", "a b", "\\", "'", '"', "é", "${BASE}"])
def test_an_argument_of_configure_stays_one(argument: str) -> None:
    text = built("x", argument)
    (line,) = [line for line in text.splitlines() if line.startswith('RUN ["build-python"')]
    assert json.loads(line.removeprefix("RUN "))[-1] == argument


def test_names_of_stages_are_what_docker_allows_and_none_is_twice() -> None:
    tables = "".join(
        f'[runtimes."{name}"]\nexecutable = "/snekbin/python/{name}/bin/python"\n'
        f'[runtimes."{name}".build]\nversion = "3.14.6"\nsha256 = "{_SHA256}"\n'
        for name in ("A", "a", "a+b")
    )
    text = render_dockerfile(parse(f'default = "a"\n{tables}'.encode(), "runtimes.toml"))
    stages = re.findall(r"AS (python-\S+)", text)
    assert stages == ["python-a", "python-a-1", "python-a-b"]
    assert re.findall(r"--from=(python-\S+)", text) == stages


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        ("requirements", lambda project: project["project"]["dependencies"]),
        ("build", lambda project: project["build-system"]["requires"]),
    ],
)
def test_the_image_has_dependencies_that_are_locked_and_are_those_asked_for(lock: str, asked: object) -> None:
    assert callable(asked)
    lines = (_ROOT / "platform" / f"{lock}.lock").read_text().replace("\\\n", " ").splitlines()
    assert all("--hash=sha256:" in line for line in lines)
    locked: dict[str, list[str]] = {}
    for line in lines:
        requirement = Requirement(line.partition(" --hash")[0])
        locked.setdefault(requirement.name, []).append(next(iter(requirement.specifier)).version)
    for text in asked(tomllib.loads((_ROOT / "pyproject.toml").read_text())):
        requirement = Requirement(text)
        assert all(version in requirement.specifier for version in locked[requirement.name])


def test_what_builds_an_interpreter_checks_the_source_before_it_is_unpacked() -> None:
    script = (_ROOT / "runtimes" / "build.sh").read_text()
    assert script.index("sha256sum --check --strict") < script.index("tar --extract")


def test_it_builds_for_the_machine_that_it_is_built_on() -> None:
    instructions = re.sub(r"(?m)^#.*$", "", (_ROOT / "Dockerfile").read_text())
    assert not re.search(r"x86|amd64|aarch64|arm64|--platform", instructions)
