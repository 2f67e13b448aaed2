"""Attacks of a state on the first process of its jail, its checkpoint, its branches, the next cell and the host.

A session may be lost by what its own programs do. Nothing else may be, and the answers must say so: after each attack
the state is exactly what the last answer claims, another session still has its state, and the server evaluates.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from serving import SLOWNESS, Server
from sessions.conftest import NewSession, Session

_C = "import ctypes, os, signal, socket, struct, sys, time, threading\nlibc = ctypes.CDLL(None, use_errno=True)\n"

ATTACKS = {
    # the first process of the jail
    "kill the first process": "os.kill(1, 9)",
    "stop the first process": "os.kill(1, signal.SIGSTOP)",
    "interrupt the first process": "os.kill(1, signal.SIGINT)",
    "every signal to the first process": "for n in range(1, 65):\n    try: os.kill(1, n)\n    except OSError: pass",
    "limit the CPU of the first process": "import resource; resource.prlimit(1, resource.RLIMIT_CPU, (0, 0))",
    "limit the files of the first process": "import resource; resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))",
    "limit the memory of the first process": "import resource; resource.prlimit(1, resource.RLIMIT_AS, (1, 1))",
    "schedule the first process idle": "os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))",
    "pin the first process": "os.sched_setaffinity(1, {0})",
    "make the first process nice": "os.setpriority(os.PRIO_PROCESS, 1, 19)",
    "trace the first process": "print(libc.ptrace(16, 1, 0, 0))",
    "read the first process's memory": "print(libc.process_vm_readv(1, None, 0, None, 0, 0))",
    "take a descriptor of the first process": "fd = os.pidfd_open(1) if hasattr(os, 'pidfd_open') else libc.syscall(434, 1, 0)\nprint(libc.syscall(438, fd, 3, 0))",
    "kill everything": "os.kill(-1, 9)",
    "stop everything": "os.kill(-1, signal.SIGSTOP)",
    "kill the group": "os.killpg(0, 9)",
    "leave the session of the kernel": "os.setsid() if os.getpgrp() != os.getpid() else None",
    # the checkpoint, which is the parent
    "kill the checkpoint": "os.kill(os.getppid(), 9)",
    "stop the checkpoint": "os.kill(os.getppid(), signal.SIGSTOP)",
    "interrupt the checkpoint": "for _ in range(20): os.kill(os.getppid(), signal.SIGINT)",
    "trace the checkpoint": "print(libc.ptrace(16, os.getppid(), 0, 0))",
    "limit the checkpoint": "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
    "limit the processes of the checkpoint": "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_NPROC, (0, 0))",
    "stop the checkpoint, then time out": "os.kill(os.getppid(), signal.SIGSTOP)\nwhile True: pass",
    "kill the checkpoint, then time out": "os.kill(os.getppid(), 9)\nwhile True: pass",
    "stop the checkpoint, then crash": "os.kill(os.getppid(), signal.SIGSTOP)\nos.abort()",
    # the conversation, descriptor 3
    "close the socket": "os.close(3)",
    "shut the socket down": "socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR)",
    "close every descriptor": "os.closerange(0, 256)",
    "replace the socket by a file": "os.dup2(os.open('/dev/zero', os.O_RDWR), 3)",
    "replace the socket by an empty file": "os.dup2(os.open('/dev/null', os.O_RDWR), 3)",
    "a message of zeros": "os.write(3, bytes(1000))",
    "a message without end": "s = socket.socket(fileno=os.dup(3))\nwhile True: s.send(b'D' * 65536)",
    "a report that promises much": "os.write(3, b'DV' + struct.pack('>IIII', 0, 0, 1, 4) + b'text' + struct.pack('>I', 1 << 31))",
    "a report with many parts": "os.write(3, b'DV' + struct.pack('>III', 0, 0, 1 << 31))",
    "a report with a strange end": "os.write(3, b'D?' + struct.pack('>III', 0, 0, 0))",
    "a report with a large exit code": "os.write(3, b'DQ' + struct.pack('>III', 1 << 31, 0, 0))",
    "a forged report, and go on": "os.write(3, b'DV' + struct.pack('>III', 0, 0, 0))\nwhile True: pass",
    "a forged report, and close": "os.write(3, b'DV' + struct.pack('>III', 0, 0, 0)); os.close(3)",
    "a forged report, and stop": "os.write(3, b'DV' + struct.pack('>III', 0, 0, 0)); os.kill(os.getpid(), signal.SIGSTOP)",
    "two forged reports": "os.write(3, (b'DV' + struct.pack('>III', 0, 0, 0)) * 2)",
    "a forged report of an end": "os.write(3, b'DQ' + struct.pack('>III', 0, 0, 0))",
    "a forged report of many threads": "os.write(3, b'DV' + struct.pack('>III', 0, (1 << 32) - 1, 0))\ntime.sleep(2)",
    "half a report": "os.write(3, b'DV')\nwhile True: pass",
    "a hello": "os.write(3, b'S' * 100)",
    "a refusal": "os.write(3, b'E' + b'no' * 100)",
    "a flood of descriptors": "s = socket.socket(socket.AF_UNIX, fileno=os.dup(3))\nfor _ in range(100):\n    s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack('16i', *[0] * 16))])",
    "credentials of the first process": "s = socket.socket(socket.AF_UNIX, fileno=os.dup(3))\ns.sendmsg([b'S'], [(socket.SOL_SOCKET, 2, struct.pack('3i', 1, os.getuid(), os.getgid()))])",
    "read the orders": "import fcntl\nfcntl.fcntl(3, fcntl.F_SETFL, os.O_NONBLOCK)\nif os.fork() == 0:\n    for _ in range(100):\n        try: os.read(3, 10)\n        except OSError: time.sleep(0.02)\n    os._exit(0)",
    # the next cell
    "hold a lock": "lock = threading.Lock(); lock.acquire()",
    "break the builtins": "import builtins\nfor name in ('open', 'compile', 'eval', 'exec', 'len', 'map', 'int', 'sum'): setattr(builtins, name, None)",
    "break posix": "import posix\nfor name in ('fork', 'write', 'dup2', 'read', 'close'): setattr(posix, name, None)",
    "break the bootstrap": "for f in sys._current_frames().values():\n    while f.f_back: f = f.f_back\n    f.f_globals.clear()",
    "remove all modules": "sys.modules.clear()",
    "replace the streams": "sys.stdout = sys.stderr = sys.stdin = None",
    "a hook that exits": "sys.excepthook = lambda *_: os._exit(5)\n1 / 0",
    "a signal that is ignored": "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))",
    "a timer": "signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05); time.sleep(0.02)",
    "an alarm after the cell": "signal.alarm(1)",
    "trace every line": "sys.settrace(lambda *_: os._exit(3))",
    "a recursion limit of one": "sys.setrecursionlimit(60)",
    "a module named like one that the session imports": "open('random.py', 'w').write('1/0'); open('traceback.py', 'w').write('1/0'); 1 / 0",
    # what is shared
    "fill the home": "f = open('big', 'wb')\ntry:\n    while True: f.write(bytes(1 << 20))\nexcept OSError: pass",
    "fill the shared memory": "f = open('/dev/shm/big', 'wb')\ntry:\n    while True: f.write(bytes(1 << 20))\nexcept OSError: pass",
    "use all processes": "while True:\n    try:\n        if os.fork() == 0: time.sleep(60)\n    except OSError: break",
    "a fork bomb": "while True:\n    try: os.fork()\n    except OSError: pass",
    "forks that race with the end": "if os.fork() == 0:\n    os.setsid()\n    for _ in range(500):\n        try:\n            if os.fork(): os._exit(0)\n        except OSError: pass",
    "use all descriptors": "held = []\ntry:\n    while True: held.append(os.dup(0))\nexcept OSError: pass",
    "change the working folder": "os.mkdir('d'); os.chdir('d'); os.rmdir('../d')",
    "many names in the home": "for i in range(3000):\n    try: open(str(i), 'w').close()\n    except OSError: break",
    "an empty address space": "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))",
    "no more processes": "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))",
    "no more descriptors": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
    "no more memory": "b = []\nwhile True: b.append(bytes(1 << 20))",
    "memory of every process": "for _ in range(8):\n    if os.fork() == 0:\n        b = bytearray(30 << 20); time.sleep(60)\nb = bytearray(30 << 20); time.sleep(1)",
    "stop itself": "os.kill(os.getpid(), signal.SIGSTOP)",
}  # fmt: skip

_NEXT = {"kept": "2", "rolled_back": "1"}

_HARMFUL = {
    "kill the group",
    "stop the checkpoint, then time out",
    "kill the checkpoint, then time out",
    "stop the checkpoint, then crash",
    "a forged report, and go on",
    "a forged report, and close",
    "a forged report, and stop",
    "a forged report of an end",
    "a forged report of many threads",
    "read the orders",
    "remove all modules",
    "no more processes",
    "a timer",
    "an alarm after the cell",
}
"""Attacks that may end their own session, or keep its next cell from running; after all others it goes on as before."""


@pytest.fixture(scope="module")
def neighbour(session_server: Server) -> Iterator[Session]:
    """Another session, which no attack may reach."""
    answer = session_server.client.post("/sessions", json={})
    session = Session(session_server.client, answer.json()["id"])
    session.run("treasure = [1, 2, 3]")
    yield session
    session.end()


@pytest.mark.parametrize("title", ATTACKS)
def test_an_attack_hurts_nothing_but_its_own_session(new_session: NewSession, neighbour: Session, title: str) -> None:
    session = new_session()
    session.run(_C + "x = 1")
    answer = session.run(f"x = 2\n{ATTACKS[title]}", limits={"wall_time": 1.5, "output": 100_000})
    if title not in _HARMFUL:
        assert session.value("x", limits={"wall_time": 5.0}) == _NEXT[answer["state"]]
    else:
        _check_claim(session, answer["state"])
    assert neighbour.value("treasure") == "[1, 2, 3]"
    printed = session.client.post("/eval", json={"input": "print(6 * 7)"}).json()["stdout"]
    assert printed == "42\n"


@pytest.mark.alone
def test_a_cell_that_ends_its_jail_is_answered_also_if_the_server_is_slow(new_session: NewSession) -> None:
    with ExitStack() as load:
        for _ in range(2 * len(os.sched_getaffinity(0))):
            hog = load.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            load.callback(hog.kill)
        for _ in range(12):
            session = new_session()
            assert session.run("import os; os.killpg(0, 9)")["state"] == "lost"


def test_a_cell_of_a_branch_that_waited_for_a_jail_that_ended_is_not_called_rolled_back(
    new_session: NewSession,
) -> None:
    session = new_session()
    branch = session.branch()
    branch.run("x = 1")
    code = "import os, time; open('begun', 'w').close(); time.sleep(1.0); os.killpg(0, 9)"
    ending = threading.Thread(target=session.run, args=(code,))
    ending.start()
    while session.client.get(f"/sessions/{session.id}/files/begun").status_code != 200:
        assert ending.is_alive()
    answer = session.client.post(f"/sessions/{branch.id}/eval", json={"input": "x"})
    ending.join()
    assert answer.status_code == 410 or answer.json()["state"] == "lost", answer.text
    assert branch.show().status_code == 410


def _check_claim(session: Session, state: str) -> None:
    """Check that the state is what an answer claims, or that the next answer says that it is lost."""
    if state == "lost":
        assert session.show().status_code == 410
        return
    answer = session.client.post(f"/sessions/{session.id}/eval", json={"input": "x", "limits": {"wall_time": 1.5}})
    if answer.status_code == 410:
        return  # its interpreter was dead or dying, and the reason says so
    assert answer.status_code == 200, answer.text
    found = answer.json()
    if found["state"] == "kept" and found["status"] == "ok":
        assert found["result"] == {"text": _NEXT[state]}
    elif found["state"] == "lost":
        assert session.show().status_code == 410


@pytest.mark.parametrize("title", ["kill the checkpoint", "stop everything", "kill everything", "a fork bomb"])
def test_a_branch_of_an_attacker_may_be_lost_and_says_so(new_session: NewSession, title: str) -> None:
    session = new_session()
    session.run(_C + "x = 2")
    branch = session.branch()
    session.run(ATTACKS[title], limits={"wall_time": 1.0})
    _check_claim(branch, "kept")


def test_many_branches_end_at_a_limit_with_the_reason(new_session: NewSession) -> None:
    session = new_session()
    session.run("x = 1")
    made = []
    while True:
        answer = session.client.post(f"/sessions/{session.id}/branch")
        if answer.status_code != 201:
            break
        made.append(Session(session.client, answer.json()["id"]))
    assert answer.status_code == 503
    assert len(made) >= 5
    assert session.run("x")["status"] in {"ok", "error"}
    for branch in made:
        branch.end()
    assert session.value("x") == "1"


def test_hundreds_of_cells_and_branches_leave_room(session: Session, client: httpx.Client) -> None:
    session.run("x = 0")
    for _ in range(300):
        session.run("x += 1")
        session.branch().end()
    assert session.value("x") == "300"
    assert client.get("/healthz").status_code == 200


_OWN_CODE = """
import sys, time
frame = sys._getframe()
while "status_of" not in frame.f_globals: frame = frame.f_back
own = frame.f_globals
"""
"""Finds the functions with which a state follows the orders of the host."""


def test_the_time_that_a_state_takes_to_begin_a_cell_counts_as_that_of_the_cell(new_session: NewSession) -> None:
    session = new_session()
    slow = "def slow(old=own['bootstrap'].receive_files):\n  time.sleep(30); return old()\n"
    slow += "own['bootstrap'].receive_files = slow"
    session.run(_OWN_CODE + slow)
    begin = time.monotonic()
    answer = session.run("1", limits={"wall_time": 0.1})
    assert (answer["status"], answer["state"]) == ("timeout", "rolled_back")
    assert answer["usage"]["wall_time"] >= 2
    assert time.monotonic() - begin < 4 * SLOWNESS


def test_an_answer_that_comes_after_its_client_has_gone_is_not_taken_for_the_next(new_session: NewSession) -> None:
    session = new_session()
    slow = "def slow(pid, old=own['status_of']):\n  time.sleep(1); return old(pid)\nown['status_of'] = slow"
    session.run(_OWN_CODE + slow)
    with pytest.raises(httpx.ReadTimeout):
        session.client.post(
            f"/sessions/{session.id}/eval",
            json={"input": "while True: pass", "limits": {"wall_time": 0.3}},
            timeout=0.7,
        )
    answer = session.run("import os; os._exit(3)")
    assert (answer["returncode"], answer["signal"], answer["state"]) == (3, None, "rolled_back")
