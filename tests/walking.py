"""Take the steps of a page, in a clone of the repository: `python walking.py CLONE PAGE`.

To be started in a network, mount and PID namespace of its own, as their root: the port of the pages is free there, what
they change below /etc, /srv and /var/lib is gone afterwards, and so is every process.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import tomli_w

from pages import Step, read_page
from roots import make_root
from wheels import make_wheel

_TOKEN = "a-token-for-the-pages"
_SERVERS = re.compile(r"^(make serve|\.venv/bin/snekhouse serve)\b", re.MULTILINE)
_COMMAND_S = 60.0
_STARTING_S = 60.0
_CHANGED = ("/etc", "/srv")


class Reader:
    """Somebody who takes the steps, in a shell whose exported variables stay.

    Args:
        clone: The folder in which the commands run.
        scratch: A folder for what is not of the clone.
    """

    def __init__(self, clone: Path, scratch: Path) -> None:
        self._clone = clone
        self._variables = scratch / "variables"
        self._variables.touch()
        self._log = scratch / "log"
        self._server: subprocess.Popen[bytes] | None = None
        self._output = ""
        self._logged = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def take(self, step: Step) -> None:
        """Do what a step says, or look for what it shows."""
        if step.kind in {"append", "command"} and self._server:
            self._logged = self._log.stat().st_size
        if step.kind == "append":
            with (self._clone / step.file).open("a") as file:
                file.write("\n" + step.texts[0])
        elif step.kind == "output":
            assert shows(self._output, step), f"not in the output: {step.texts}\n{self._output}"
        elif step.kind == "log":
            self._await_log(step.texts)
        elif step.reason is None:
            self.run(step.texts[0], step.exit_codes)

    def run(self, commands: str, exit_codes: tuple[int, ...] = (0,)) -> None:
        """Run commands to their end, or a server until the next one, or the end of the page."""
        if _SERVERS.search(commands):
            assert len(commands.splitlines()) == 1, "a server needs a block of its own"
            self._serve(commands)
            return
        script = f"set -eo pipefail\n. {self._variables}\n{commands}\nexport -p > {self._variables}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._clone,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_COMMAND_S,
        )
        self._output = done.stdout.decode()
        assert done.returncode in exit_codes, f"exit code {done.returncode}:\n{self._output}"

    def stop(self) -> None:
        """Stop the server, as Ctrl-C does."""
        if self._server is None:
            return
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(self._server.pid, signal.SIGINT)
        self._server.wait(timeout=30)
        self._server = None

    def _serve(self, command: str) -> None:
        self.stop()
        self._logged = 0
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["bash", "-c", f". {self._variables}\n{command}"],
                cwd=self._clone,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._await_log(("Running on",))

    def _await_log(self, texts: tuple[str, ...]) -> None:
        deadline = time.monotonic() + _STARTING_S
        while not all(text in (log := self._log.read_bytes()[self._logged :].decode()) for text in texts):
            assert self._server is not None, "no server runs"
            waiting = self._server.poll() is None and time.monotonic() < deadline
            assert waiting, f"not in the log: {texts}\n{log}"
            time.sleep(0.05)


def shows(output: str, step: Step) -> bool:
    """Tell whether an output is what a page shows: an abridged object of JSON, or text in which ``...`` stands for any."""
    if step.language == "json":
        return _agrees(json.loads(step.texts[0]), json.loads(output))
    return all(_pattern(text).search(_dense(output)) for text in step.texts)


def _agrees(shown: object, actual: object, *, measured: bool = False) -> bool:
    if isinstance(shown, dict) and isinstance(actual, dict):
        return all(
            key in actual and _agrees(value, actual[key], measured=measured or key == "usage")
            for key, value in shown.items()
        )
    if isinstance(shown, list) and isinstance(actual, list):
        return len(shown) == len(actual) and all(map(_agrees, shown, actual))
    return isinstance(shown, int | float) and isinstance(actual, int | float) if measured else shown == actual


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*?".join(re.escape(part) for part in _dense(text).split("...")), re.DOTALL)


def _dense(text: str) -> str:
    """Leave out white space: pages break and indent what commands print on one line."""
    return re.sub(r"\s", "", text)


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def _overlay(place: Path, below: Path, scratch: Path) -> None:
    """Mount a folder where changes to it are kept apart from it."""
    upper, work = (scratch / "layers" / place.as_posix().replace("/", "-") / name for name in ("upper", "work"))
    upper.mkdir(parents=True)
    work.mkdir()
    place.mkdir(parents=True, exist_ok=True)
    _mount("-t", "overlay", "overlay", "-o", f"lowerdir={below},upperdir={upper},workdir={work}", place)


def _few(registry: Path) -> None:
    """Leave one runtime in a registry, the one that pages call 3.12, whatever version it is: probing all takes long."""
    document: dict[str, Any] = tomllib.loads(registry.read_text())
    runtimes: dict[str, Any] = document["runtimes"]
    runtime = runtimes.get("3.12", runtimes[document["default"]])
    registry.write_text(tomli_w.dumps({**document, "default": "3.12", "runtimes": {"3.12": runtime}}))


def _prefix(clone: Path, scratch: Path) -> None:
    """Have an interpreter in /srv/python/3.12, whatever version it is, that finds its libraries although it was moved."""
    everything = scratch / "everything.toml"
    command = [".venv/bin/snekhouse", "runtimes", "discover", "--output", str(everything)]
    subprocess.run(command, cwd=clone, capture_output=True, check=True)
    executables = [Path(table["executable"]) for table in tomllib.loads(everything.read_text())["runtimes"].values()]
    executable = next(each for each in executables if "libpython" not in _loaded(each))
    place = Path("/srv/python/3.12")
    _overlay(place, executable.parents[1], scratch)
    named = place / "bin/python3.12"
    if not named.exists():
        named.symlink_to(executable.name)


def _loaded(executable: Path) -> str:
    return subprocess.run(["ldd", executable], capture_output=True, text=True, check=True).stdout


def _root(registry: Path) -> None:
    """Have a root file system in /srv/sid, whose interpreter is called 3.15, whatever version it is."""
    document: dict[str, Any] = tomllib.loads(registry.read_text())
    root = make_root(Path("/srv/sid"), Path(document["runtimes"]["3.12"]["executable"]))
    (root / "usr/bin").mkdir()
    (root / "usr/bin/python3.15").symlink_to("/usr/local/bin/python3")


def _wheels(scratch: Path) -> None:
    """Have numpy and pandas where uv looks for packages: small ones of those names, since there is no network."""
    folder = scratch / "wheels"
    folder.mkdir()
    for name, version in (("numpy", "2.3.4"), ("pandas", "2.3.3")):
        code = {f"{name}.py": f"__version__ = {version!r}\n"}
        make_wheel(folder, name, version, ["numpy"] if name == "pandas" else [], files=code)
    os.environ |= {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(folder)}


def _prepare(reader: Reader, clone: Path, scratch: Path, given: tuple[str, ...]) -> None:
    registry = clone / "runtimes.local.toml"
    for each in given:
        if each == "registry":
            reader.run(".venv/bin/snekhouse runtimes discover")
            _few(registry)
        elif each == "admin token":
            os.environ["SNEKHOUSE_ADMIN_TOKEN"] = _TOKEN
        elif each == "server":
            reader.run(".venv/bin/snekhouse serve --registry runtimes.local.toml")
        elif each == "/srv/python/3.12":
            _prefix(clone, scratch)
        elif each == "/etc/snekhouse/runtimes.toml":
            Path("/etc/snekhouse").mkdir(exist_ok=True)
            Path("/etc/snekhouse/runtimes.toml").write_text(registry.read_text())
        elif each == "/srv/sid":
            _root(registry)
        elif each == "wheels":
            _wheels(scratch)
        else:
            raise ValueError(f"a page is given {each!r}, which this test does not know")


def main(clone: Path, path: Path) -> None:
    """Take the steps of a page; say on standard error which step fails, and end with 1."""
    scratch = clone.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "tmpfs", scratch)
    scratch.chmod(0o755)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for place in map(Path, _CHANGED):
        _overlay(place, place, scratch)
    _mount("-t", "tmpfs", "tmpfs", "/var/lib")
    # Without those of a home, a machine has few interpreters, which takes less time.
    os.environ |= {"HOME": str(scratch), "PYENV_ROOT": str(scratch / "pyenv")}
    page = read_page(path)
    with ExitStack() as stack:
        reader = stack.enter_context(Reader(clone, scratch))
        _prepare(reader, clone, scratch, page.given)
        for step in page.steps:
            try:
                reader.take(step)
            except AssertionError as wrong:
                sys.exit(f"{path}:{step.line}: {step.texts[0]}\n{wrong}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
