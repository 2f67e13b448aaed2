"""What becomes of the state: kept, rolled back or lost; checkpoints, branches and threads."""

import os
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from leftovers import descendants
from serving import SLOWNESS, Server
from sessions.conftest import NewSession, Session

KILLED = {
    "time": ("while True: pass", {"wall_time": 0.5}, "timeout"),
    "output": ("while True: print('a' * 1000)", {"output": 10_000}, "output_limit"),
    "memory": ("b = bytearray(400 << 20)", {}, "out_of_memory"),
    "a crash": ("import os; os.kill(os.getpid(), 11)", {}, "signaled"),
    "its own kill": ("import os; os.kill(os.getpid(), 9)", {}, "signaled"),
    "_exit": ("import os; os._exit(7)", {}, "error"),
    "another program": ("import os; os.execv('/nowhere', ['a'])", {}, "error"),
    "a closed descriptor 3": ("import os; os.close(3)", {}, "error"),
    "a message of its own": ("import os; os.write(3, b'nonsense' * 10)", {}, "error"),
}
"""Cells that leave no state of their own: code, limits, status; only `execv` fails and is an ordinary exception."""


@pytest.mark.parametrize("title", [title for title in KILLED if title != "another program"])
def test_a_cell_that_is_killed_is_rolled_back(session: Session, title: str) -> None:
    code, limits, status = KILLED[title]
    session.run("x = 1")
    answer = session.run(f"x = 2\n{code}", limits=limits)
    assert (answer["status"], answer["state"], answer["execution_count"]) == (status, "rolled_back", 1)
    assert session.value("x") == "1"


def test_the_exit_code_of_a_cell_that_ended_its_process_is_told(session: Session) -> None:
    assert session.run("import os; os._exit(7)")["returncode"] == 7
    answer = session.run("import os; os.abort()")
    assert (answer["returncode"], answer["signal"]) == (134, "SIGABRT")


def test_the_next_cell_after_a_kill_answers_soon(session: Session) -> None:
    session.run("x = 1")
    session.run("while True: pass", limits={"wall_time": 0.2})
    begin = time.monotonic()
    assert session.value("x") == "1"
    assert time.monotonic() - begin < 0.5 * SLOWNESS


def test_files_are_not_rolled_back(session: Session) -> None:
    session.run("open('kept', 'w').write('a')")
    session.run("open('kept', 'a').write('b')\nwhile True: pass", limits={"wall_time": 0.3})
    assert session.value("open('kept').read()") == "'ab'"


def test_processes_of_a_killed_cell_are_killed_as_well(session: Session) -> None:
    fork = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1)\n    open('late', 'w').close()\n    os._exit(0)\n"
    session.run(f"{fork}while True: pass", limits={"wall_time": 0.3})
    assert session.value("import time, os; time.sleep(1.5); os.path.exists('late')") == "False"


def test_threads_keep_a_state_from_being_copied(session: Session) -> None:
    session.run("import threading; go = threading.Event(); seen = []; x = 0")
    session.run("t = threading.Thread(target=lambda: (go.wait(), seen.append(x))); t.start(); x = 1")
    assert session.show().json()["threads"] == 1
    assert session.value("t.is_alive()") == "True"
    assert session.client.post(f"/sessions/{session.id}/branch").status_code == 503
    assert session.value("x = 2; go.set(); t.join(); seen") == "[2]"
    assert session.show().json()["threads"] == 0
    assert session.branch().value("seen") == "[2]"


def test_a_killed_cell_in_a_state_with_threads_goes_back_to_the_checkpoint(session: Session) -> None:
    session.run("import threading; x = 1")
    session.run("x = 2; go = threading.Event(); t = threading.Thread(target=go.wait, daemon=True); t.start()")
    assert session.value("x = 3; x") == "3"
    answer = session.run("while True: pass", limits={"wall_time": 0.3})
    assert (answer["status"], answer["state"], answer["execution_count"]) == ("timeout", "rolled_back", 1)
    assert session.value("x") == "1"


def test_without_a_checkpoint_it_is_lost(new_session: NewSession) -> None:
    session = new_session()
    session.run("import threading; go = threading.Event(); threading.Thread(target=go.wait, daemon=True).start()")
    session.run("while True: pass", limits={"wall_time": 0.3})  # back to the beginning, which had no threads
    session.run("import threading; go = threading.Event(); threading.Thread(target=go.wait, daemon=True).start()")
    session.run("import os; os.kill(os.getppid(), 9)")
    answer = session.run("while True: pass", limits={"wall_time": 0.3})
    assert answer["state"] == "lost"
    assert session.show().status_code == 410


def test_branches_go_their_own_ways(session: Session) -> None:
    session.run("x = [1]")
    branch = session.branch()
    session.run("x.append(2)")
    branch.run("x.append(3)")
    twig = branch.branch()
    branch.run("x = None")
    assert [each.value("x") for each in (session, twig)] == ["[1, 2]", "[1, 3]"]
    assert twig.show().json()["execution_count"] == 3
    branch.end()
    assert branch.show().status_code == 410
    assert twig.value("x.append(4); x") == "[1, 3, 4]"


def test_branches_share_their_files(session: Session) -> None:
    branch = session.branch()
    branch.run("open('shared', 'w').write('a')")
    assert session.value("open('shared').read()") == "'a'"


def test_a_kill_in_one_branch_leaves_the_others(session: Session) -> None:
    session.run("x = 1")
    branches = [session.branch() for _ in range(3)]
    branches[1].run("x = 2\nwhile True: pass", limits={"wall_time": 0.3})
    assert [each.value("x") for each in (session, *branches)] == ["1"] * 4


def test_a_child_of_an_earlier_cell_goes_on(session: Session) -> None:
    """While no cell runs, it may use a hundredth of a CPU."""
    fork = "import os, time\npid = os.fork()\nif pid == 0:\n    time.sleep(0.3)\n    open('made', 'w').close()\n    os._exit(0)"
    session.run(fork)
    time.sleep(1)
    assert session.value("import os; os.path.exists('made')") == "True"


def test_what_is_printed_between_cells_goes_nowhere(session: Session) -> None:
    code = "import threading, time\ndef later():\n    time.sleep(0.3); print('late')\nt = threading.Thread(target=later); t.start()"
    assert session.run(code)["stdout"] == ""
    time.sleep(0.8)
    assert session.run("t.join()")["stdout"] == ""


def test_sockets_and_open_files_stay_open(session: Session) -> None:
    session.run("import socket; a, b = socket.socketpair(); f = open('f', 'w+'); f.write('x'); f.flush()")
    assert session.value("a.send(b'hi'); b.recv(2)") == "b'hi'"
    assert session.value("f.seek(0); f.read()") == "'x'"


def test_the_process_id_differs_in_each_cell(session: Session) -> None:
    assert session.value("import os; os.getpid()") != session.value("os.getpid()")


FORKS = {
    "a child that ends with its cell": "import os\npid = os.fork()\nx = 'child' if pid == 0 else 'parent'\nif pid: os.waitpid(pid, 0)",
    "a child that prints": "import os\nx = 'parent'\npid = os.fork()\nprint('child' if pid == 0 else 'parent', flush=True)\nif pid: os.waitpid(pid, 0)",
    "a child that fails": "import os\nx = 'parent'\npid = os.fork()\nif pid == 0: 1 / 0\nelse: os.waitpid(pid, 0)",
    "a child that exits": "import os, sys\nx = 'parent'\npid = os.fork()\nif pid == 0: sys.exit(3)\nelse: os.waitpid(pid, 0)",
}


@pytest.mark.parametrize("title", FORKS)
def test_a_forked_child_ends_with_its_cell_and_the_parent_is_the_state(session: Session, title: str) -> None:
    answer = session.run(FORKS[title])
    assert (answer["status"], answer["state"]) == ("ok", "kept"), answer
    assert session.value("x") == "'parent'"
    assert session.value("x") == "'parent'"


def test_a_handler_that_reaps_children_does_not_end_the_checkpoint(session: Session) -> None:
    session.run("import signal, os; signal.signal(signal.SIGCHLD, signal.SIG_IGN); x = 1")
    assert session.run("os._exit(5)")["state"] == "rolled_back"
    assert session.value("x") == "1"


def test_a_state_that_dies_between_cells_goes_back_to_its_checkpoint(session: Session) -> None:
    session.run("x = 1")
    session.run("x = 2; import signal; signal.setitimer(signal.ITIMER_REAL, 0.2)")
    time.sleep(1)
    answer = session.run("x")
    assert (answer["status"], answer["state"], answer["execution_count"]) == ("internal_error", "rolled_back", 1)
    assert session.value("x") == "1"


def test_ended_branches_take_no_processes(session: Session) -> None:
    for _ in range(8):
        for branch in [session.branch() for _ in range(4)]:
            branch.end()
    assert session.value("1") == "1"


def test_a_session_goes_back_by_one_cell_on_request(session: Session) -> None:
    route = f"/sessions/{session.id}/rollback"
    answer = session.client.post(route)
    assert answer.status_code == 400
    assert "no checkpoint" in answer.json()["description"]
    session.run("x = 1")
    session.run("x = 2")
    assert session.client.post(route).json()["execution_count"] == 1
    assert session.value("x") == "1"
    assert session.client.post(route).json()["execution_count"] == 1
    assert session.client.post(route).status_code == 400
    assert session.value("x") == "1"


def test_a_branch_of_a_state_that_has_ended_goes_back_to_the_checkpoint(session: Session) -> None:
    session.run("x = 1")
    session.run("import signal; signal.alarm(1); x = 2")
    time.sleep(1.5)
    refused = session.client.post(f"/sessions/{session.id}/branch")
    assert refused.status_code == 503
    assert "went back to its checkpoint" in refused.json()["description"]
    assert session.branch().value("x") == "1"


def test_a_checkpoint_that_a_program_killed_does_not_replace_the_state(session: Session) -> None:
    session.run("x = 1")
    session.run("import os, signal; x = 2; os.kill(os.getppid(), signal.SIGKILL)")
    answer = session.client.post(f"/sessions/{session.id}/rollback")
    assert answer.status_code == 400
    assert "a program killed it" in answer.json()["description"]
    assert session.value("x") == "2"


def test_a_client_that_leaves_a_cell_with_threads_rolls_back_to_the_checkpoint(session: Session) -> None:
    session.run("x = 1")
    session.run(
        "import threading; go = threading.Event(); threading.Thread(target=go.wait, daemon=True).start(); x = 2"
    )
    with httpx.Client(base_url=session.client.base_url, timeout=0.5) as impatient, pytest.raises(httpx.ReadTimeout):
        Session(impatient, session.id).run("x = 3\nwhile True: pass")
    assert session.value("x") == "1"


def test_more_figures_than_an_answer_has_parts_are_left_out(session: Session) -> None:
    """A module that looks like matplotlib's: the packages of these tests have none."""
    session.run(
        "import sys, types\nfake = types.ModuleType('matplotlib.pyplot')\nopen_figures = list(range(150))\n"
        "fake.get_fignums = lambda: list(open_figures)\nfake.close = open_figures.remove\n"
        "fake.figure = lambda n: types.SimpleNamespace(savefig=lambda image, **_: image.write(b'png'))\n"
        "sys.modules['matplotlib.pyplot'] = fake"
    )
    answer = session.run("1")
    assert (answer["state"], answer["result"]) == ("kept", {"text": "1"})
    assert session.run("open_figures.extend(range(3)); 2")["figures"] == ["cG5n"] * 3


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_stream_that_a_cell_deletes_ends_no_state(session: Session, name: str) -> None:
    answer = session.run(f"import sys; x = 1; del sys.{name}")
    assert (answer["status"], answer["state"]) == ("ok", "kept")
    assert session.value("x") == "1"


def test_a_child_whose_main_thread_has_ended_is_killed_with_its_cell(session: Session) -> None:
    child = (
        "import ctypes, os, threading, time\nif os.fork() == 0:\n"
        "    threading.Thread(target=lambda: (time.sleep(1), open('late', 'w').close())).start()\n"
        "    ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)\n"
    )
    session.run(f"{child}while True: pass", limits={"wall_time": 0.4})
    assert session.value("import os, time; time.sleep(1.5); os.path.exists('late')") == "False"


def test_files_that_need_more_memory_than_there_is_are_told_as_such(new_session: NewSession) -> None:
    """They stay in the home, so the kernel kills the states as well."""
    session = new_session(limits={"memory": 20_000_000})
    session.run("x = 1")
    body = {"input": "x = 2", "files": [{"path": "large", "content": "AAAA" * 8_000_000}]}
    answer = session.client.post(f"/sessions/{session.id}/eval", json=body)
    if (
        answer.status_code == 200
    ):  # else the kernel has killed the first process of the jail before the cell was answered
        assert (answer.json()["status"], answer.json()["state"]) == ("out_of_memory", "lost")
    assert "limits.memory" in session.show().json()["description"]


def test_a_cell_that_uses_all_processes_leaves_room_for_the_next(
    new_session: NewSession, session_server: Server
) -> None:
    """The state that the cell replaces makes the room, but counts until the jail's first process has reaped it."""
    session = new_session()
    session.run("import os, time")
    reapers = [pid for pid in descendants(session_server.process.pid) if _is_first(pid)]
    continuing = threading.Timer(0.1, _continue, [reapers])
    for pid in reapers:
        os.kill(pid, signal.SIGSTOP)
    continuing.start()
    try:
        cell = "while True:\n    try:\n        if os.fork() == 0: time.sleep(60)\n    except OSError: break"
        assert session.run(cell)["state"] == "kept"
        assert session.value("2") == "2"
    finally:
        continuing.join()


def _is_first(pid: int) -> bool:
    """Whether a process is the first one of a PID namespace below ours."""
    try:
        (numbers,) = re.findall(r"^NSpid:(.*)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return bool(numbers.split()[1:]) and numbers.split()[-1] == "1"


def _continue(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
