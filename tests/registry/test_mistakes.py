"""What is refused in a registry, and with which words."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snekhouse.errors import Problem, RegistryError
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry

Load = Callable[[str], Registry]

_ONE = """
[runtimes."3.12"]
executable = "/py/3.12"
"""


def _problems(load_text: Load, text: str) -> list[Problem]:
    with pytest.raises(RegistryError) as caught:
        load_text(text)
    return list(caught.value.problems)


def _problems_if_any(load_text: Load, tables: dict[str, Any]) -> list[Problem]:
    try:
        load_text(tomli_w.dumps(tables))
    except RegistryError as error:
        return list(error.problems)
    return []


# What is wrong: TOML, the key, words of the message, words of the remedy.
_MISTAKES: dict[str, tuple[str, str, str, str]] = {
    "a table with a misspelt name": (_ONE + "[sever]\n", "sever", "unknown key", "'server'"),
    "a misspelt key of the server": ("[server]\nqueu = 1" + _ONE, "server.queu", "unknown key", "'queue'"),
    "a misspelt table in the defaults": ("[defaults]\nlimit = {}" + _ONE, "defaults.limit", "unknown key", "'limits'"),
    "a misspelt limit in the defaults": (
        "[defaults.limits]\nwalltime = 1" + _ONE,
        "defaults.limits.walltime",
        "unknown key",
        "'wall_time'",
    ),
    "a misspelt key of a runtime": (_ONE + "alias = []", 'runtimes."3.12".alias', "unknown key", "'aliases'"),
    "a misspelt limit of a runtime": (
        _ONE + "limits = { memroy = 1 }",
        'runtimes."3.12".limits.memroy',
        "unknown key",
        "'memory'",
    ),
    "a misspelt key of a mount": (
        _ONE + 'mounts = [{ source = "/a" }, { source = "/b", writeable = true }]',
        'runtimes."3.12".mounts[1].writeable',
        "unknown key",
        "'writable'",
    ),
    "a misspelt key of the build": (
        _ONE + f'build = {{ version = "3.12.1", sha256 = "{"0" * 64}", confgure = [] }}',
        'runtimes."3.12".build.confgure',
        "unknown key",
        "'configure'",
    ),
    "a key like no other": (
        _ONE + "[server]\nzzz = 1",
        "server.zzz",
        "unknown key",
        "known keys: bind, workers, concurrency",
    ),
    "fewer ids than evaluations at once": (
        _ONE + "[server]\nuids = [5000, 5001]\nconcurrency = 3",
        "server.uids",
        "has 2 ids; 12 are needed: 3 for evaluations and sessions, and for each worker 8 for each",
        "end the range at 5011 or later",
    ),
    "more workers than evaluations at once": (
        _ONE + "[server]\nworkers = 4\nconcurrency = 3",
        "server.workers",
        "4 is more than concurrency, which is 3",
        "write 3 or fewer",
    ),
    "a word that is no list of modules": (
        _ONE + 'preload = "numpy"',
        'runtimes."3.12".preload',
        'is neither "auto" nor a list of modules',
        'such as ["numpy"]',
    ),
    "a module that cannot be": (
        _ONE + 'preload = ["numpy", "no-module"]',
        'runtimes."3.12".preload[1]',
        "is not the name of a module",
        'such as "numpy.linalg"',
    ),
    "a range of ids that ends before it begins": (
        _ONE + "[server]\nuids = [5001, 5000]",
        "server.uids",
        "is not a range",
        "such as [200000, 200999]",
    ),
    "a limit outside of its table": (
        _ONE + 'memory = "1GiB"',
        'runtimes."3.12".memory',
        "unknown key",
        'belongs to runtimes."3.12".limits',
    ),
    "a name without quotes": (
        '[runtimes.3.12]\nexecutable = "/py/3.12"',
        'runtimes."3.12"',
        "needs quotes",
        '[runtimes."3.12"]',
    ),
    "a text for a number": (
        _ONE + 'limits = { wall_time = "6" }',
        'runtimes."3.12".limits.wall_time',
        "is not a number",
        "without quotes",
    ),
    "a fraction of a process": (
        _ONE + "limits = { processes = 1.5 }",
        'runtimes."3.12".limits.processes',
        "is not a whole number",
        "whole number",
    ),
    "a text for a truth": (
        '[server]\nallow_degraded = "yes"' + _ONE,
        "server.allow_degraded",
        "is not true or false",
        "true or false",
    ),
    "the defaults without an s": (
        _ONE + "[default.limits]\nwall_time = 2",
        "default",
        "is a table",
        "rename the table to [defaults]",
    ),
    "the defaults without an s, and two runtimes": (
        "[default]\n" + _ONE + "[runtimes.b]\nexecutable = '/b'",
        "default",
        "is a table",
        "rename the table to [defaults]",
    ),
    "a number for a text": ("default = 3.12" + _ONE, "default", "is not text", "in quotes"),
    "a text for a list": (_ONE + 'aliases = "3"', 'runtimes."3.12".aliases', "is not a list", "[...]"),
    "a text for a table": ('server = "x"' + _ONE, "server", "is not a table", "[server]"),
    "a number for a runtime": ("[runtimes]\nx = 1", "runtimes.x", "is not a table", "[runtimes.x]"),
    "a path for a mount": (
        _ONE + 'mounts = ["/usr"]',
        'runtimes."3.12".mounts[0]',
        "is not a table",
        'write a table: { source = "/usr" }',
    ),
    "an empty list of runtimes": ("runtimes = []", "runtimes", "is not a table", "[runtimes]"),
    "a number for all runtimes": ("runtimes = 1", "runtimes", "is not a table", "[runtimes]"),
    "a number in the environment": (_ONE + "env = { A = 1 }", 'runtimes."3.12".env.A', "is not text", "in quotes"),
    "a variable without a name": (_ONE + 'env = { "" = "" }', 'runtimes."3.12".env.""', "not the name", "not empty"),
    "a variable with an equals sign": (
        _ONE + 'env = { "A=B" = "" }',
        'runtimes."3.12".env."A=B"',
        "not the name",
        "'='",
    ),
    "a null byte": (_ONE + 'env = { A = "\\u0000" }', 'runtimes."3.12".env.A', "null byte", "remove it"),
    "a start that does not exist": (
        _ONE + 'start = "warm"',
        'runtimes."3.12".start',
        "must be 'fork' or 'cold'",
        "'cold'",
    ),
    "an alias of two runtimes": (
        (
            'default = "a"\n[runtimes.a]\nexecutable = "/a"\naliases = ["x"]\n'
            '[runtimes.b]\nexecutable = "/b"\naliases = ["y", "x"]'
        ),
        "runtimes.b.aliases[1]",
        "already an alias of 'a'",
        "remove one",
    ),
    "an alias twice": (_ONE + 'aliases = ["x", "x"]', 'runtimes."3.12".aliases[1]', "already", "remove one"),
    "an alias that hides a runtime": (
        'default = "a"\n[runtimes.a]\nexecutable = "/a"\naliases = ["b"]\n[runtimes.b]\nexecutable = "/b"',
        "runtimes.a.aliases[0]",
        "is also the name of a runtime",
        "remove the alias",
    ),
    "an unknown default": ('default = "3.21"' + _ONE, "default", "no runtime '3.21'", "'3.12'"),
    "an unknown default like no other": (
        'default = "pypy"' + _ONE,
        "default",
        "no runtime 'pypy'",
        "name one of: 3.12",
    ),
    "no default among two": (
        '[runtimes.a]\nexecutable = "/a"\n[runtimes.b]\nexecutable = "/b"',
        "default",
        "is missing",
        "name one of: a, b",
    ),
    "no runtime": ("[server]\nqueue = 1", "runtimes", "lists no runtime", '[runtimes."3.14"]'),
    "an empty table of runtimes": ("[runtimes]", "runtimes", "lists no runtime", '[runtimes."3.14"]'),
    "no executable": ('[runtimes."3.12"]', 'runtimes."3.12".executable', "is missing", "add it"),
    "a relative executable": (
        '[runtimes.a]\nexecutable = "a"',
        "runtimes.a.executable",
        "not an absolute",
        "starts with /",
    ),
    "a relative executable name": (
        _ONE + 'executable_names = ["bin/python"]',
        'runtimes."3.12".executable_names[0]',
        "not an absolute",
        "starts with /",
    ),
    "a relative state folder": ('[server]\nstate = "x"' + _ONE, "server.state", "not an absolute", "starts with /"),
    "a relative source": (
        '[[defaults.mounts]]\nsource = "lib"' + _ONE,
        "defaults.mounts[0].source",
        "not an absolute",
        "starts with /",
    ),
    "a target that climbs": (
        _ONE + 'mounts = [{ source = "/a", target = "/a/../b" }]',
        'runtimes."3.12".mounts[0].target',
        "'..'",
        "without it",
    ),
    "a limit of zero": (
        _ONE + "limits = { cpus = 0 }",
        'runtimes."3.12".limits.cpus',
        "greater than 0",
        "greater than 0",
    ),
    "a negative limit": (
        "[defaults.limits]\nwall_time = -1.0" + _ONE,
        "defaults.limits.wall_time",
        "greater than 0",
        "greater than 0",
    ),
    "a size of zero": (
        "[defaults.limits]\nmemory = 0" + _ONE,
        "defaults.limits.memory",
        "greater than 0",
        "greater than 0",
    ),
    "a negative size": (
        _ONE + 'limits = { home = "-1MiB" }',
        'runtimes."3.12".limits.home',
        "greater than 0",
        "greater than 0",
    ),
    "a limit that is not finite": (
        _ONE + "limits = { wall_time = inf }",
        'runtimes."3.12".limits.wall_time',
        "not a finite number",
        "greater than 0",
    ),
    "a limit that is not a number": (
        _ONE + "limits = { cpus = nan }",
        'runtimes."3.12".limits.cpus',
        "not a finite number",
        "greater than 0",
    ),
    "a negative queue": ("[server]\nqueue = -1" + _ONE, "server.queue", "less than 0", "0 or more"),
    "too many processes": (
        _ONE + "limits = { processes = 9_999_999_999 }",
        'runtimes."3.12".limits.processes',
        "more than 2147483647",
        "smaller",
    ),
    "a unit that does not exist": (
        _ONE + 'limits = { memory = "70 parsecs" }',
        'runtimes."3.12".limits.memory',
        "is not a size",
        "MiB",
    ),
    "a unit in bits": (
        _ONE + 'limits = { memory = "64Mb" }',
        'runtimes."3.12".limits.memory',
        "'64Mb' is not a size",
        "write bytes, or a number with KiB, MiB or GiB",
    ),
    "a unit without bytes": (
        _ONE + 'limits = { memory = "64M" }',
        'runtimes."3.12".limits.memory',
        "'64M' is not a size",
        "write bytes, or a number with KiB, MiB or GiB",
    ),
    "a truth for a size": (_ONE + "limits = { shm = false }", 'runtimes."3.12".limits.shm', "is not a size", "MiB"),
    "a size in words": (_ONE + 'limits = { shm = "much" }', 'runtimes."3.12".limits.shm', "is not a size", "MiB"),
    "a size beyond all": (
        '[server]\nmax_request = "9999999PiB"' + _ONE,
        "server.max_request",
        "larger than a file",
        "smaller",
    ),
    "an executable name of two runtimes": (
        (
            'default = "a"\n[runtimes.a]\nexecutable = "/a"\nexecutable_names = ["/x"]\n'
            '[runtimes.b]\nexecutable = "/b"\nexecutable_names = ["/x"]'
        ),
        "runtimes.b.executable_names[0]",
        "already names the runtime 'a'",
        "remove one",
    ),
    "an executable name that is another's executable": (
        'default = "a"\n[runtimes.a]\nexecutable = "/a"\n[runtimes.b]\nexecutable = "/b"\nexecutable_names = ["/a"]',
        "runtimes.b.executable_names[0]",
        "executable of the runtime 'a'",
        "remove it",
    ),
    "a name with a space": ('[runtimes."a b"]\nexecutable = "/a"', 'runtimes."a b"', "not a name", "letter or digit"),
    "a name to quote": ('[runtimes."a\\"\\n"]\nexecutable = "/a"', r'runtimes."a\"\u000a"', "not a name", "letter"),
    "an alias with a slash": (
        _ONE + 'aliases = ["a/b"]',
        'runtimes."3.12".aliases[0]',
        "not a name",
        "letter or digit",
    ),
    "an address without a port": ('[server]\nbind = "localhost"' + _ONE, "server.bind", "not an address", "host:port"),
    "a version in part": (
        _ONE + f'build = {{ version = "3.12", sha256 = "{"0" * 64}" }}',
        'runtimes."3.12".build.version',
        "not a release",
        '"3.14.6"',
    ),
    "a checksum in part": (
        _ONE + 'build = { version = "3.12.1", sha256 = "0" }',
        'runtimes."3.12".build.sha256',
        "not a SHA-256",
        "64",
    ),
    "no pattern": ('[defaults.files]\npattern = ""' + _ONE, "defaults.files.pattern", "is empty", "leave the key out"),
    "a mount over the home": (
        _ONE + 'mounts = [{ source = "/a", target = "/home" }]',
        'runtimes."3.12".mounts[0].target',
        "jail's own /home",
        "another target",
    ),
    "a mount that the home hides": (
        _ONE + 'mounts = [{ source = "/home/me/python" }]',
        'runtimes."3.12".mounts[0].source',
        "jail's own /home",
        "another target",
    ),
    "a mount over shared memory": (
        '[[defaults.mounts]]\nsource = "/a"\ntarget = "//dev/./shm/"' + _ONE,
        "defaults.mounts[0].target",
        "jail's own /dev/shm",
        "another target",
    ),
    "a mount that the bootstrap's would hide": (
        _ONE + 'mounts = [{ source = "/a", target = "/snekhouse" }]',
        'runtimes."3.12".mounts[0].target',
        "jail's own /snekhouse",
        "another target",
    ),
    "a mount over a device": (
        _ONE + 'mounts = [{ source = "/a", target = "/dev/null" }]',
        'runtimes."3.12".mounts[0].target',
        "jail's own /dev/null",
        "another target",
    ),
    "processes for untrusted eyes": (
        '[[defaults.mounts]]\nsource = "/proc/self"' + _ONE,
        "defaults.mounts[0].source",
        "jail's own /proc",
        "another target",
    ),
    "a root that is the host's own": (
        _ONE + 'root = "//."',
        'runtimes."3.12".root',
        "is the root of the host itself",
        "name the folder of another root",
    ),
    "a root by a path from somewhere": (
        '[defaults]\nroot = "srv/sid"' + _ONE,
        "defaults.root",
        "not an absolute path",
        "starts with /",
    ),
    "a mount over what comes from the root": (
        _ONE + 'root = "/srv/sid"\nmounts = [{ source = "/opt/lib", target = "/lib/." }]',
        'runtimes."3.12".mounts[0].target',
        "conflicts with the root /srv/sid",
        "remove the mount, or root",
    ),
    "a mount over what comes from the root of the defaults": (
        '[defaults]\nroot = "/srv/sid"\nmounts = [{ source = "/usr" }]' + _ONE,
        "defaults.mounts[0].source",
        "conflicts with the root /srv/sid",
        "remove the mount, or root",
    ),
    "a mount of nothing": (
        _ONE + 'mounts = [{ target = "/a" }]',
        'runtimes."3.12".mounts[0].source',
        "is missing",
        "add it, or tmpfs",
    ),
    "a tmpfs of the host's": (
        _ONE + 'mounts = [{ source = "/a", target = "/tmp", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].source',
        "cannot be combined with tmpfs",
        "remove one of them",
    ),
    "a tmpfs that need not be there": (
        '[defaults]\nmounts = [{ target = "/tmp", tmpfs = "1MiB", mandatory = false }]' + _ONE,
        "defaults.mounts[0].mandatory",
        "must be true for a tmpfs",
        "remove it, or tmpfs",
    ),
    "a tmpfs nowhere": (
        _ONE + 'mounts = [{ tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].target',
        "is missing",
        "add the path of the tmpfs",
    ),
    "a tmpfs at a path from somewhere": (
        _ONE + 'mounts = [{ target = "tmp", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].target',
        "not an absolute path",
        "starts with /",
    ),
    "a tmpfs of nothing": (
        _ONE + 'mounts = [{ target = "/tmp", tmpfs = 0 }]',
        'runtimes."3.12".mounts[0].tmpfs',
        "must be greater than 0",
        "greater than 0",
    ),
    "a tmpfs of megabits": (
        _ONE + 'mounts = [{ target = "/tmp", tmpfs = "16Mb" }]',
        'runtimes."3.12".mounts[0].tmpfs',
        "'16Mb' is not a size",
        "MiB",
    ),
    "a tmpfs of more than the memory": (
        '[defaults]\nmounts = [{ target = "/tmp", tmpfs = "71MiB" }]' + _ONE,
        "defaults.mounts[0].tmpfs",
        "is larger than limits.memory (70.0MiB), which includes it (runtime 3.12)",
        "raise limits.memory",
    ),
    "a tmpfs of more than the memory that a runtime leaves": (
        '[defaults]\nmounts = [{ target = "/tmp", tmpfs = "16MiB" }]' + _ONE + 'limits = { memory = "8MiB" }',
        "defaults.mounts[0].tmpfs",
        "is larger than limits.memory (8.0MiB)",
        "write a smaller size",
    ),
    "a tmpfs over everything": (
        _ONE + 'mounts = [{ target = "/", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].target',
        "jail's own /",
        "another target",
    ),
    "a tmpfs below the home": (
        _ONE + 'mounts = [{ target = "/home/tmp", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].target',
        "jail's own /home",
        "another target",
    ),
    "a tmpfs for untrusted processes": (
        _ONE + 'mounts = [{ target = "/proc", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].target',
        "jail's own /proc",
        "another target",
    ),
    "a tmpfs below a mount": (
        _ONE + 'mounts = [{ source = "/opt" }, { target = "/opt/cache", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[1].target',
        "is below '/opt', another mount of 3.12",
        "does not overlap",
    ),
    "a tmpfs that hides a mount of the defaults": (
        '[defaults]\nmounts = [{ source = "/tmp/x" }]' + _ONE + 'mounts = [{ target = "/tmp", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].target',
        "would hide '/tmp/x', another mount of 3.12",
        "does not overlap",
    ),
    "a tmpfs in another": (
        _ONE + 'mounts = [{ target = "/tmp/x", tmpfs = "1MiB" }, { target = "/tmp", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].target',
        "is below '/tmp'",
        "does not overlap",
    ),
    "a tmpfs that hides packages": (
        _ONE + 'mounts = [{ target = "/snekbox", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].target',
        "would hide '/snekbox/user_base'",
        "does not overlap",
    ),
    "a tmpfs below what comes from the root": (
        _ONE + 'root = "/srv/sid"\nmounts = [{ target = "/usr/tmp", tmpfs = "1MiB" }]',
        'runtimes."3.12".mounts[0].target',
        "is below '/usr'",
        "does not overlap",
    ),
    "a mount over everything": (
        _ONE + 'mounts = [{ source = "/" }]',
        'runtimes."3.12".mounts[0].source',
        "jail's own /",
        "another target",
    ),
}


@pytest.mark.parametrize("mistake", _MISTAKES)
def test_a_mistake_is_told_with_its_file_key_and_remedy(tmp_path: Path, load_text: Load, mistake: str) -> None:
    text, key, message, remedy = _MISTAKES[mistake]
    (problem,) = _problems(load_text, text)
    assert (problem.source, problem.key) == (str(tmp_path / "runtimes.toml"), key)
    assert message in problem.message
    assert remedy in problem.remedy


def test_no_file_is_told_with_the_way_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(RegistryError) as caught:
        load(tmp_path / "none.toml")
    (problem,) = caught.value.problems
    assert (problem.source, problem.key) == (str(tmp_path / "none.toml"), "")
    assert "No such file" in problem.message
    assert "snekhouse runtimes discover" in problem.remedy


def test_a_folder_is_no_registry(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('default = "3.12\n', "at line 1, column 16"),
        ("[server]\nqueue 64\n", "at line 2, column 7"),
        ("[server]\n[server]\n", "line 2"),
        ("[server]\nqueue = 1\nqueue = 2\n", "line 3"),
    ],
)
def test_broken_syntax_is_told_with_its_place(load_text: Load, text: str, place: str) -> None:
    (problem,) = _problems(load_text, text)
    assert problem.key == ""
    assert problem.message.startswith("is not TOML: ")
    assert place in problem.message
    assert problem.remedy


def test_mounts_as_a_list_and_as_tables_are_told(load_text: Load) -> None:
    (problem,) = _problems(load_text, f'{_ONE}mounts = []\n[[runtimes."3.12".mounts]]\nsource = "/usr"')
    assert problem.remedy == "the file has a value for it already; write a value or tables, not both"


def test_a_wrong_concurrency_is_told_alone(load_text: Load) -> None:
    (problem,) = _problems(load_text, f"{_ONE}[server]\nconcurrency = -3")
    assert problem.key == "server.concurrency"


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000], ids=["deep", "long"])
def test_a_file_that_overwhelms_the_parser_is_no_toml(load_text: Load, text: str) -> None:
    (problem,) = _problems(load_text, text)
    assert problem.message.startswith("is not TOML: ")


def test_a_file_in_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.toml"
    path.write_bytes('default = "3.12"\n# café'.encode("latin-1"))
    with pytest.raises(RegistryError, match=r"is not UTF-8 \(line 2\)"):
        load(path)


def test_all_problems_are_told_at_once_in_the_order_of_the_file(load_text: Load) -> None:
    text = """
default = "4"
[server]
bind = "nowhere"
[defaults.limits]
memory = 0
[runtimes.a]
executable = "a"
aliases = ["b", "x y"]
[runtimes.b]
exectuable = "/b"
mounts = [{ source = "/home" }, { source = "b" }]
"""
    assert [problem.key for problem in _problems(load_text, text)] == [
        "default",
        "server.bind",
        "defaults.limits.memory",
        "runtimes.a.executable",
        "runtimes.a.aliases[0]",
        "runtimes.a.aliases[1]",
        "runtimes.b.exectuable",
        "runtimes.b.mounts[0].source",
        "runtimes.b.mounts[1].source",
        "runtimes.b.executable",
    ]


def test_a_mistake_in_the_defaults_is_told_once(load_text: Load) -> None:
    text = '[defaults.limits]\nmemory = 0\n[runtimes.a]\nexecutable = "/a"\n[runtimes.b]\nexecutable = "/b"'
    assert [problem.key for problem in _problems(load_text, 'default = "a"\n' + text)] == ["defaults.limits.memory"]


def test_a_tmpfs_of_the_defaults_that_fits_no_runtime_is_told_once(load_text: Load) -> None:
    text = (
        'default = "a"\n[defaults]\nmounts = [{ target = "/opt/x", tmpfs = "1GiB" }]\n'
        '[runtimes.a]\nexecutable = "/a"\nmounts = [{ source = "/opt" }]\n'
        '[runtimes.b]\nexecutable = "/b"\nmounts = [{ source = "/opt" }]\n'
    )
    assert [problem.key for problem in _problems(load_text, text)] == [
        "defaults.mounts[0].target",
        "defaults.mounts[0].tmpfs",
    ]


def test_a_mistake_in_one_place_makes_up_none_in_another(load_text: Load) -> None:
    text = 'default = "x"\n[runtimes.a]\nexecutable = "/a"\naliases = ["x", "not good"]'
    assert [problem.key for problem in _problems(load_text, text)] == ["runtimes.a.aliases[1]"]


def test_no_words_of_pydantic_reach_people(load_text: Load) -> None:
    for text, *_ in _MISTAKES.values():
        for problem in _problems(load_text, text):
            words = f"{problem.message} {problem.remedy}".lower()
            assert not any(
                jargon in words for jargon in ("pydantic", "input", "valid", "instance", "dictionary", "tuple")
            )


_KEYS = st.sampled_from(
    [
        "default",
        "server",
        "defaults",
        "runtimes",
        "limits",
        "env",
        "mounts",
        "source",
        "target",
        "tmpfs",
        "aliases",
        "executable",
        "3",
        "12",
    ]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.sampled_from(["/a", "/home", "3", "-1MiB"])
    | st.dates()
    | _KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(tables=st.dictionaries(_KEYS, _VALUES, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_it_loads_or_tells_why_not(load_text: Load, tables: dict[str, Any]) -> None:
    problems = _problems_if_any(load_text, tables)
    assert all(problem.message and problem.remedy for problem in problems)


@given(
    runtimes=st.dictionaries(_KEYS, _VALUES | st.fixed_dictionaries({"executable": st.just("/a"), "mounts": _VALUES})),
    defaults=_VALUES,
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_tables_hold_every_key_is_one_of_toml(
    load_text: Load, runtimes: dict[str, Any], defaults: object
) -> None:
    for problem in _problems_if_any(load_text, {"runtimes": runtimes, "defaults": defaults}):
        tomllib.loads(re.sub(r"\[\d+\]", "", problem.key) + " = 1")
