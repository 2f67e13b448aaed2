"""Garbage collection does not stop the event loop: what the start has made is exempt from it."""

import signal
from pathlib import Path

from crowds import until
from serving import running_server

COUNTING = """
import gc, os, signal

def count(*_):
    with open(os.environ["COUNTED"] + ".part", "w") as file:
        file.write(str(len(gc.get_objects())))
    os.rename(os.environ["COUNTED"] + ".part", os.environ["COUNTED"])

signal.signal(signal.SIGUSR1, count)
"""
"""Runs in the server, and counts what a full collection has to visit."""


def test_a_full_collection_visits_few_objects(small: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(COUNTING)
    counted = tmp_path / "counted"
    env = {"PYTHONPATH": str(tmp_path), "COUNTED": str(counted)}
    with running_server(small, tmp_path / "log", env) as server:
        for _ in range(5):
            assert server.client.post("/eval", json={"input": "print(1)"}).status_code == 200
        server.process.send_signal(signal.SIGUSR1)
        until(counted.exists)
        assert int(counted.read_text()) < 10_000  # without gc.freeze() there are 70,000
