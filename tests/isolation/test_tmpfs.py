"""A tmpfs of the registry: each run's own, bounded, counted as its memory, and gone with it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isolation.attacks import Prison, table
from leftovers import held
from serving import Server, server_of

pytestmark = pytest.mark.own_server

MIB = 1 << 20
SIZE = 8 * MIB


@pytest.fixture(scope="module", params=["fork", "cold"])
def roomy(
    request: pytest.FixtureRequest, one_runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose runtime has a tmpfs from the defaults, and another of its own."""
    defaults = f'[defaults]\nstart = "{request.param}"\nmounts = [{{ target = "/tmp", tmpfs = "8MiB" }}]\n'
    own = 'mounts = [{ target = "/scratch/deep", tmpfs = "64MiB" }, '
    text = one_runtime.read_text().replace("[server]\n", "[server]\nconcurrency = 2\n").replace("mounts = [", own)
    with server_of(defaults + text, tmp_path_factory.mktemp("tmpfs"), request.param) as server:
        yield server


@pytest.fixture
def cell(roomy: Server) -> Prison:
    return Prison(roomy.client, "only")


def test_each_run_finds_it_empty_and_may_write_to_it(cell: Prison) -> None:
    program = (
        "import os\nfor folder in ('/tmp', '/scratch/deep'):\n"
        "  status, room = os.stat(folder), os.statvfs(folder)\n"
        "  print(os.listdir(folder), oct(status.st_mode & 0o7777), status.st_uid == os.getuid(), room.f_blocks * room.f_frsize)\n"
        "  open(folder + '/x', 'w').write('y')"
    )
    for _ in range(2):
        answer = cell.run(program)
        assert answer["stdout"] == f"[] 0o1777 True {SIZE}\n[] 0o1777 True {64 * MIB}\n"


def test_temporary_files_go_there_and_do_not_come_back(cell: Prison) -> None:
    answer = cell.run(
        "import tempfile\nplace = tempfile.mkdtemp()\nopen(place + '/kept.txt', 'w').write('x')\n"
        "open('mine.txt', 'w').write('y')\nprint(place.startswith('/tmp/'))"
    )
    assert answer["stdout"] == "True\n"
    assert [file["path"] for file in answer["files"]] == ["mine.txt"]


def test_a_link_from_the_home_brings_nothing_of_it_back(cell: Prison) -> None:
    answer = cell.run(
        "import os\nopen('/tmp/x', 'w').write('x'); os.symlink('/tmp/x', 'x'); os.symlink('/tmp', 'folder')"
    )
    assert (answer["status"], answer["files"]) == ("ok", [])


def test_it_holds_no_more_than_its_size(cell: Prison) -> None:
    program = "f = open('/tmp/x', 'wb', 0)\nn = 0\ntry:\n  while True: n += f.write(bytes(65536))\nexcept OSError as e: print(e.errno, n)"
    assert cell.run(program)["stdout"] == f"28 {SIZE}\n"
    program = (
        "n = 0\ntry:\n  while True: open(f'/tmp/{n}', 'w').close(); n += 1\nexcept OSError as e: print(e.errno, n)"
    )
    assert cell.run(program)["stdout"] == f"28 {SIZE // 4096 - 1}\n"  # the folder itself is one more


def test_what_is_in_it_counts_as_memory_of_the_run(cell: Prison) -> None:
    program = "f = open('/scratch/deep/x', 'wb', 0)\nfor _ in range(40): f.write(bytes(1 << 20))\nprint('all of it')"
    enough, too_little = (cell.run(program, limits={"memory": limit * MIB}) for limit in (64, 32))
    assert (enough["status"], enough["stdout"]) == ("ok", "all of it\n")
    if enough["usage"]["memory"] is None:
        return  # a host without this cgroup, where the size is all that limits it
    assert enough["usage"]["memory"] > 40 * MIB
    assert (too_little["status"], too_little["returncode"]) == ("out_of_memory", 137)


LIBRARY = """
def library(name, *arguments):
    if getattr(_libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), name)
"""

ATTACKS = {
    "execute a file": (
        "open('/tmp/x', 'w').write('#!' + sys.executable); os.chmod('/tmp/x', 0o755)\n"
        "attempt(lambda: os.execv('/tmp/x', ['x']), errno.EACCES)"
    ),
    "map a file to execute it": (
        "import mmap\nf = open('/tmp/x', 'w+b'); f.write(bytes(4096)); f.flush()\n"
        "attempt(lambda: mmap.mmap(f.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC), errno.EPERM)"
    ),
    "mount another over it": "attempt(lambda: library('mount', b'tmpfs', b'/tmp', b'tmpfs', 0, 0), errno.EPERM)",
    "mount it anew": "attempt(lambda: library('mount', 0, b'/tmp', 0, 32, 0), errno.EPERM)",
    "unmount it": "attempt(lambda: library('umount2', b'/tmp', 2), errno.EPERM)",
    "make a device in it": "attempt(lambda: os.mknod('/tmp/null', 0o020666, os.makedev(1, 3)), errno.EPERM)",
    "remove it": "attempt(lambda: os.rmdir('/tmp'), errno.EBUSY, errno.EROFS)",
    "put something in its place": "attempt(lambda: os.rename('/tmp', '/home/tmp'), errno.EBUSY, errno.EROFS, errno.EXDEV)",
    "write beside it": "attempt(lambda: os.mkdir('/scratch/other'), errno.EROFS)",
    "give a file of it to the home": "open('/tmp/x', 'w')\nattempt(lambda: os.link('/tmp/x', '/home/x'), errno.EXDEV)",
    "use it as a way out": "os.symlink('/..', '/tmp/up')\nattempt(lambda: os.stat('/tmp/up/etc/hostname'), errno.ENOENT)",
}


@table(ATTACKS)
def test_it_opens_nothing(cell: Prison, program: str) -> None:
    cell.attack(LIBRARY + program)


def test_no_run_sees_what_is_in_that_of_another_at_the_same_time(cell: Prison) -> None:
    program = (
        "import os, socket, time\nbegin = time.monotonic()\nopen('/tmp/mark', 'w').close(); os.mkfifo('/scratch/deep/pipe')\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('/tmp/s'); time.sleep(0.5)\n"
        "print(begin, time.monotonic(), *sorted(os.listdir('/tmp')), *os.listdir('/scratch/deep'))"
    )
    with ThreadPoolExecutor(2) as pool:
        one, other = (answer["stdout"].split() for answer in pool.map(cell.run, [program] * 2))
    assert one[2:] == other[2:] == ["mark", "s", "pipe"]
    assert max(float(one[0]), float(other[0])) < min(float(one[1]), float(other[1])), "they were not at the same time"


def test_nothing_of_it_is_left_when_the_answer_is_there(roomy: Server, cell: Prison) -> None:
    programs = (
        "open('/tmp/x', 'wb').write(bytes(1 << 20))",
        "import os; f = open('/tmp/x', 'w'); os.abort()",
        "import mmap; f = open('/tmp/x', 'w+b'); f.truncate(4096); m = mmap.mmap(f.fileno(), 0); m[:] = bytes(4096)",
        "import os, time\nif not os.fork(): os.setsid(); os.chdir('/tmp'); f = open('x', 'w'); time.sleep(60)\ntime.sleep(0.1)",
    )
    cell.run("")
    before = held(roomy)
    for program in programs * 5:
        cell.run(program)
    after = held(roomy)
    assert after.pop("descriptors") <= before.pop("descriptors")
    assert after == before
