"""Files that change while their run ends: what a program's background process swaps never brings back anything else."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from serving import running_server

pytestmark = pytest.mark.alone

SECRET = "planted-secret"
RUNS, NAMES = 100, 100
"""Together ten thousand names that race, each read once."""

_PROGRAM = """
import itertools, json, os
targets = json.load(open("_targets.json"))
os.mkdir("_real"); os.mkdir("_other")
for folder in ("_real", "_other"):
    open(folder + "/secret", "w").write("mine")
reader, writer = os.pipe()
def swap(name, target):
    os.symlink(target, ".swap"); os.rename(".swap", name)
def restore(name):
    os.link("_real/secret", ".swap"); os.rename(".swap", name)
if os.fork() == 0:
    for turn in itertools.count():
        for number in range(NAMES):
            name, target = "f%02d" % number, targets[(turn + number) % len(targets)]
            if (turn + number) % 2: swap(name, target)
            else: restore(name)
        swap("d", "/etc"); os.unlink("d"); os.rename("_other", "d"); os.rename("d", "_other")
        if turn == 1: os.write(writer, b"x")
os.read(reader, 1)    # the race is on, and goes on while this ends
""".replace("NAMES", str(NAMES))


@pytest.mark.timeout(300)
def test_no_race_brings_a_secret_back_in_ten_thousand_attempts(registry_path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    targets = [
        "/etc/shadow",
        f"{tmp_path}/secret",
        f"../../../../../../..{tmp_path}/secret",
        f"/home/../{tmp_path}/secret",
        "/proc/self/environ",
        "/proc/self/fd/3",
        "d/shadow",
        "d/../../etc/shadow",
        "f00",
        "_real/secret",
    ]
    content = base64.b64encode(json.dumps(targets).encode()).decode()
    body = {"input": _PROGRAM, "files": [{"path": "_targets.json", "content": content}]}
    with running_server(registry_path, tmp_path / "log", {"PLANTED": SECRET}) as server, ThreadPoolExecutor(2) as pool:

        def attempt(_: int) -> list[dict[str, Any]]:
            answer = server.client.post("/eval", json=body).json()
            assert (answer["status"], answer["stdout"]) == ("ok", "")
            files: list[dict[str, Any]] = answer["files"]
            return files

        returned = [file for files in pool.map(attempt, range(RUNS)) for file in files]
    assert {base64.b64decode(file["content"]) for file in returned} == {b"mine"}
    assert RUNS * NAMES / 4 < len(returned) < RUNS * NAMES, "the race did not take place"
