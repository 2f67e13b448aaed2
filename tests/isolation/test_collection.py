"""Tricks with the files that come back: nothing of the host comes with them, and nothing takes for ever."""

import base64
import time

import pytest

from isolation.attacks import Prison
from serving import SLOWNESS

SECRETS = (
    "/etc/shadow",
    "/proc/self/environ",
    "/proc/self/fd/3",
    "/proc/1/root/etc/shadow",
    "/sys/kernel/notes",
    "/dev/zero",
)

LINKS = {
    "absolute": "os.symlink('{secret}', 'x')",
    "relative": "os.symlink('..{secret}', 'x')",
    "much too relative": "os.symlink('../' * 100 + '{secret}'[1:], 'x')",
    "chained": "os.symlink('{secret}', '.a'); os.symlink('.a', '.b'); os.symlink('.b', 'x')",
    "through a folder": "os.symlink('/', '.root'); os.symlink('.root{secret}', 'x')",
    "through the parent of a folder": "os.symlink('..', '.up'); os.symlink('.up{secret}', 'x')",
    "by the name of the home": "os.symlink('/home/../{secret}', 'x')",
    "as a folder": "os.symlink(os.path.dirname('{secret}'), 'x')",
    "in a folder": "os.mkdir('d'); os.symlink('../..{secret}', 'd/x')",
    "with dots": "os.symlink('/./home/./.././{secret}', 'x')",
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
def test_a_link_to_a_secret_brings_nothing_back(prison: Prison, link: str, secret: str) -> None:
    answer = prison.run("import os\n" + link.format(secret=secret))
    assert (answer["returncode"], answer["files"]) == (0, [])


TRICKS = {
    "ten thousand links": "import os\nopen('a', 'w').write('1')\nfor n in range(10_000): os.symlink('a', str(n))",
    "links of links": "import os\nopen('0', 'w').write('1')\nfor n in range(1, 60): os.symlink(str(n - 1), str(n))",
    "circles": "import os\nfor n in range(5000): os.symlink(str((n + 1) % 5000), str(n))",
    "long links": "import os\nos.mkdir('d')\nfor n in range(100): os.symlink('d/../' * 800 + 'x', str(n))",
    "doubling links": (
        "import os\nos.mkdir('0')\nfor n in range(1, 40): os.symlink(f'{n - 1}/../{n - 1}', str(n))\nos.symlink('39/x', 'x')"
    ),
    "many folders": "import os\nfor n in range(10_000): os.mkdir(str(n))",
    "wide and deep": "import os\nfor a in range(90):\n  for b in range(90): os.makedirs(f'{a}/{b}')",
    "pipes": "import os\nfor n in range(5000): os.mkfifo(str(n))",
    "sockets": "import socket\nfor n in range(200): socket.socket(socket.AF_UNIX).bind(str(n))",
    "long names": "for n in range(5000): open(f'{n:0255}', 'w').close()",
    "names with ends of lines": "for n in range(99): open(f'a\\nb\\r{n}\\x1b[2J', 'w').close()",
    "huge and empty": "for n in range(150): open(str(n), 'w').truncate(1 << 50)",
    "files without rights": "import os\nfor n in range(99): os.chmod(os.open(str(n), os.O_CREAT), 0)",
    "a home without rights": "import os\nopen('x', 'w').write('1'); os.chmod('/home', 0)",
    "a writer to the end": (
        "import os, threading\ndef write():\n  while True: open('x', 'ab').write(b'x' * 4096); open('x', 'w').close()\n"
        "for _ in range(3): threading.Thread(target=write, daemon=True).start()\nimport time; time.sleep(0.2); os._exit(0)"
    ),
    "a swapper to the end": (
        "import os, time\nopen('a', 'w').write('1')\nif not os.fork():\n  while True:\n"
        "    os.symlink('/etc/ld.so.cache', 't'); os.rename('t', 'x'); os.link('a', 't'); os.rename('t', 'x')\ntime.sleep(0.2)"
    ),
    "a home mounted elsewhere": "import os\nos.rename('/home/.', '/home/x') if False else os.mkdir('x'); os.chdir('x'); os.rmdir('/home/x')",
}


@pytest.mark.alone
@pytest.mark.parametrize("program", TRICKS.values(), ids=TRICKS.keys())
def test_a_trick_costs_little_and_brings_nothing_of_the_host(prison: Prison, program: str) -> None:
    begin = time.monotonic()
    answer = prison.run(program)
    assert time.monotonic() - begin < 4 * SLOWNESS
    assert answer["status"] in {"ok", "error", "file_error"}
    assert len(answer["files"]) <= 100
    for file in answer["files"]:
        assert b"ld.so" not in base64.b64decode(file["content"])
