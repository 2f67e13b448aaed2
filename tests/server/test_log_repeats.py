"""What repeats does not fill the disk, and how often it did is told."""

import json
import re
import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from crowds import until
from server.test_logs import logging_server

pytestmark = pytest.mark.waits

BEGIN = """
import asyncio, logging, sys, time
from snekhouse.server import logs
logs.set_up_log("json")
log = logging.getLogger("tests")
"""


def logged(script: str) -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-c", BEGIN + script], capture_output=True, check=True, timeout=100)
    return [json.loads(line) for line in done.stderr.decode().splitlines()]


def told(events: list[dict[str, Any]]) -> int:
    """How many events there were, by what the log says."""
    return sum(event.get("more", 1) for event in events)


FLOODS = {
    "one error": 'log.error("it fails: %s", "x")',
    "one error with other values": 'log.error("it fails: %s", number)',
    "one traceback": 'log.error("it fails", exc_info=ValueError(number))',
    "a library's own numbers": 'log.error(f"fd={number} at {hex(number)}\\nsecond line {number}")',
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_hundred_thousand_errors_are_a_handful_of_lines_that_tell_how_many_there_were(flood: str) -> None:
    events = logged(f"begin = time.monotonic()\nfor number in range(100_000): {flood}\nprint(time.monotonic() - begin)")
    assert len(events) < 10 + 20  # ten, and one a second
    assert told(events) == 100_000
    assert {event["level"] for event in events} == {"error"}
    assert re.fullmatch(r"\d+ more like this: .*", events[-1]["event"])


def test_how_many_there_were_is_told_within_a_second_though_nothing_else_is_logged() -> None:
    script = """
for number in range(50): log.warning("%d", number)
time.sleep(1.5)
print('{"event": "slept"}', file=sys.stderr)
"""
    events = logged(script)
    assert events[-1]["event"] == "slept"
    assert told(events[:-1]) == 50


def test_what_does_not_come_too_often_is_logged_each_time_and_again_after_a_flood() -> None:
    script = """
for number in range(30):
    log.error("now and then: %d", number)
    time.sleep(0.11)
for _ in range(1_000): log.error("flood")
time.sleep(2.5)
for _ in range(5): log.error("flood")
"""
    events = logged(script)
    assert len([event for event in events if event["event"].startswith("now and then")]) == 30
    assert len([event for event in events if event["event"] == "flood"]) == 10 + 5
    assert told(events) == 30 + 1_000 + 5


def test_one_flood_hides_nothing_else() -> None:
    script = """
for number in range(10_000):
    log.error("flood")
    if number % 2_000 == 0:
        log.error("another template: %d", number)
        log.warning("flood")
        logging.getLogger("other").error("flood")
        log.error("flood", exc_info=OSError())
"""
    events = logged(script)
    assert len([event for event in events if "more" not in event]) == 10 + 4 * 5


def test_ordinary_events_are_all_logged() -> None:
    events = logged('for _ in range(5_000): log.info("evaluation", extra={"status": "ok"})')
    assert len(events) == 5_000


def test_kinds_without_number_cost_no_memory_without_bound() -> None:
    script = """
from snekhouse.server import log_repeats
for number in range(20_000): log.error("".join(chr(97 + int(digit)) for digit in str(number)))
handler, = logging.getLogger().handlers
assert len(handler._kinds) <= log_repeats._MAX_KINDS + 1, len(handler._kinds)
"""
    assert told(logged(script)) == 20_000


def test_a_template_that_does_not_fit_its_values_harms_nobody() -> None:
    script = 'sys.stderr = sys.stdout\nfor _ in range(100): log.error("%d %d", "x")\nlog.error(object())'
    logged(script)


def test_connections_that_cannot_be_accepted_are_not_a_flood(small: Path, tmp_path: Path) -> None:
    with logging_server(small, tmp_path, "json") as server:
        address = (server.client.base_url.host, server.client.base_url.port or 0)
        usual = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        with ExitStack() as held:
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, usual[1]))
            for _ in range(20):
                held.enter_context(socket.create_connection(address, timeout=10))
            until(lambda: server.log.read_text().count("accepting paused") > 2)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, usual)
        assert server.client.get("/healthz").status_code == 200
    events = [json.loads(line) for line in server.log.read_text().splitlines()]
    paused = [event for event in events if "accepting paused: Too many open files" in event["event"]]
    assert 2 < len(paused) < 10
    assert len(events) < 40
