"""The log of a real server: one line an evaluation, in either form, and nothing of what people sent."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from crowds import until
from serving import Server, running_server

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "log.md"

MINE = "planted"
"""Stands wherever a client can put something."""


def speak(server: Server) -> None:
    """Ask for an evaluation that succeeds, one that does not, and one that is refused; then look at its health."""
    files = [{"path": MINE, "content": "AAAA"}]
    body = {"input": f"print({MINE!r}); open('{MINE}2', 'w').write('{MINE}')", "stdin": MINE, "files": files}
    headers = {"Authorization": f"Bearer {MINE}", "Cookie": MINE, "User-Agent": MINE}
    assert server.client.post(f"/eval?token={MINE}", json=body, headers=headers).status_code == 200
    assert server.client.post("/eval", json={"input": f"raise SystemExit({MINE!r})"}).status_code == 200
    assert server.client.post("/eval", json={"executable_path": MINE}).status_code == 400
    assert server.client.get("/metrics").status_code == 200
    assert server.client.get("/healthz").status_code == 200


@contextmanager
def logging_server(registry: Path, folder: Path, form: str, **env: str) -> Iterator[Server]:
    written = registry.read_text()
    assert "[server]\n" in written
    registry.write_text(written.replace("[server]\n", f'[server]\nlog = "{form}"\n'))
    with running_server(registry, folder / "log", env) as server:
        yield server


def events(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def documented(event: str) -> set[str]:
    """The fields of an event that its reference page lists."""
    section = _REFERENCE.read_text().split(f"\n## `{event}`\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))


def test_json_has_one_event_for_each_evaluation_and_each_request(small: Path, tmp_path: Path) -> None:
    with logging_server(small, tmp_path, "json") as server:
        speak(server)
    told = events(server.log)
    first, second = (event for event in told if event["event"] == "evaluation")
    assert first["level"] == "info"
    assert (first["runtime"], first["status"], first["returncode"]) == ("only", "ok", 0)
    assert (second["status"], second["returncode"]) == ("error", 1)
    assert (first["files_in"], first["files_in_size"], first["stdin_size"]) == (1, 3, len(MINE))
    assert (first["files_out"], first["files_out_size"]) == (1, len(MINE))
    assert first["output_size"] == len(MINE) + 1
    assert set(first) == {"timestamp", "logger", "level", "event"} | documented("evaluation")
    requests = [event for event in told if event["event"] == "request"]
    assert [(event["method"], event["path"], event["http_status"]) for event in requests] == [
        ("POST", "/eval", 200),
        ("POST", "/eval", 200),
        ("POST", "/eval", 400),
    ]
    assert set(requests[0]) == {"timestamp", "logger", "level", "event"} | documented("request")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("debug", ["", "1"])
def test_nothing_of_what_clients_send_is_in_the_log(small: Path, tmp_path: Path, form: str, debug: str) -> None:
    with logging_server(small, tmp_path, form, SNEKHOUSE_DEBUG=debug) as server:
        speak(server)
    log = server.log.read_text()
    assert "evaluation" in log
    assert MINE not in log


def test_text_has_a_line_for_each_event(small: Path, tmp_path: Path) -> None:
    with logging_server(small, tmp_path, "text") as server:
        speak(server)
    lines = [line for line in server.log.read_text().splitlines() if " evaluation " in line]
    assert len(lines) == 2
    assert "runtime=only" in lines[0]
    assert "status=ok" in lines[0]


def test_no_request_can_forge_a_line(small: Path, tmp_path: Path) -> None:
    with logging_server(small, tmp_path, "text") as server:
        server.client.get("/%0aforged%1b[31m")
    lines = server.log.read_text().splitlines()
    assert [line for line in lines if "path=/%0aforged%1b[31m" in line]
    assert not [line for line in lines if line.startswith("forged")]


def test_debugging_adds_what_nsjail_says_and_the_checks_of_health(small: Path, tmp_path: Path) -> None:
    with logging_server(small, tmp_path, "json", SNEKHOUSE_DEBUG="1") as server:
        speak(server)
    told = events(server.log)
    assert [event["path"] for event in told if event["event"] == "request"][-1] == "/healthz"
    assert all("nsjail_log" in event for event in told if event["event"] == "nsjail ended")
    assert [event for event in told if event["event"] == "nsjail ended"]


def test_a_client_that_went_away_is_told_as_that(small: Path, tmp_path: Path) -> None:
    body = b'{"input": "import time; time.sleep(60)"}'
    with logging_server(small, tmp_path, "json") as server:
        address = (server.client.base_url.host, server.client.base_url.port or 0)
        with socket.create_connection(address) as connection:
            connection.sendall(
                b"POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            until(lambda: "snekhouse_evals_in_progress 1.0" in server.client.get("/metrics").text)
        until(lambda: "snekhouse_evals_in_progress 0.0" in server.client.get("/metrics").text)
    told = events(server.log)
    assert [event["http_status"] for event in told if event["event"] == "request"] == [None]
    assert [event["status"] for event in told if event["event"] == "evaluation"] in ([], ["abandoned"])
