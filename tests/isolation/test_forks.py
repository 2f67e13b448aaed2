"""What a fork could share: nothing of one run is seen by those after it, and what draws at random draws anew."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isolation.attacks import Prison, table
from serving import await_fork_servers, running_server

LEAVE = """
import builtins, ctypes, json, locale, mmap, os, random, resource, signal, sys, threading, time
builtins.mark = sys.mark = os.mark = json.mark = 'mark'
sys.path.append('/mark'); sys.modules['mark'] = sys; sys.setrecursionlimit(777); sys.setswitchinterval(0.5)
os.environ['MARK'] = '1'; ctypes.CDLL(None).setenv(b'CMARK', b'1', 1)
os.umask(0o077); os.nice(1)
signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); signal.alarm(5)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
locale.setlocale(locale.LC_ALL, 'C'); os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()
for folder in ('/home', '/dev/shm'):
    os.chmod(folder, 0o711); open(folder + '/mark', 'w').write('mark')
os.mkdir('/home/deep'); os.chdir('/home/deep'); random.seed(1)
json.dumps = print; ctypes.memset(ctypes.create_string_buffer(99), 7, 99)
fd = os.open('/home/mark', os.O_RDONLY); os.dup(fd); os.set_inheritable(fd, True)
ctypes.CDLL(None).prctl(15, b'mark', 0, 0, 0)
threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
"""

LOOK = """
import builtins, ctypes, locale, os, resource, signal, sys, time, json
name = ctypes.create_string_buffer(16)
def is_open(fd):
    try: return bool(os.fstat(fd))
    except OSError: return False
print(
    [hasattr(each, 'mark') for each in (builtins, sys, os, json)], 'mark' in sys.modules, '/mark' in sys.path,
    sys.getrecursionlimit(), sys.getswitchinterval(), sorted(os.environ), ctypes.CDLL(None).getenv(b'CMARK'),
    os.umask(0), os.nice(0), os.getpgid(0), os.getsid(0), os.getpid(), os.getppid(), os.getcwd(),
    signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.alarm(0),
    resource.getrlimit(resource.RLIMIT_NOFILE), locale.setlocale(locale.LC_ALL), time.tzname,
    [(oct(os.stat(folder).st_mode), os.listdir(folder)) for folder in ('/home', '/dev/shm')],
    [fd for fd in range(64) if is_open(fd)], json.dumps(1), ctypes.CDLL(None).prctl(16, name, 0, 0, 0), name.value,
    sorted(sys.modules),
)
"""


def test_what_a_run_does_to_its_interpreter_and_places_the_next_does_not_see(prison: Prison) -> None:
    before = prison.run(LOOK)
    for _ in range(3):
        left = prison.run(LEAVE)
        assert left["returncode"] == 0, left["stdout"]
        after = prison.run(LOOK)
        assert (after["returncode"], after["stdout"]) == (0, before["stdout"])


RANDOM = {
    "random": "import random; print(random.random(), random.getrandbits(64), random.sample(range(10**9), 3))",
    "secrets": "import secrets; print(secrets.token_hex())",
    "the system": "import os; print(os.urandom(16), os.getrandom(16))",
    "tempfile": "import tempfile; print(next(tempfile._get_candidate_names()), tempfile.mktemp())",
    "uuid 1": "import uuid; print(uuid.uuid1().node, uuid.uuid1().clock_seq)",
    "uuid 4": "import uuid; print(uuid.uuid4())",
    "OpenSSL": "import ssl; print(ssl.RAND_bytes(16))",
    "an instance of Random": "import random; print(random.Random().random(), random.SystemRandom().random())",
}


@pytest.fixture(scope="module")
def preloading(registry_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prison]:
    """A runtime that has imported ahead, and used, all that draws at random."""
    folder = tmp_path_factory.mktemp("preloading")
    text = registry_path.read_text()
    modules = '["random", "secrets", "tempfile", "uuid", "ssl"]'
    registry = folder / "runtimes.toml"
    name = text.split('default = "')[1].split('"')[0]
    registry.write_text(text.replace(f'[runtimes."{name}"]\n', f'[runtimes."{name}"]\npreload = {modules}\n'))
    with running_server(registry, folder / "log") as server:
        await_fork_servers(server.client)
        yield Prison(server.client, name)


@table(RANDOM)
def test_no_two_runs_draw_the_same(prison: Prison, program: str) -> None:
    assert len({prison.run(program)["stdout"] for _ in range(5)}) == 5


@pytest.mark.own_server
@table(RANDOM)
def test_no_two_runs_draw_the_same_of_what_was_imported_ahead(preloading: Prison, program: str) -> None:
    assert "True" in preloading.run("import sys; print('ssl' in sys.modules)")["stdout"]
    assert len({preloading.run(program)["stdout"] for _ in range(5)}) == 5


def test_runs_at_the_same_time_have_different_ids_and_see_nothing_of_each_other(prison: Prison) -> None:
    program = (
        "import os, socket, time\nopen('mark', 'w').close(); open('/dev/shm/mark', 'w').close()\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('\\0mark'); time.sleep(0.5)\n"
        "print(os.getuid(), os.getpid(), len(os.listdir('.')), len(os.listdir('/dev/shm')))"
    )
    with ThreadPoolExecutor(2) as pool:
        answers = [answer["stdout"].split() for answer in pool.map(prison.run, [program] * 2)]
    assert [answer[2:] for answer in answers] == [["1", "1"]] * 2
    assert prison.in_session or [answer[1] for answer in answers] == ["1", "1"]
