"""What programs use, as an answer tells it: the versions of cgroups must agree on it."""

import statistics
import time
from collections.abc import Callable
from typing import Any

PROGRAMS = {
    "nothing": "",
    "imports": "import asyncio, decimal, json, sqlite3",
    "an object of 30 MiB": "x = bytearray(30 << 20)",
    "an object of 60 MiB": "x = bytearray(60 << 20)",
    "a file of 30 MiB": "with open('f', 'wb') as f:\n  for _ in range(30): f.write(bytes(1 << 20))",
    "30 MiB in /dev/shm": "with open('/dev/shm/f', 'wb') as f:\n  for _ in range(30): f.write(bytes(1 << 20))",
    "a child of 30 MiB": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'x = bytearray(30 << 20)'])",
    "four forks of 8 MiB": (
        "import os\nready, told = os.pipe()\nend, held = os.pipe()\nfor _ in range(4):\n  if not os.fork():\n"
        "    x = bytearray(8 << 20); os.write(told, b'x'); os.close(held); os.read(end, 1); os._exit(0)\n"
        "for _ in range(4): os.read(ready, 1)\nos.close(held)\nfor _ in range(4): os.wait()"
    ),
    "a million integers": "x = list(range(1000, 1001000))",
    "a second of work": "import time\nwhile time.process_time() < 1: pass",
}
"""By what they do, programs whose memory or time is told."""

_ROUNDS = 3
_EVALUATIONS = 50


def measured(evaluate: Callable[[str], dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """Measure what each program uses: the medians of peak memory, in MiB, and of CPU, in seconds.

    Args:
        evaluate: Evaluates a program and returns the answer.
    """
    found = {}
    for name, code in PROGRAMS.items():
        used = [evaluate(code)["usage"] for _ in range(_ROUNDS)]
        memory = statistics.median(each["memory"] or 0 for each in used) / (1 << 20)
        found[name] = (round(memory, 2), round(statistics.median(each["cpu_time"] for each in used), 3))
    return found


def evaluation_ms(evaluate: Callable[[str], dict[str, Any]]) -> float:
    """Measure how long an evaluation of next to nothing takes over HTTP: the median of many, in milliseconds."""
    times = []
    for _ in range(_EVALUATIONS):
        begin = time.perf_counter()
        evaluate("print(1)")
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times)
