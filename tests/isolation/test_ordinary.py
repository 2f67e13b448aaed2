"""What the wall must not stop: ordinary programs, on every runtime, say that they are done."""

import httpx
import pytest

from isolation.attacks import Prison

PROGRAMS = {
    "threads": "import threading\nt = [threading.Thread(target=sum, args=(range(9),)) for _ in range(10)]\n[x.start() for x in t]; [x.join() for x in t]",
    "an executor": "from concurrent.futures import ThreadPoolExecutor as P\nwith P(4) as p: assert list(p.map(abs, [-1, 2])) == [1, 2]",
    "processes": "from concurrent.futures import ProcessPoolExecutor as P\nwith P(2) as p: assert list(p.map(abs, [-1, 2])) == [1, 2]",
    "a pool": "import multiprocessing as m\nwith m.Pool(2) as p: assert p.map(abs, [-1]) == [1]",
    "a queue of processes": "import multiprocessing as m\nc = m.get_context('fork'); q = c.Queue(); p = c.Process(target=q.put, args=(1,)); p.start(); assert q.get() == 1; p.join()",
    "shared memory": "import multiprocessing as m\nx = m.Array('i', 9); x[0] = 1; l = m.Lock(); l.acquire(); l.release()",
    "a child": "import subprocess, sys\nassert subprocess.check_output([sys.executable, '-c', 'print(1)']) == b'1\\n'",
    "a child in a session of its own": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', ''], start_new_session=True, check=True, stdin=subprocess.DEVNULL)",
    "a child with a limit of time": "import subprocess, sys\ntry: subprocess.run([sys.executable, '-c', 'import time; time.sleep(9)'], timeout=0.1)\nexcept subprocess.TimeoutExpired: pass",
    "a shell-less fork": "import os\npid = os.fork()\npid or os._exit(7)\nassert os.waitpid(pid, 0)[1] >> 8 == 7",
    "asyncio": "import asyncio\nasync def f():\n  await asyncio.sleep(0.01)\nloop = asyncio.new_event_loop()\nloop.run_until_complete(f())\nloop.close()",
    "a child of asyncio": (
        "import asyncio, sys\nasync def f():\n  p = await asyncio.create_subprocess_exec(sys.executable, '-c', 'print(1)', stdout=-1)\n"
        "  assert (await p.communicate())[0] == b'1\\n'\nloop = asyncio.get_event_loop_policy().new_event_loop()\nasyncio.set_event_loop(loop)\nloop.run_until_complete(f())"
    ),
    "a server for itself": "import asyncio, socket\na, b = socket.socketpair()\na.sendall(b'x'); assert b.recv(1) == b'x'\ns = socket.socket(socket.AF_UNIX); s.bind('/home/s'); s.listen(1); c = socket.socket(socket.AF_UNIX); c.connect('/home/s')",
    "a database": "import sqlite3\nd = sqlite3.connect('d.db'); d.execute('pragma journal_mode=wal'); d.execute('create table t(x)'); d.execute('insert into t values (1)'); d.commit(); assert d.execute('select x from t').fetchall() == [(1,)]",
    "TLS": "import ssl\nc = ssl.create_default_context(); i, o = ssl.MemoryBIO(), ssl.MemoryBIO()\nt = c.wrap_bio(i, o, server_hostname='x')\ntry: t.do_handshake()\nexcept ssl.SSLWantReadError: pass\nassert o.pending",
    "hashes": "import hashlib, hmac, secrets, uuid\nhashlib.sha256(b'x').digest(), hashlib.blake2b(b'x'), secrets.token_hex(), uuid.uuid1(), uuid.uuid4(), hashlib.pbkdf2_hmac('sha256', b'x', b'y', 9)",
    "temporary files": "import tempfile\nwith tempfile.NamedTemporaryFile() as f: f.write(b'x')\nwith tempfile.TemporaryDirectory(): pass\ntempfile.TemporaryFile().close()",
    "copies": "import shutil, os\nopen('a', 'w').write('x'); shutil.copy2('a', 'b'); os.makedirs('d/e'); shutil.copytree('d', 'f'); shutil.move('b', 'd'); shutil.rmtree('d'); shutil.make_archive('z', 'zip', 'f')",
    "mapped files": "import mmap\nf = open('x', 'w+b'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); m[:1] = b'x'; m.flush()",
    "locks of files": "import fcntl\nf = open('x', 'w'); fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX)",
    "locks of descriptors": "import fcntl, struct\nf = open('x', 'w'); fcntl.fcntl(f, getattr(fcntl, 'F_OFD_SETLK', 37), struct.pack('hhqqi4x', 1, 0, 0, 0, 0))",
    "flags of descriptors": "import fcntl, os\nr, w = os.pipe(); os.set_blocking(w, False); os.set_inheritable(r, True); assert fcntl.fcntl(w, fcntl.F_GETFL) & os.O_NONBLOCK\nd = fcntl.fcntl(r, fcntl.F_DUPFD_CLOEXEC, 50); assert d >= 50; assert fcntl.fcntl(d, fcntl.F_GETFD) == fcntl.FD_CLOEXEC; assert fcntl.fcntl(w, 1031, 1 << 17) == 1 << 17",
    "controls": "import array, fcntl, os, socket, termios\nr, w = os.pipe(); os.write(w, b'abc'); n = array.array('i', [0]); fcntl.ioctl(r, termios.FIONREAD, n); assert n[0] == 3\nfcntl.ioctl(r, termios.FIONBIO, array.array('i', [1])); fcntl.ioctl(r, termios.FIOCLEX); fcntl.ioctl(r, termios.FIONCLEX); assert not os.get_blocking(r); assert not os.isatty(1)\ns = socket.socket(); assert socket.if_nametoindex('lo') == 1; fcntl.ioctl(socket.socketpair()[0], 0x5411, n); assert n[0] == 0",
    "files on the disk": "import os\nf = open('x', 'wb'); f.write(b'x'); f.flush(); os.fsync(f.fileno()); os.fdatasync(f.fileno()); os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED); os.posix_fallocate(f.fileno(), 0, 4096); os.sync(); assert os.stat('x').st_size == 4096",
    "waiting": "import os, select\nr, w = os.pipe(); os.write(w, b'x')\nassert select.select([r], [], [], 1)[0]\ne = select.epoll(); e.register(r); assert e.poll(1)\np = select.poll(); p.register(r); assert p.poll(1)",
    "signals": "import signal, time\ngot = []\nsignal.signal(signal.SIGALRM, lambda *a: got.append(a)); signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(0.05); assert got\nsignal.pthread_sigmask(signal.SIG_BLOCK, [10]); signal.raise_signal(10) if hasattr(signal, 'raise_signal') else None",
    "ctypes": "import ctypes\nassert ctypes.CDLL(None).abs(-3) == 3\nassert ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda x: x + 1)(1) == 2",
    "decimals and dates": "import decimal, datetime, calendar, locale, random, statistics\ndecimal.getcontext().prec = 99; str(decimal.Decimal(2).sqrt()); datetime.datetime.now(datetime.timezone.utc).astimezone(); random.SystemRandom().random()",
    "compression": "import bz2, gzip, lzma, zipfile, zlib\nassert zlib.decompress(zlib.compress(b'x')) == gzip.decompress(gzip.compress(b'x')) == bz2.decompress(bz2.compress(b'x')) == lzma.decompress(lzma.compress(b'x'))",
    "facts about the machine": "import os, platform, resource, sys, sysconfig\nos.cpu_count(), os.uname(), os.getloadavg() if os.path.exists('/proc') else 0, platform.platform(), resource.getrusage(0), os.times(), os.sched_getaffinity(0), os.statvfs('.'), os.getrandom(8), os.get_terminal_size if 0 else 0",
    "input and the end": "import sys, atexit\natexit.register(print, end='')\nassert sys.stdin.read() == ''",
    "a test of the standard library": "import unittest\nclass T(unittest.TestCase):\n  def test(self): self.assertTrue(1)\nassert unittest.main(exit=False, argv=['x']).result.wasSuccessful()",
    "a debugger's trace": "import sys, cProfile, tracemalloc, faulthandler, gc\nsys.settrace(lambda *a: None); sys.settrace(None); tracemalloc.start(); gc.collect(); faulthandler.enable()\ncProfile.run('1 + 1')",
    "pickles": "import copy, json, marshal, pickle, shelve\nwith shelve.open('s') as s: s['x'] = [1]\nassert pickle.loads(pickle.dumps({1: (2,)})) == {1: (2,)}",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_an_ordinary_program_notices_nothing(client: httpx.Client, program: str) -> None:
    names = [runtime["name"] for runtime in client.get("/runtimes").json()["runtimes"]]
    for name in names:
        answer = Prison(client, name).run(program + "\nprint('done')")
        assert (answer["returncode"], answer["stdout"].splitlines()[-1:]) == (0, ["done"]), (name, answer["stdout"])


def test_attacks_reach_the_server_that_they_are_meant_for(request: pytest.FixtureRequest, prison: Prison) -> None:
    way = request.node.callspec.params["server"]
    assert {each["start"] for each in prison.client.get("/runtimes").json()["runtimes"]} == {way}
