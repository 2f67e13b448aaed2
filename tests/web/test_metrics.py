"""What Prometheus reads, however it asks."""

import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crowds import until
from serving import Server, running_server

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
ASKED = {
    "": TEXT,
    "*/*": TEXT,
    "text/plain": TEXT,
    "text/plain; version=0.0.4": TEXT,
    "application/json": TEXT,
    "application/openmetrics-text": OPEN,
    "application/openmetrics-text; version=1.0.0": OPEN,
    PROMETHEUS_3: OPEN,
    "text/plain; version=bogus": TEXT,
    "text/plain; version=1.0.0; escaping=bogus": TEXT,
    "application/openmetrics-text; version=bogus": OPEN,
    "application/openmetrics-text; version=1.x.0": OPEN,
    "application/openmetrics-text; version=9.9.9": OPEN,
    "application/openmetrics-text; version=1.0.0; escaping=bogus": OPEN,
    f"text/plain; version={'9' * 5_000}": TEXT,
}


def samples(answer: httpx.Response) -> set[str]:
    return {line.split(" ")[0] for line in answer.text.splitlines() if line.startswith("snekhouse_runtime_up")}


@pytest.mark.parametrize(("accept", "kind"), ASKED.items(), ids=[key[:50] for key in ASKED])
def test_metrics_are_told_in_one_of_two_formats(client: httpx.Client, accept: str, kind: str) -> None:
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert samples(answer)


parts = st.sampled_from(
    ["text/plain", "application/openmetrics-text", "*/*", "version", "escaping", "q", "=", ";", ",", " ", "1.0.0", '"']
)
headers = st.lists(parts | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=5)).map("".join)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(accept=headers)
def test_no_header_makes_it_fail(client: httpx.Client, accept: str) -> None:
    answer = client.get("/metrics", headers={"Accept": accept.strip()})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith((TEXT, OPEN))


def lags(server: Server) -> dict[str, int]:
    """How often the event loop was late by so many seconds at most, as Prometheus is told; the largest is infinite."""
    text = server.client.get("/metrics").text
    found = re.findall(r'^snekhouse_event_loop_lag_seconds_bucket\{le="(.*)"\} (\d+)', text, re.MULTILINE)
    return {bound: int(number) for bound, number in found}


def long_lags(server: Server) -> int:
    found = lags(server)
    return found["+Inf"] - found["0.5"]


def stop_for_a_second(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    until(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text())
    time.sleep(1)  # how long it is stopped is what the test is about
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_loop_that_stood_still_is_told(small: Path, tmp_path: Path, workers: int) -> None:
    small.write_text(small.read_text().replace("[server]\n", f"[server]\nworkers = {workers}\n"))
    with running_server(small, tmp_path / "log") as server:
        until(lambda: lags(server)["+Inf"] > 20)
        assert lags(server)["0.1"] > 10
        pid = server.process.pid
        if workers == 1:
            stopped = [pid]
        else:
            stopped = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        before = long_lags(server)
        for each in stopped:
            stop_for_a_second(each)
        until(lambda: long_lags(server) >= before + workers)
