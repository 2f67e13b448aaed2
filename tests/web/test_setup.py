"""Cases that start from the state of a setup: they are quick, and see nothing of each other."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import Server
from web.test_judge import judged

SETUP = """
import os, sys, json, random, signal, resource, builtins
open('data', 'w').write('data')
os.mkdir('folder')
number = 20
random.seed(1)
"""


@pytest.fixture(params=["forking_server", "cold_server"])
def either(request: pytest.FixtureRequest) -> httpx.Client:
    """A client of a server that forks, and of one that starts evaluations cold."""
    server: Server = request.getfixturevalue(request.param)
    return server.client


def outputs(client: httpx.Client, programs: list[str], setup: str | None = SETUP, **more: Any) -> list[str]:
    """Run programs as cases; return what each prints."""
    body = {"setup": setup} if setup is not None else {}
    answer = judged(client, cases=[{"input": program} for program in programs], **body, **more)
    return [case["stdout"] if case["verdict"] == "accepted" else f"{case['reason']}" for case in answer["cases"]]


def test_cases_start_from_the_state_of_the_setup_in_each_python(either: httpx.Client) -> None:
    cases = [{"stdin": str(number), "expected": {"stdout": str(20 * number)}} for number in range(10)]
    for runtime in either.get("/runtimes").json()["runtimes"]:
        body = {"setup": SETUP, "input": "number *= int(input())\nprint(number)", "cases": cases}
        answer = either.post(f"/judge/{runtime['name']}", json=body).json()
        assert (answer["verdict"], answer["passed"]) == ("accepted", 10), answer


LEFT = {
    "a file": ("open('left', 'w').close()", "os.listdir()"),
    "a hidden file": ("open('.left', 'w').close()", "os.listdir()"),
    "a folder": ("os.mkdir('left')", "os.listdir()"),
    "a link": ("os.symlink('/', 'left')", "os.listdir()"),
    "a deep file": ("os.makedirs('a/b/c'); open('a/b/c/d', 'w').close()", "[x for x in os.walk('.')]"),
    "a file in a folder of the setup": ("open('folder/left', 'w').close()", "os.listdir('folder')"),
    "another content": ("open('data', 'w').write('left')", "open('data').read()"),
    "the same size": ("open('data', 'r+').write('LEFT')", "open('data').read()"),
    "another content through a mapping that was read before": (
        "import mmap; page = mmap.mmap(os.open('data', os.O_RDWR), 0); page[0]; page[0] = 90",
        "open('data').read()",
    ),
    "a removed file": ("os.remove('data')", "os.listdir()"),
    "a renamed file": ("os.rename('data', 'left')", "os.listdir()"),
    "a hard link": ("os.link('data', 'left')", "os.stat('data').st_nlink"),
    "permissions": ("os.chmod('data', 0o600)", "os.stat('data').st_mode"),
    "a time": ("os.utime('data', (1, 1))", "os.stat('data').st_mtime == 1"),
    "permissions of the home": ("os.chmod('.', 0o500)", "os.stat('.').st_mode"),
    "a file in memory": ("open('/dev/shm/left', 'w').close()", "os.listdir('/dev/shm')"),
    "a full home": ("open('left', 'w').write('x' * (20 << 20))", "os.statvfs('.').f_bfree"),
    "many files": ("[open(str(n), 'w').close() for n in range(2000)]", "len(os.listdir())"),
    "a child": (
        "import time\nif os.fork() == 0: time.sleep(30); os._exit(0)",
        "[pid for pid in range(2, 300) if pid not in (os.getpid(), os.getppid()) and alive(pid)]",
    ),
    "a daemon": (
        "import time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(30)\n    os._exit(0)",
        "[pid for pid in range(2, 300) if pid not in (os.getpid(), os.getppid()) and alive(pid)]",
    ),
    "a child that writes later": (
        "import time\nif os.fork() == 0:\n    os.setsid(); time.sleep(0.2); open('left', 'w').close(); os._exit(0)",
        "__import__('time').sleep(0.4) or os.listdir()",
    ),
    "a zombie": (
        "if os.fork() == 0: os._exit(0)",
        "[pid for pid in range(2, 300) if pid not in (os.getpid(), os.getppid()) and alive(pid)]",
    ),
    "a thread": ("import threading, time; threading.Thread(target=time.sleep, args=(0.1,)).start()", "sys.version"),
    "process ids": ("[os.waitpid(os.fork() or os._exit(0), 0) for _ in range(50)]", "os.getpid() > 50"),
    "a variable": ("number = 1", "number"),
    "a module": ("sys.modules['left'] = os", "'left' in sys.modules"),
    "a function": ("json.dumps = len", "json.dumps({})"),
    "a builtin": ("builtins.left = 1", "hasattr(builtins, 'left')"),
    "a path": ("sys.path.append('left')", "sys.path"),
    "the environment": ("os.environ['LEFT'] = '1'", "os.environ.get('LEFT')"),
    "random numbers": ("random.random()", "random.random()"),
    "a handler": ("signal.signal(signal.SIGUSR1, print)", "signal.getsignal(signal.SIGUSR1)"),
    "an alarm": ("signal.alarm(1)", "__import__('time').sleep(1.2)"),
    "a timer": ("signal.setitimer(signal.ITIMER_REAL, 0.3)", "__import__('time').sleep(0.5)"),
    "the umask": ("os.umask(0o77)", "os.umask(0)"),
    "the folder": ("os.chdir('/')", "os.getcwd()"),
    "its own limits": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))",
        "resource.getrlimit(resource.RLIMIT_NOFILE)",
    ),
    "limits of the state": (
        "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (77, 77))",
        "resource.getrlimit(resource.RLIMIT_NOFILE)",
    ),
    "a soft limit of the state": (
        "resource.prlimit(os.getppid(), resource.RLIMIT_STACK, (4096, resource.RLIM_INFINITY))",
        "resource.getrlimit(resource.RLIMIT_STACK)[0]",
    ),
    "limits of the first process": (
        "resource.prlimit(1, resource.RLIMIT_NOFILE, (77, 77))",
        "os.getpid() != 1 and resource.prlimit(1, resource.RLIMIT_NOFILE)",
    ),
    "its own niceness": ("os.nice(3)", "os.nice(0)"),
    "niceness of the state": ("os.setpriority(os.PRIO_PROCESS, os.getppid(), 15)", "os.nice(0)"),
    "niceness of the first process": (
        "os.setpriority(os.PRIO_PROCESS, 1, 15)",
        "os.getpid() != 1 and os.getpriority(os.PRIO_PROCESS, 1)",
    ),
    "CPUs of the state": (
        "os.sched_setaffinity(os.getppid(), {min(os.sched_getaffinity(0))})",
        "len(os.sched_getaffinity(0))",
    ),
    "the scheduler of the state": (
        "os.sched_setscheduler(os.getppid(), os.SCHED_BATCH, os.sched_param(0))",
        "os.sched_getscheduler(0)",
    ),
    "priority of input and output": (
        "libc = __import__('ctypes').CDLL(None); print(libc.syscall(251, 1, os.getppid(), (3 << 13)))",
        "__import__('ctypes').CDLL(None).syscall(252, 1, 0)",
    ),
    "a stopped state": ("os.kill(os.getppid(), signal.SIGSTOP)", "number"),
    "a killed state": ("os.kill(os.getppid(), signal.SIGKILL)", "number"),
    "an interrupted state": ("os.kill(os.getppid(), signal.SIGINT)", "number"),
    "a state with a signal": ("os.kill(os.getppid(), signal.SIGUSR1)", "number"),
    "everything killed": ("os.kill(-1, signal.SIGKILL)", "number"),
    "a socket": (
        (
            "import socket, time\ns = socket.socket(socket.AF_UNIX); s.bind('\\0left'); s.listen(1)\n"
            "if os.fork() == 0: time.sleep(30); os._exit(0)"
        ),
        "__import__('socket').socket(__import__('socket').AF_UNIX).connect_ex('\\0left')",
    ),
    "a lock": (
        (
            "import fcntl, time\nf = open('data'); fcntl.flock(f, fcntl.LOCK_EX)\n"
            "if os.fork() == 0: time.sleep(30); os._exit(0)"
        ),
        "__import__('fcntl').flock(open('data'), 6)",
    ),
    "an open file": ("os.dup2(1, 50)", "[fd for fd in range(4, 60) if opened(fd)]"),
    "a closed control socket": ("os.close(3)", "number"),
    "a message to the host": ("os.write(3, b'DV' + bytes(12))", "number"),
    "recursion": ("sys.setrecursionlimit(77)", "sys.getrecursionlimit()"),
    "a warning": ("import warnings; warnings.simplefilter('error')", "len(__import__('warnings').filters)"),
    "a trace": ("sys.settrace(print)", "sys.gettrace()"),
    "memory": ("x = 'x' * (20 << 20)", "number"),
    "too much memory": ("x = 'x' * (400 << 20)", "number"),
    "a name of the process": (
        "__import__('ctypes').CDLL(None).prctl(15, b'left')",
        (
            "(lambda b: (__import__('ctypes').CDLL(None).prctl(16, b), b.value)[1] == b'left')"
            "(__import__('ctypes').create_string_buffer(20))"
        ),
    ),
}
"""Ways to leave something, and an expression that would see it."""

HELPERS = """
import os, sys, json, random, signal, resource, builtins
def alive(pid):
    try: os.kill(pid, 0)
    except OSError: return False
    return True
def opened(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True
"""


_TRIED = [(title, True) for title in LEFT] + [(title, False) for title in list(LEFT)[::3]]
"""Without a setup, cases are evaluations, which tests/isolation attacks as well."""


@pytest.mark.parametrize(("title", "with_setup"), _TRIED)
def test_no_case_sees_what_another_left(client: httpx.Client, title: str, with_setup: bool) -> None:
    leave, look = LEFT[title]
    before = HELPERS if with_setup else HELPERS + SETUP
    look, leave = f"{before}\nprint({look})", f"{before}\n{leave}"
    setup = SETUP if with_setup else None
    (alone,) = outputs(client, [look], setup)
    found = outputs(client, [look, leave, look, leave, leave, look, look], setup)
    assert [found[index] for index in (0, 2, 5, 6)] == [alone] * 4


def test_the_setup_runs_once_for_cases_that_leave_nothing(either: httpx.Client) -> None:
    look = "print(os.getpid())"
    found = outputs(either, [look] * 30, limits={"processes": 5})
    assert len(set(found)) > 5, "each copy has another process id; where the setup runs again, they begin anew"


DIRTY = {
    "a thread": "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "a child": "import os, time\nif os.fork() == 0: time.sleep(60); os._exit(0)",
    "a file": "file = open('data', 'w+'); file.write('data'); file.seek(0)",
    "a pipe": "import os; pipe = os.pipe()",
    "a loop of asyncio": "import asyncio; loop = asyncio.new_event_loop()",
    "shared memory": "import mmap; shared = mmap.mmap(-1, 4096)",
    "a handler": "import signal; signal.signal(signal.SIGUSR1, print)",
}


@pytest.mark.parametrize("title", DIRTY)
def test_a_setup_that_shares_something_runs_for_each_case(client: httpx.Client, title: str) -> None:
    found = outputs(client, ["import os; print(os.getpid())"] * 6, DIRTY[title])
    assert len(set(found)) == 1
    assert found[0].strip().isdigit()


def test_an_open_file_of_the_setup_is_at_its_beginning_for_each_case(client: httpx.Client) -> None:
    assert outputs(client, ["print(file.read())"] * 5, DIRTY["a file"]) == ["data\n"] * 5


@pytest.mark.parametrize(
    ("setup", "told"),
    [
        ("1 / 0", "the setup failed (error): ZeroDivisionError: division by zero"),
        ("while True: pass", "the setup failed (timeout): still running after 1 s"),
        ("import sys; sys.exit(3)", "the setup failed (error): exit code 3"),
        ("def", "the setup failed (error): SyntaxError: "),
    ],
)
def test_a_setup_that_fails_is_told_for_each_case(client: httpx.Client, setup: str, told: str) -> None:
    answer = judged(client, setup=setup, input="print(1)", cases=[{}] * 5, limits={"wall_time": 1.0})
    assert {case["verdict"] for case in answer["cases"]} == {"internal_error"}
    assert all(case["reason"].startswith(told) for case in answer["cases"])


ENDINGS = {
    "a thread that prints": "import threading, time\ndef late(): time.sleep(0.2); print('late')\nthreading.Thread(target=late).start()",
    "atexit": "import atexit; atexit.register(print, 'late')",
    "atexit after an exception": "import atexit; atexit.register(print, 'late'); print('x'); raise SystemExit",
    "exit": "print('late'); import sys; sys.exit(0)",
    "a buffer": "import sys; sys.stdout.write('late\\n')",
    "the last expression": "'late'\nprint('late')",
    "main": "if __name__ == '__main__': print('late')",
}


@pytest.mark.parametrize("title", ENDINGS)
def test_a_case_ends_as_a_program_does(client: httpx.Client, title: str) -> None:
    with_setup, without = outputs(client, [ENDINGS[title]], ""), outputs(client, [ENDINGS[title]], None)
    assert with_setup == without
    assert "late" in with_setup[0]


def test_files_of_the_request_are_there_for_the_setup_and_all_cases(client: httpx.Client) -> None:
    files = [{"path": "in", "content": "aGVsbG8="}]
    found = outputs(client, ["print(text, open('in').read())"] * 3, "text = open('in').read()", files=files)
    assert found == ["hello hello\n"] * 3
    own = {"input": "print(open('own').read())", "files": [{"path": "own", "content": "eA=="}]}
    answer = judged(client, setup="x = 1", cases=[own, {"input": "import os; print(os.listdir())"}, own])
    assert [case["stdout"] for case in answer["cases"]] == ["x\n", "[]\n", "x\n"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"args": ["main.py"], "cases": [{}]}, "'setup' needs programs in 'input', and no 'args'"),
        ({"input": "1", "cases": [{"args": ["x"]}]}, "'setup' needs programs in 'input', and no 'args'"),
        ({"input": "1", "cases": [{"limits": {"memory": 1 << 20}}]}, "only wall_time and output can differ by case"),
    ],
)
def test_what_cannot_be_had_with_a_setup_is_refused(client: httpx.Client, body: dict[str, Any], told: str) -> None:
    answer = client.post("/judge", json={"setup": "x = 1", **body})
    assert answer.status_code == 400
    assert told in answer.json()["description"]


@pytest.mark.alone
def test_programs_that_no_process_can_have_leave_no_descriptors(client: httpx.Client, server: Server) -> None:
    def descriptors() -> int:
        return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

    programs = ["print(1)", "print('\0')"] * 20
    outputs(client, programs)
    before = descriptors()
    for _ in range(5):
        outputs(client, programs)
    assert descriptors() <= before + 5


def test_files_of_a_setup_are_no_files_of_a_case(client: httpx.Client) -> None:
    setup = "for n in range(300): open(f'{n:03}', 'w').close()"
    expected = {"files": [{"path": "own", "content": "eA=="}]}
    body = {"setup": setup, "input": "open('own', 'w').write('x')", "cases": [{"expected": expected}] * 2}
    answer = judged(client, **body)
    assert answer["verdict"] == "accepted"
    assert [[file["path"] for file in case["files"]] for case in answer["cases"]] == [["own"]] * 2


@pytest.mark.parametrize("setup", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
def test_a_setup_that_ends_its_interpreter_is_told(client: httpx.Client, setup: str) -> None:
    answer = judged(client, setup=setup, input="print(1)", cases=[{}] * 3)
    told = {(case["verdict"], case["reason"]) for case in answer["cases"]}
    assert told == {("internal_error", "the setup ended its interpreter; do not call exit() in it")}


def test_scheduling_attributes_are_seen(client: httpx.Client) -> None:
    change = (
        "import ctypes, os, struct\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "attr = struct.pack('IIQiIQQQII', 56, 0, 0x01, 0, 0, 0, 0, 0, 0, 0)\n"  # SCHED_FLAG_RESET_ON_FORK
        "libc.syscall(314, os.getppid(), attr, 0)"
    )
    look = (
        "import ctypes\nlibc = ctypes.CDLL(None)\nbuffer = ctypes.create_string_buffer(56)\n"
        "libc.syscall(315, os.getppid(), buffer, 56, 0)\nprint(buffer.raw[8:16])"
    )
    found = outputs(client, [look, change, look, change, change, look])
    assert len({found[index] for index in (0, 2, 5)}) == 1
