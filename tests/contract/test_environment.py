"""Where a program finds itself."""

from contract.snekbox_client import SnekboxClient


def test_home_is_the_working_folder_and_empty(snekbox: SnekboxClient) -> None:
    code = "import os; print(os.getcwd(), os.path.expanduser('~'), os.listdir('.'))"
    assert snekbox.prints(code) == "/home /home []\n"


def test_home_has_48_mib(snekbox: SnekboxClient) -> None:
    code = (
        "file = open('.x', 'wb', 0)\ntry:\n while True: file.write(bytes(1 << 16))\nexcept OSError: print(file.tell())"
    )
    assert snekbox.prints(code, limits={}) == f"{48 << 20}\n"


def test_shared_memory_has_40_mib(snekbox: SnekboxClient) -> None:
    code = "import os; fs = os.statvfs('/dev/shm'); print(fs.f_blocks * fs.f_frsize)"
    assert snekbox.prints(code) == f"{40 << 20}\n"


def test_everything_else_is_read_only(snekbox: SnekboxClient) -> None:
    code = (
        "import os\nfor folder, _, _ in os.walk('/'):\n"
        "  try: open(folder + '/written', 'w').close(); print(folder)\n  except OSError: pass"
    )
    assert sorted(snekbox.prints(code).split()) == ["/dev/shm", "/home"]


def test_there_is_neither_tmp_nor_proc(snekbox: SnekboxClient) -> None:
    code = "import os; print([p for p in ('/tmp', '/var/tmp', '/proc/self', '/sys/kernel') if os.path.exists(p)])"
    assert snekbox.prints(code) == "[]\n"
    assert snekbox.prints("import tempfile; print(tempfile.gettempdir())") == "/home\n"


def test_there_is_no_network_not_even_loopback(snekbox: SnekboxClient) -> None:
    code = (
        "import socket\nfor host in ('127.0.0.1', '10.0.0.1', '::1'):\n"
        "  try: socket.create_connection((host, 80), 1); print('connected')\n  except OSError as error: print(error.errno)\n"
        "try: socket.getaddrinfo('example.com', 80); print('resolved')\nexcept OSError: print('unresolved')"
    )
    assert snekbox.prints(code) == "101\n101\n99\nunresolved\n"


def test_the_environment_is_that_of_the_peer(snekbox: SnekboxClient) -> None:
    code = "import os\nfor item in sorted(os.environ.items()):\n  if item[0] != 'LC_CTYPE': print('%s=%s' % item)"
    assert snekbox.prints(code).split("\n") == [
        "HOME=/home",
        "LANG=en_US.UTF-8",
        "MKL_NUM_THREADS=15",
        "NUMEXPR_NUM_THREADS=15",
        "OMP_NUM_THREADS=15",
        "OPENBLAS_NUM_THREADS=15",
        "PYTHONDONTWRITEBYTECODE=true",
        "PYTHONIOENCODING=utf-8:strict",
        "PYTHONUNBUFFERED=true",
        "PYTHONUSERBASE=/snekbox/user_base",
        "PYTHON_COLORS=1",
        "VECLIB_MAXIMUM_THREADS=15",
        "",
    ]


def test_resources_of_the_kernel_are_limited(snekbox: SnekboxClient) -> None:
    code = (
        "import resource\nfor name in ('AS', 'CORE', 'MEMLOCK', 'MSGQUEUE', 'NOFILE', 'SIGPENDING', 'STACK'):\n"
        "  print(name, *resource.getrlimit(getattr(resource, 'RLIMIT_' + name, 11)))"
    )
    assert snekbox.prints(code).splitlines() == [
        f"AS {700 << 20} {700 << 20}",
        "CORE 0 0",
        "MEMLOCK 65536 65536",
        "MSGQUEUE 0 0",
        "NOFILE 256 256",
        "SIGPENDING 256 256",
        f"STACK {8 << 20} {8 << 20}",
    ]


def test_nothing_of_the_servers_descriptors_is_open(snekbox: SnekboxClient) -> None:
    code = "import os\nfor fd in range(256):\n  try: os.fstat(fd); print(fd)\n  except OSError: pass"
    assert snekbox.prints(code) == "0\n1\n2\n"


def test_tracebacks_are_coloured_from_3_13_on(snekbox: SnekboxClient) -> None:
    assert ("\x1b[" in snekbox.prints("1/0")) == (snekbox.version >= (3, 13))


def test_only_the_standard_library_and_the_user_base_are_importable(snekbox: SnekboxClient) -> None:
    """What is in the user base is imported in test_packages."""
    code = (
        "import json, sqlite3, ssl, ctypes, decimal, asyncio, unicodedata, zlib\nimport site, sys\n"
        "known = (sys.base_prefix, site.getusersitepackages())\nprint([p for p in sys.path if p and not p.startswith(known)])"
    )
    assert snekbox.prints(code) == "[]\n"
