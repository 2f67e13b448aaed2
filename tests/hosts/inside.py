"""What is done in the machine: each setting named on the command line is tried, and what was found is left as JSON."""

import dataclasses
import functools
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from hosts.found import Found
from hosts.remains import remains, server_pid
from hosts.settings import Setting, settings
from hosts.usage import evaluation_ms, measured
from snekhouse.errors import InterpreterError
from snekhouse.registry.discovery.interpreters import find_interpreters
from snekhouse.registry.discovery.writing import render_registry

_FUNCTIONS = Path(__file__).with_name("shell.sh")
_RESULTS = Path("/job/results")
_REGISTRY = Path("/etc/snekhouse/runtimes.toml")
_PORT = "8060"
_HOG = "x = bytearray(200 << 20)"
"""More than the 70 MiB of memory that a run has by default, and less than its address space."""
_HOGS = int(os.environ.get("SNEKHOUSE_TEST_HOGS", "1000"))
_START = "import asyncio, json, subprocess"
_PATIENCE_S = 30
_WALL_TIME_S = 6.0
"""The default, which tests of the contract expect."""
_POLL_S = 0.2
_CELL_TIME_S = 3.0
_WALLS_OF_SESSIONS = {"cgroup memory", "cgroup pids", "cgroup cpu"}
_TRIES = 5


def main() -> None:
    """Try settings one after the other."""
    known = settings()
    slowness = _slowness()
    print(f"this machine takes {slowness:.1f} times as long as the one around it", flush=True)
    for name in sys.argv[1:]:
        found = Trial(name, known[name], slowness).found()
        print(f"{name}: {json.dumps(dataclasses.asdict(found))}", flush=True)


def _slowness() -> float:
    """Measure how many times longer an interpreter takes to start here than around the machine."""
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", _START], check=True)
        times.append(time.perf_counter() - begin)
    return max(1.0, statistics.median(times) / float(os.environ["SNEKHOUSE_TEST_START_S"]))


@functools.cache
def _discovered() -> str:
    """Write a registry of the interpreters here, which may take a few tries where the machine is very slow."""
    for _ in range(_TRIES):
        with suppress(InterpreterError):
            return render_registry(find_interpreters(), allow_degraded_reason="some settings have not every wall")
    raise AssertionError("no interpreter of the machine answers")


class Trial:
    """One setting, and the server in it."""

    def __init__(self, name: str, setting: Setting, slowness: float) -> None:
        self._name = name
        self._setting = setting
        self._begin = time.monotonic()
        self._others = remains()
        self._slowness = slowness
        self._wall_time_s = round(_WALL_TIME_S * slowness, 1)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{_PORT}", timeout=60 * slowness)
        self._found = Found(slowness=slowness)

    def found(self) -> Found:
        """Try it; what fails ends the setting, and is part of what was found."""
        try:
            if self._setting.serves:
                self._serve()
                self._try_out()
            else:
                self._refuse()
        except (AssertionError, httpx.HTTPError, LookupError, ValueError) as error:
            self._found.failure = f"{type(error).__name__}: {error}"
        self._found.log = self._run(self._setting.log, check=False)[-6000:]
        self._run(self._setting.stop, check=False)
        self._run(self._setting.clear, check=False)
        self._found.seconds = time.monotonic() - self._begin
        return self._found

    def _try_out(self) -> None:
        for step in (self._survey, self._ask, self._exhaust, self._test, self._stop, self._kill):
            print(f"{self._name}: {step.__name__.strip('_')} at {time.monotonic() - self._begin:.0f} s", flush=True)
            step()

    def _refuse(self) -> None:
        """Start a server that must end instead of serving; what it says is in its log."""
        self._write_registry("fork")
        self._run(self._setting.start, check=False)
        self._survey()
        self._await(self._has_ended, what="the server to refuse")
        self._found.refused = True

    def _serve(self) -> None:
        self._write_registry("fork")
        self._run(self._setting.start)
        self._await(self._is_ready, what="the server")

    def _survey(self) -> None:
        walls = json.loads(self._run(self._setting.doctor, check=False))
        self._found.walls = {wall["name"]: (wall["stands"], wall["detail"]) for wall in walls}
        self._found.notes = {title: self._run(command) for title, command in self._setting.notes.items()}

    def _ask(self) -> None:
        self._found.evaluations = [self._evaluate("print(1)")["status"] for _ in range(2)]
        self._await(self._starts, "fork", what="evaluations to be forked")
        self._found.evaluations.append(self._evaluate("print(1)")["status"])
        if all(stands for wall, (stands, _) in self._found.walls.items() if wall in _WALLS_OF_SESSIONS):
            self._keep_a_session()
        if self._setting.measured:
            self._found.evaluation_ms = evaluation_ms(self._evaluate)
            self._found.usage = measured(self._evaluate)

    def _keep_a_session(self) -> None:
        """Check that a session keeps its state, goes back when a cell is killed, and branches."""
        made = self._client.post("/sessions", json={})
        assert made.status_code == httpx.codes.CREATED, made.text
        route = f"/sessions/{made.json()['id']}"
        self._run_cell(route, "x = 1", "kept")
        self._run_cell(route, "x = 2\nwhile True: pass", "rolled_back")
        assert self._run_cell(route, "x", "kept")["result"] == {"text": "1"}
        branch = f"/sessions/{self._client.post(f'{route}/branch').json()['id']}"
        assert self._run_cell(branch, "x", "kept")["result"] == {"text": "1"}
        for each in (route, branch):
            self._client.delete(each)

    def _run_cell(self, route: str, code: str, state: str) -> dict[str, Any]:
        response = self._client.post(f"{route}/eval", json={"input": code, "limits": {"wall_time": _CELL_TIME_S}})
        assert response.status_code == httpx.codes.OK, response.text
        answer: dict[str, Any] = response.json()
        assert answer["state"] == state, answer
        return answer

    def _exhaust(self) -> None:
        """Have guests run out of memory, two at a time; the server must be the same before and after."""
        before = self._metric("process_start_time_seconds")
        begin = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            ends = Counter(pool.map(lambda _: self._end_of(_HOG), range(_HOGS)))
        self._found.hogs, self._found.hog_seconds = dict(ends), time.monotonic() - begin
        self._found.survived = self._is_ready() and self._metric("process_start_time_seconds") == before
        assert self._found.survived, "guests that ran out of memory ended the server"

    def _test(self) -> None:
        """Run tests of the project against the server, as it forks and as it starts cold; they expect its own limits."""
        for start in ("fork", "cold") if self._setting.tests else ():
            self._configure(start, _WALL_TIME_S)
            self._found.tests[start] = self._run_tests(start)
        self._configure("fork")

    def _run_tests(self, start: str) -> str:
        """Run them; the last line of pytest is what is told."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *self._setting.tests,
            f"--start={start}",
        ]
        for each in ("server", "cold-server"):
            command += [f"--{each}={self._client.base_url}", f"--{each}-pid={server_pid()}"]
        command += [f"--server-registry={_REGISTRY}"]
        env = {**os.environ, "SNEKHOUSE_TEST_SLOWNESS": f"{self._slowness:.1f}"}
        with (_RESULTS / f"{self._name}-{start}.log").open("w") as log:
            subprocess.run(command, env=env, stdout=log, stderr=subprocess.STDOUT, check=False)
        return Path(log.name).read_text().strip().rpartition("\n")[2].strip("= ")

    def _configure(self, start: str, wall_time_s: float | None = None) -> None:
        """Write another registry, and wait until the server has it."""
        self._write_registry(start, wall_time_s)
        self._await(self._has, start, wall_time_s or self._wall_time_s, what=f"evaluations to start {start}")

    def _has(self, start: str, wall_time_s: float) -> bool:
        return self._evaluate("")["limits"]["wall_time"] == wall_time_s and self._starts(start)

    def _stop(self) -> None:
        """Stop the server with an evaluation under way, which must be answered; then nothing is left."""
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self._evaluate, "import time\nprint('on')\ntime.sleep(3)\nprint('off')")
            self._await(self._is_busy, what="an evaluation to be under way")
            self._run(self._setting.stop)
            self._found.drained = answer.result()["stdout"].split() == ["on", "off"]
        self._found.left_by_stop = self._left_of(None)

    def _kill(self) -> None:
        """Kill the server with an evaluation under way; nothing of it is left when another has started."""
        self._serve()
        self._await(self._starts, "fork", what="evaluations to be forked")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(self._end_of, "import time; time.sleep(5)")
            self._await(self._is_busy, what="an evaluation to be under way")
            before = self._own_remains()
            self._run(self._setting.kill)
        self._serve()
        self._found.left_by_kill = self._left_of(before)

    def _write_registry(self, start: str, wall_time_s: float | None = None) -> None:
        """Write a registry of the interpreters here; runs get more time, as everything does, unless it is given."""
        text = re.sub(r'bind = ".*"', f'bind = "0.0.0.0:{_PORT}"', _discovered())
        limits = f"[defaults.limits]\nwall_time = {wall_time_s or self._wall_time_s}"
        _REGISTRY.parent.mkdir(exist_ok=True)
        _REGISTRY.write_text(f'{text}\n[defaults]\nstart = "{start}"\n{limits}\n')

    def _left_of(self, what: set[str] | None) -> list[str]:
        """Wait until nothing is there, or nothing of what was; return what still is when that takes too long."""
        deadline = time.monotonic() + _PATIENCE_S * self._slowness
        while (left := self._own_remains() & what if what else self._own_remains()) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return sorted(left)

    def _own_remains(self) -> set[str]:
        """Find what there is and was not before: a setting that failed may have left something."""
        return remains() - self._others

    def _await(self, holds: Callable[..., bool], *arguments: object, what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S * self._slowness
        while not holds(*arguments):
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(_POLL_S)

    def _is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return self._client.get("/readyz").status_code == httpx.codes.OK
        return False

    def _has_ended(self) -> bool:
        assert not self._is_ready(), "the server serves"
        with suppress(LookupError):
            return not server_pid()
        return True

    def _starts(self, start: str) -> bool:
        listed = self._client.get("/runtimes").json()["runtimes"]
        return all(each["start"] == start for each in listed)

    def _is_busy(self) -> bool:
        return self._metric("snekhouse_evals_in_progress") > 0

    def _metric(self, name: str) -> float:
        lines = self._client.get("/metrics").text.splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith(name)))

    def _evaluate(self, code: str) -> dict[str, Any]:
        response = self._client.post("/eval", json={"input": code})
        assert response.status_code == httpx.codes.OK, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def _end_of(self, code: str) -> str:
        """Evaluate; a server that goes away is an end as well."""
        try:
            return str(self._evaluate(code)["status"])
        except httpx.TransportError:
            return "no answer"

    def _run(self, command: str, *, check: bool = True) -> str:
        env = {**os.environ, "REGISTRY": str(_REGISTRY), "PORT": _PORT, "BASH_ENV": str(_FUNCTIONS)}
        done = subprocess.run(["bash", "-ec", command], env=env, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()


if __name__ == "__main__":
    main()
