"""Find the lowest limits with which programs with large packages succeed, and measure what they use.

    .venv/bin/snekhouse packages install 3.13 pandas matplotlib scikit-learn --registry runtimes.local.toml
    .venv/bin/python benchmarks/needs.py 3.13 --registry runtimes.local.toml

Each program runs alone in jails that start cold. A bisection finds the lowest value of each limit. The script takes ten
minutes, and prints a table in Markdown.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

MIB = 1 << 20
AMPLE: Mapping[str, float] = {"memory": 2048 * MIB, "address_space": 8192 * MIB, "wall_time": 60.0}
STEPS = {"memory": 4 * MIB, "address_space": 32 * MIB}
"""Precision of each limit in bytes."""

PROGRAMS = {
    "`print(1)`": "print(1)",
    "`import numpy`": "import numpy",
    "`import pandas`": "import pandas",
    "pandas: 100,000 rows, grouped": (
        "import pandas\n"
        "table = pandas.DataFrame({'key': range(100_000), 'value': 1.5})\n"
        "table.groupby(table.key % 10).value.sum()"
    ),
    "`import matplotlib.pyplot`": "import matplotlib.pyplot",
    "matplotlib: a plot as PNG": "from matplotlib import pyplot\npyplot.plot(range(1000))\npyplot.savefig('plot.png')",
    "`import sklearn.ensemble`": "import sklearn.ensemble",
    "scikit-learn: a forest of 10 trees, 10,000 rows": (
        "import numpy\nfrom sklearn.ensemble import RandomForestClassifier\n"
        "rows = numpy.random.rand(10_000, 20)\n"
        "RandomForestClassifier(10).fit(rows, rows[:, 0] > 0.5)"
    ),
}


class Bench:
    """Evaluates programs in one runtime under limits."""

    def __init__(self, registry: Path, runtime: str, folder: Path) -> None:
        self._declared = tomllib.loads(registry.read_text())
        self._runtime, self._path = runtime, folder / "runtimes.toml"

    def run(self, program: str, **limits: float) -> dict[str, Any]:
        """Evaluate a program in its own jail, and return the answer."""
        table = self._declared["runtimes"][self._runtime]
        changed = {**table, "start": "cold", "limits": {**table.get("limits", {}), **AMPLE, **limits}}
        alone = {**self._declared, "default": self._runtime, "runtimes": {self._runtime: changed}}
        self._path.write_text(tomli_w.dumps(alone))
        command = [sys.executable, "-m", "snekhouse", "eval", "--json", "--registry", str(self._path), program]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        answer: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"returncode": None}
        return answer

    def least(self, program: str, limit: str) -> int:
        """Find the lowest value of a limit with which a program exits with 0."""
        return bisected(
            int(AMPLE[limit]), STEPS[limit], lambda value: self.run(program, **{limit: value})["returncode"] == 0
        )


def bisected(high: int, step: int, enough: Callable[[int], bool]) -> int:
    """Find the lowest value that is enough, with the precision of a step. `high` must be enough."""
    low = 0
    while high - low > step:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runtime")
    parser.add_argument("--registry", type=Path, default=Path("runtimes.local.toml"))
    options = parser.parse_args()
    print("| program | memory, MiB | address space, MiB | CPU, s |\n|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.registry, options.runtime, Path(folder))
        for name, program in PROGRAMS.items():
            answer = bench.run(program)
            if answer["returncode"] != 0:
                sys.exit(f"{name}: {answer.get('message') or answer.get('stdout')}")
            memory, space = bench.least(program, "memory"), bench.least(program, "address_space")
            print(
                f"| {name} | {memory / MIB:.0f} | {space / MIB:.0f} | {answer['usage']['cpu_time']:.1f} |", flush=True
            )


if __name__ == "__main__":
    main()
