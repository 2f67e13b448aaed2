"""Interrupts: which cell they reach, and what it makes of them."""

import json
import threading
import time

import pytest

from serving import SLOWNESS
from sessions.conftest import Session


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(5)"])
def test_an_interrupt_raises_keyboard_interrupt(session: Session, code: str) -> None:
    session.run("x = 1")

    def interrupt() -> None:
        time.sleep(0.5 * SLOWNESS)
        session.client.post(f"/sessions/{session.id}/interrupt")

    thread = threading.Thread(target=interrupt)
    thread.start()
    answer = session.run(f"x = 2\n{code}")
    thread.join()
    assert (answer["error"]["name"], answer["state"]) == ("KeyboardInterrupt", "kept")
    assert session.value("x") == "2"


@pytest.mark.parametrize(
    "before",
    ["", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"],
    ids=["", "with a thread"],
)
def test_an_interrupt_may_come_as_soon_as_a_cell_starts(session: Session, before: str) -> None:
    """The event `start` comes before the program; an interrupt then is not lost."""
    session.run(before or "pass")
    for _ in range(20):
        url, accept = f"/sessions/{session.id}/eval", {"Accept": "application/x-ndjson"}
        with session.client.stream("POST", url, json={"input": "while True: pass"}, headers=accept) as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines))["event"] == "start"
            assert session.client.post(f"/sessions/{session.id}/interrupt").status_code == 204
            end = json.loads(list(lines)[-1])
        assert (end["status"], end["error"]["name"], end["state"]) == ("error", "KeyboardInterrupt", "kept")


def test_an_interrupt_without_a_cell_does_nothing(session: Session) -> None:
    for _ in range(3):
        assert session.client.post(f"/sessions/{session.id}/interrupt").status_code == 204
    assert session.value("1") == "1"


def test_a_handler_of_the_program_gets_the_interrupt(session: Session) -> None:
    session.run("import signal, time; got = []; signal.signal(signal.SIGINT, lambda *_: got.append(1))")
    thread = threading.Timer(0.5 * SLOWNESS, lambda: session.client.post(f"/sessions/{session.id}/interrupt"))
    thread.start()
    assert session.value("while not got: time.sleep(0.01)\ngot") == "[1]"
    thread.join()


def test_an_interrupt_reaches_only_the_cell_of_its_own_session(session: Session) -> None:
    branch = session.branch()
    thread = threading.Timer(0.3 * SLOWNESS, lambda: session.client.post(f"/sessions/{session.id}/interrupt"))
    thread.start()
    assert branch.value(f"import time; time.sleep({0.8 * SLOWNESS}); 1") == "1"
    thread.join()
