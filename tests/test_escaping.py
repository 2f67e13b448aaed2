"""What others write reaches the terminal of somebody who reads the log, or runs a command, as text and nothing else."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import snekhouse
from server.test_logs import logging_server
from snekhouse.escaping import escaped
from snekhouse.shortening import shortened

HOSTILE = "\x1b]0;title\x07\x1b[2J\r\b\x00\x7f\x85\x9b31m\u2028\u2029\u202e\u2066\u200b\ufeff\udc80\nforged"
"""Control characters of each kind, separators, bidirectional overrides, what has no width, half a character."""


@given(st.text())
def test_what_is_escaped_is_one_printable_line_and_the_rest_stays(text: str) -> None:
    assert escaped(text).isprintable()
    assert (escaped(text) == text) == text.isprintable()


@given(st.text(), st.integers(2, 20))
def test_a_text_is_shortened_in_its_middle(text: str, most: int) -> None:
    short = shortened(text, most)
    assert (short == text) == (len(text) <= most)
    if len(text) > most:
        assert f" {len(text) - most} more " in short
        assert short.startswith(text[: most // 2])
        assert short.endswith(text[-(most // 2) :])


SCRIPT = f"""
import logging, sys
from snekhouse.server import logs
logs.set_up_log(sys.argv[1])
foreign = {HOSTILE!r}
class Shown:
    def __repr__(self): return foreign
log = logging.getLogger("somebody" + foreign)
log.info(foreign)
log.info("an argument: %s", foreign)
log.info("fields", extra={{"text": foreign, "thing": Shown(), "list": [foreign], "bytes": foreign.encode(errors="replace")}})
log.info("a key", extra={{foreign: 1}})
log.info("a traceback", exc_info=ValueError(foreign))
log.info("a stack", extra={{"stack": foreign}})
log.info("long", extra={{"text": "x" * 1_000_000}})
log.info("long" * 1_000_000)
log.info("a long traceback", exc_info=ValueError("x" * 1_000_000))
"""
EVENTS = 9


def logged(form: str) -> str:
    done = subprocess.run([sys.executable, "-c", SCRIPT, form], capture_output=True, check=True, timeout=60)
    return done.stderr.decode()


def test_nothing_in_a_text_log_speaks_to_the_terminal_or_looks_like_another_event() -> None:
    lines = logged("text").split("\n")
    assert all(map(str.isprintable, lines))
    begun = [line for line in lines if line.startswith("20")]
    assert len(begun) == EVENTS
    assert all(line.startswith("  ") for line in lines if line and line not in begun)


def test_nothing_in_a_json_log_is_a_character_that_a_terminal_obeys() -> None:
    text = logged("json")
    assert all(map(str.isprintable, text.split("\n")))
    assert text.isascii()
    told = [json.loads(line) for line in text.splitlines()]
    assert len(told) == EVENTS
    assert told[0]["event"] == HOSTILE
    assert told[2]["text"] == HOSTILE
    assert HOSTILE in told[4]["exception"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_of_the_log_is_bounded_whatever_is_logged(form: str) -> None:
    assert max(map(len, logged(form).split("\n"))) < 20_000


def some(connection: socket.socket) -> bytes:
    received = connection.recv(1 << 16)
    assert received
    return received


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_path_with_control_characters_is_logged_escaped(small: Path, tmp_path: Path, form: str) -> None:
    """HTTP/2 carries what HTTP/1.1 cannot."""
    small.write_text(small.read_text().replace("[server]\n", "[server]\nhttp2 = true\n"))
    with logging_server(small, tmp_path, form) as server:
        address = (server.client.base_url.host, server.client.base_url.port or 0)
        peer = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        peer.initiate_connection()
        path = b"/\x1b[31m\x07"
        headers = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"localhost"), (b":path", path)]
        peer.send_headers(1, headers, end_stream=True)
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(peer.data_to_send())
            while not any(isinstance(event, h2.events.StreamEnded) for event in peer.receive_data(some(connection))):
                pass
    lines = [line for line in server.log.read_text().splitlines() if "http_status" in line]
    assert len(lines) == 1
    assert "[31m" in lines[0]
    assert lines[0].isprintable()


@pytest.mark.parametrize("command", [("runtimes", "list"), ("runtimes", "check"), ("doctor",), ("eval", "1")])
def test_names_in_a_registry_do_not_speak_to_the_terminal(small: Path, command: tuple[str, ...]) -> None:
    strange = r"/no/\u001b[31m\u009b\u202ewhere"
    small.write_text(small.read_text().replace("mounts = [", f'mounts = [{{ source = "{strange}" }}, '))
    done = snekhouse(*command, "-r", small)
    lines = [*done.stdout.split("\n"), *done.stderr.split("\n")]
    assert all(line.replace("\t", "").isprintable() for line in lines)
    if command != ("doctor",):
        assert any(r"\x1b[31m\x9b\u202ewhere" in line for line in lines)


def test_json_of_an_evaluation_does_not_speak_to_the_terminal(small: Path) -> None:
    done = snekhouse("eval", "--json", "-r", small, "print('\\x1b\\x7f\\x9b\\u202e\\u2028', end='')")
    assert done.stdout.replace("\n", "").isprintable()
    assert json.loads(done.stdout)["stdout"] == "\x1b\x7f\x9b\u202e\u2028"
