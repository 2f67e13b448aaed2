"""What the pages tell their reader to type does what they say, in a fresh clone."""

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages import PAGES, ROOT, Page, Step, read_page
from walking import shows

_READ = [read_page(path.relative_to(ROOT)) for path in PAGES]
_WALKED = [page for page in _READ if any(step.kind == "command" and step.reason is None for step in page.steps)]
_NOT_RUN = [(page, step) for page in _READ for step in page.steps if step.reason is not None]
_ELSEWHERE = re.compile(r"^(docker|podman|kubectl|systemctl|systemd-run|skopeo|buildah)\b", re.MULTILINE)


@pytest.fixture(scope="module")
def clone() -> Iterator[Path]:
    """A clone, with what is not committed yet, whose `.venv` has the dependencies of the tests' own."""
    with tempfile.TemporaryDirectory(prefix="snekhouse-docs-") as folder:
        Path(folder).chmod(0o755)  # jails see interpreters of the clone without root's id
        clone = Path(folder) / "snekhouse"
        _git("clone", "--quiet", str(ROOT), str(clone), cwd=ROOT)
        if changes := _git("diff", "HEAD", "--binary", cwd=ROOT):
            _git("apply", "--index", stdin=changes, cwd=clone)
            _git(
                "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "-m", "Test", cwd=clone
            )
        _install(clone)
        yield clone


def _install(clone: Path) -> None:
    """Do what `make serve` does first, which would take half a minute, and a network."""
    venv.create(clone / ".venv", symlinks=True)
    (site,) = (clone / ".venv/lib").glob("python3*/site-packages")
    (site / "shared.pth").write_text(f"{clone / 'platform'}\n{sysconfig.get_path('purelib')}\n")
    command = clone / ".venv/bin/snekhouse"
    command.write_text(f"#!{clone}/.venv/bin/python\nimport sys\nfrom snekhouse.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    (clone / ".venv/.runtime").touch()


def _git(*arguments: str, cwd: Path, stdin: bytes = b"") -> bytes:
    return subprocess.run(["git", *arguments], cwd=cwd, input=stdin, capture_output=True, check=True).stdout


_NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Starts a command as process 1 of namespaces of its own: all that it starts ends with it."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give each page a network and an /etc of its own")
@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.path)) for page in _WALKED])
def test_every_command_of_a_page_does_what_the_page_says(page: Page, clone: Path) -> None:
    _git("checkout", "--quiet", ".", cwd=clone)
    _git("clean", "-fdxq", "--exclude", ".venv", "--exclude", "__pycache__", cwd=clone)
    walk = [*_NAMESPACES, sys.executable, str(ROOT / "tests/walking.py"), str(clone), str(page.path)]
    done = subprocess.run(walk, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "step"), [pytest.param(*each, id=f"{each[0].path}:{each[1].line}") for each in _NOT_RUN]
)
def test_commands_that_are_not_run_have_a_reason(page: Page, step: Step) -> None:
    assert re.fullmatch(r"(needs|takes) \S.+", step.reason or ""), f"{page.path}:{step.line}"


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.path)) for page in _WALKED])
def test_commands_of_other_machines_are_marked(page: Page) -> None:
    run = [step.texts[0] for step in page.steps if step.kind == "command" and step.reason is None]
    assert not [commands for commands in run if _ELSEWHERE.search(commands)]


@pytest.mark.parametrize(
    ("output", "language", "shown", "same"),
    [
        ('{"a":1,"usage":{"memory":5}}', "json", '{"usage": {"memory": 7}}', True),
        ('{"a":1,"usage":{"memory":null}}', "json", '{"usage": {"memory": 7}}', False),
        ('{"a":1,"b":[2]}', "json", '{"b": [2]}', True),
        ('{"a":1,"b":[2]}', "json", '{"b": [2, 3]}', False),
        ('{"a":1}', "json", '{"a": "1"}', False),
        ("one\ntwo three\n", "text", "one ... three", True),
        ("one\ntwo\n", "text", "one ... three", False),
        ('{"a":1}', "", '"a": 1', True),
    ],
)
def test_an_output_is_what_a_page_shows_but_for_measured_values(
    output: str, language: str, shown: str, same: bool
) -> None:
    assert shows(output, Step("output", 1, (shown,), language=language)) is same
