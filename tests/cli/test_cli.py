"""The command line as a person or a script meets it: in a process of its own, on real jails."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from command import SNEKHOUSE, refused, snekhouse
from filtered import run_under
from leftovers import guests
from serving import PATIENCE
from snekhouse.profile.seccomp_rules import always
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry

_WALLS = {
    "nsjail", "namespaces", "seccomp", "cgroup memory", "cgroup pids", "cgroup cpu", "cgroup swap", "ids", "identity",
}  # fmt: skip


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A registry with three mistakes."""
    path = tmp_path / "broken.toml"
    path.write_text(
        'default = "3.99"\n'
        '[runtimes."a"]\nexecutable = "bin/python"\n'
        '[runtimes."b"]\nexecutable = "/b"\n[runtimes."b".limits]\nmemry = "1MiB"\n'
    )
    return path


class TestEval:
    def test_prints_what_the_program_prints(self, registry_path: Path) -> None:
        done = snekhouse("eval", "-r", registry_path, "print('é', end='')")
        assert (done.returncode, done.stdout) == (0, "é")

    def test_prints_utf_8_whatever_the_locale(self, registry_path: Path) -> None:
        assert snekhouse("eval", "-r", registry_path, "print('é')", env={"PYTHONIOENCODING": "ascii"}).stdout == "é\n"

    @pytest.mark.parametrize(("program", "code"), [("raise SystemExit(7)", 7), ("1 / 0", 1)])
    def test_exits_with_the_code_of_the_program(self, registry_path: Path, program: str, code: int) -> None:
        assert snekhouse("eval", "-r", registry_path, program).returncode == code

    def test_says_on_standard_error_which_signal_ended_the_program(self, registry_path: Path) -> None:
        program = "import ctypes; print('so far', flush=True); ctypes.string_at(0)"
        done = snekhouse("eval", "-r", registry_path, program)
        assert (done.returncode, done.stdout) == (139, "so far\n")
        assert "snekhouse: ended by signal SIGSEGV\n" in done.stderr

    def test_lists_files_that_the_program_left(self, registry_path: Path) -> None:
        done = snekhouse("eval", "-r", registry_path, "open('a.txt', 'w').write('hi')")
        assert "snekhouse: left a.txt (2 bytes)\n" in done.stderr
        assert done.stderr.endswith("snekhouse: save these files with --save FOLDER\n")

    def test_saves_files_that_the_program_left(self, small: Path, tmp_path: Path) -> None:
        program = "import os; os.mkdir('d'); open('d/a', 'w').write('hi'); open('b', 'wb').write(b'\\xff')"
        done = snekhouse("eval", "-r", small, program, "--save", tmp_path / "new" / "out")
        assert (tmp_path / "new/out/d/a").read_bytes() == b"hi"
        assert (tmp_path / "new/out/b").read_bytes() == b"\xff"
        assert f"snekhouse: saved {tmp_path}/new/out/d/a (2 bytes)\n" in done.stderr

    def test_a_folder_to_save_to_that_cannot_be_made_is_told_before_the_program_runs(self, small: Path) -> None:
        message = refused(snekhouse("eval", "-r", small, "print(1)", "--save", "/dev/null/out"))
        assert "cannot save to /dev/null/out: Not a directory" in message

    def test_names_of_files_do_not_speak_to_the_terminal(self, small: Path) -> None:
        done = snekhouse("eval", "-r", small, "open('a\\x1b[31m\\n', 'w')")
        assert "snekhouse: left a\\x1b[31m\\n (0 bytes)\n" in done.stderr

    def test_sends_files_by_their_relative_paths_or_names(self, small: Path, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "a").write_text("1")
        (tmp_path / "b").write_text("2")
        program = "print(open('d/a').read(), open('b').read())"
        sent = ("--file", "d/a", "--file", tmp_path / "b")
        assert snekhouse("eval", "-r", small, program, *sent, cwd=tmp_path).stdout == "1 2\n"

    def test_files_that_would_be_one_in_the_home_are_refused(self, small: Path, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        sent = ("--file", "a", "--file", tmp_path / "a")
        assert "two files would have the path" in refused(snekhouse("eval", "-r", small, "1", *sent, cwd=tmp_path))

    def test_a_folder_cannot_be_sent(self, small: Path, tmp_path: Path) -> None:
        assert "Is a directory" in refused(snekhouse("eval", "-r", small, "1", "--file", tmp_path))

    def test_the_program_reads_the_file_that_is_its_standard_input(self, small: Path, tmp_path: Path) -> None:
        (tmp_path / "in").write_bytes(b"a\nb")
        program = "import sys; print(sys.stdin.read().split())"
        assert snekhouse("eval", "-r", small, program, "--stdin-file", tmp_path / "in").stdout == "['a', 'b']\n"
        assert snekhouse("eval", "-r", small, program, "--stdin-file", "-", stdin=b"c").stdout == "['c']\n"
        assert snekhouse("eval", "-r", small, program, stdin=b"c").stdout == "[]\n"

    @pytest.mark.parametrize(
        "words",
        [
            ("eval", "-", "--stdin-file", "-"),
            ("eval", "-f", "-", "--stdin-file", "-"),
            ("eval", "1", "--file", "-", "--stdin-file", "-"),
            ("compare", "-", "--stdin-file", "-"),
            ("judge", "-", "-"),
            ("judge", "-", "cases", "--checker", "-"),
        ],
        ids=" ".join,
    )
    def test_standard_input_is_read_only_once(self, small: Path, words: tuple[str, ...]) -> None:
        said = refused(snekhouse(*words, "-r", small, stdin=b"print(1)"))
        assert "standard input can be read only once; name a file instead of the second -" in said

    def test_exits_with_255_without_a_returncode(self, registry_path: Path) -> None:
        done = snekhouse("eval", "-r", registry_path, "--json", r"import os; os.write(1, b'\xff')")
        assert done.returncode == 255
        assert json.loads(done.stdout)["returncode"] is None

    def test_a_file_in_place_of_the_program_is_told(self, small: Path, tmp_path: Path) -> None:
        (tmp_path / "program.py").write_text("1")
        assert snekhouse("eval", "-r", small, f"print('{'x' * 300}')  # as in foo.py").returncode == 0
        assert (
            "-f program.py evaluates what is in it" in snekhouse("eval", "-r", small, "program.py", cwd=tmp_path).stderr
        )

    def test_output_that_is_not_utf_8_is_base64_if_so_asked(self, small: Path) -> None:
        program = r"import os; os.write(1, b'\xff')"
        done = snekhouse("eval", "-r", small, "--json", "--encoding", "base64", program)
        answer = json.loads(done.stdout)
        assert (answer["stdout"], answer["encoding"]) == ("/w==", "base64")
        assert "result" not in answer
        assert "--encoding needs --json" in refused(snekhouse("eval", "-r", small, "--encoding", "base64", program))

    def test_a_dash_reads_the_program_from_standard_input(self, registry_path: Path) -> None:
        done = snekhouse("eval", "-r", registry_path, "-", stdin="print('ü')".encode())
        assert (done.returncode, done.stdout) == (0, "ü\n")

    def test_a_program_that_is_not_utf_8_is_refused(self, registry_path: Path) -> None:
        assert "not UTF-8" in refused(snekhouse("eval", "-r", registry_path, "-", stdin=b"\xff"))

    def test_arguments_after_the_dashes_are_the_programs(self, registry_path: Path) -> None:
        done = snekhouse("eval", "-r", registry_path, "import sys; print(sys.argv)", "--", "a", "--json")
        assert done.stdout == "['-c', 'a', '--json']\n"

    def test_a_file_is_the_program_and_all_arguments_are_its_own(self, registry_path: Path, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_bytes(b"\xef\xbb\xbfimport sys; print(sys.argv)")  # some editors write a byte order mark
        done = snekhouse("eval", "-r", registry_path, "-f", program, "--", "a", "-b")
        assert (done.returncode, done.stdout) == (0, "['-c', 'a', '-b']\n")

    def test_a_file_that_cannot_be_read_is_named(self, registry_path: Path) -> None:
        message = refused(snekhouse("eval", "-r", registry_path, "-f", "/nowhere.py"))
        assert "cannot read /nowhere.py: No such file or directory" in message

    def test_without_a_program_it_says_how_to_name_one(self, registry_path: Path) -> None:
        assert "name a program" in refused(snekhouse("eval", "-r", registry_path))

    def test_json_prints_the_answer_of_the_service(self, registry_path: Path, registry: Registry) -> None:
        done = snekhouse("eval", "-r", registry_path, "--json", "open('a', 'w').write('hi'); raise SystemExit(3)")
        answer = json.loads(done.stdout)
        assert done.returncode == 3
        assert (answer["status"], answer["returncode"], answer["runtime"]) == ("error", 3, registry.default)
        assert answer["files"] == [{"path": "a", "size": 2, "content": "aGk="}]

    def test_evaluates_in_the_runtime_that_is_named(self, registry_path: Path, registry: Registry) -> None:
        name = next(name for name in reversed(list(registry.runtimes)) if name != registry.default)
        done = snekhouse("eval", "-r", registry_path, "--json", "--runtime", name, "1")
        assert json.loads(done.stdout)["runtime"] == name

    def test_an_unknown_runtime_is_refused_with_those_that_exist(self, small: Path) -> None:
        message = refused(snekhouse("eval", "-r", small, "--runtime", "1.4", "1"))
        assert message == "snekhouse: there is no runtime '1.4'; known: only, one\n"

    def test_an_unavailable_runtime_is_refused_with_the_reason_once(self, small: Path) -> None:
        small.write_text(small.read_text().replace("mounts = [", 'mounts = [{ source = "/nowhere" }, '))
        message = refused(snekhouse("eval", "-r", small, "1"))
        assert message.count("/nowhere") == 1
        assert message.splitlines()[-1].startswith("snekhouse: the runtime only is unavailable: mounts: the source ")

    def test_a_reader_that_goes_away_gets_no_traceback(self, small: Path) -> None:
        command = [*SNEKHOUSE, "eval", "-r", str(small), "print('x' * 900_000)"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert b"BrokenPipe" not in process.stderr.read()

    def test_the_environment_may_name_the_registry(self, small: Path) -> None:
        assert snekhouse("eval", "print(1)", env={"SNEKHOUSE_REGISTRY": str(small)}).stdout == "1\n"


class TestRuntimes:
    def test_list_is_plain_columns_in_a_pipe(self, small: Path) -> None:
        done = snekhouse("runtimes", "list", "-r", small)
        header, row = (line.split("\t") for line in done.stdout.splitlines())
        assert header == ["NAME", "STATUS", "VERSION", "DEFAULT", "ALIASES", "EXECUTABLE"]
        assert row[:2] == ["only", "available"]
        assert row[3:5] == ["yes", "one"]
        assert "\x1b" not in done.stdout

    def test_list_is_a_table_with_colour_at_a_terminal(self, small: Path) -> None:
        assert b"\x1b[32mavailable" in _at_a_terminal("runtimes", "list", "-r", str(small))

    def test_list_prints_json(self, small: Path, registry: Registry) -> None:
        (listed,) = json.loads(snekhouse("runtimes", "list", "-r", small, "--json").stdout)
        assert (listed["name"], listed["status"], listed["default"]) == ("only", "available", True)
        assert listed["limits"]["memory"] == registry.runtimes[registry.default].limits.memory

    def test_list_gives_the_reason_why_a_runtime_is_unavailable(self, small: Path) -> None:
        small.write_text(small.read_text().replace("mounts = [", 'mounts = [{ source = "/nowhere" }, '))
        row = snekhouse("runtimes", "list", "-r", small).stdout.splitlines()[1].split("\t")
        assert row[1] == "unavailable"
        assert "/nowhere" in row[2]

    def test_check_says_that_all_is_well(self, registry_path: Path) -> None:
        done = snekhouse("runtimes", "check", "-r", registry_path)
        assert (done.returncode, done.stdout) == (0, f"{registry_path}: every runtime is available\n")

    def test_check_lists_every_mistake(self, broken: Path) -> None:
        done = snekhouse("runtimes", "check", "-r", broken)
        assert done.returncode == 1
        assert all(line.startswith(f"{broken}: ") for line in done.stdout.splitlines())
        assert all(mistake in done.stdout for mistake in ("3.99", "runtimes.a.executable", "memry"))

    def test_check_prints_json(self, broken: Path) -> None:
        done = snekhouse("runtimes", "check", "-r", broken, "--json")
        assert json.loads(done.stdout) == snekhouse("runtimes", "check", "-r", broken).stdout.splitlines()

    def test_check_tells_of_limits_that_no_run_can_reach(self, small: Path) -> None:
        small.write_text(f"{small.read_text()}\n[defaults.limits]\ncpus = 100_000\n")
        done = snekhouse("runtimes", "check", "-r", small)
        assert done.returncode == 0
        assert f"snekhouse: {small}: limits.cpus is 100000, but this host has " in done.stderr

    def test_a_program_may_use_a_memory_that_is_raised(self, small: Path) -> None:
        small.write_text(f'{small.read_text()}\n[defaults.limits]\nmemory = "1GiB"\n')
        assert snekhouse("eval", "-r", small, "print(len(b'x' * (800 << 20)))").stdout == f"{800 << 20}\n"

    def test_check_tells_what_cannot_be_imported_ahead(self, small: Path) -> None:
        small.write_text(small.read_text().replace("mounts = [", 'preload = ["nomodule"]\nmounts = ['))
        done = snekhouse("runtimes", "check", "-r", small)
        assert done.returncode == 1
        assert "ModuleNotFoundError: No module named 'nomodule'; correct that, or write start = \"cold\"" in done.stdout

    def test_check_fails_for_a_runtime_that_does_not_start(self, small: Path) -> None:
        small.write_text(small.read_text().replace('executable = "', 'executable = "/nowhere'))
        done = snekhouse("runtimes", "check", "-r", small)
        assert done.returncode == 1
        assert 'runtimes."only"' in done.stdout

    def test_remove_takes_a_runtime_out_by_an_alias(self, small: Path) -> None:
        small.write_text(f'default = "other"\n{small.read_text()}\n[runtimes.other]\nexecutable = "/opt/other"\n')
        done = snekhouse("runtimes", "remove", "one", "-r", small)
        assert (done.returncode, done.stdout) == (0, f"{small}: removed only\n")
        assert list(load(small).runtimes) == ["other"]

    def test_remove_names_the_folder_where_packages_stay(self, small: Path, tmp_path: Path) -> None:
        packages = tmp_path / "packages"
        (packages / "lib").mkdir(parents=True)
        text = re.sub('packages = ".*"', f'packages = "{packages}"', small.read_text())
        small.write_text(f'default = "other"\n{text}\n[runtimes.other]\nexecutable = "/opt/other"\n')
        done = snekhouse("runtimes", "remove", "only", "-r", small)
        assert f"its packages stay in {packages}; delete this folder" in done.stderr
        assert (packages / "lib").is_dir()

    def test_show_effective_has_the_folder_of_packages(self, small: Path) -> None:
        small.write_text(re.sub('packages = ".*"', 'packages = "/srv/{runtime}"', small.read_text()))
        shown = snekhouse("runtimes", "show", "only", "--effective", "-r", small).stdout
        assert tomllib.loads(shown)["runtimes"]["only"]["packages"] == "/srv/only"

    def test_remove_refuses_the_default_without_a_new_one(self, small: Path) -> None:
        text = small.read_text()
        message = refused(snekhouse("runtimes", "remove", "only", "-r", small))
        assert message == (
            f'snekhouse: {small}: runtimes."only": is the default runtime; name the new default with --default\n'
        )
        assert small.read_text() == text

    def test_discover_writes_a_registry_that_loads(self, tmp_path: Path) -> None:
        path = tmp_path / "new.toml"
        done = snekhouse("runtimes", "discover", "-o", path)
        assert done.returncode == 0
        assert f"snekhouse serve --registry {path}" in done.stdout
        assert load(path).runtimes

    def test_discover_replaces_a_file_only_when_forced(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_text("# mine\n")
        assert "--force" in refused(snekhouse("runtimes", "discover", "--output", path))
        assert path.read_text() == "# mine\n"
        assert snekhouse("runtimes", "discover", "--output", path, "--force").returncode == 0
        assert load(path).runtimes


class TestRender:
    def test_prints_the_profile_by_name_or_alias(self, small: Path) -> None:
        done = snekhouse("render", "nsjail", "only", "-r", small)
        assert done.returncode == 0
        assert 'name: "snekhouse only"\n' in done.stdout
        assert "clone_newuser: true\n" in done.stdout
        assert snekhouse("render", "nsjail", "one", "-r", small).stdout == done.stdout

    def test_an_unknown_runtime_is_refused_with_those_that_exist(self, small: Path) -> None:
        assert "known: only, one" in refused(snekhouse("render", "nsjail", "1.4", "-r", small))


class TestRegistry:
    @pytest.mark.parametrize(
        "command",
        [("serve",), ("eval", "1"), ("runtimes", "list"), ("render", "nsjail", "3.12"), ("doctor",)],
        ids=" ".join,
    )
    def test_one_that_does_not_exist_is_refused_with_a_remedy(self, command: tuple[str, ...], tmp_path: Path) -> None:
        path = tmp_path / "none.toml"
        message = refused(snekhouse(*command, "-r", path))
        assert message.startswith(f"snekhouse: {path}: cannot be read: No such file or directory; ")
        assert "snekhouse runtimes discover" in message

    def test_check_counts_one_that_does_not_exist_as_a_problem(self, tmp_path: Path) -> None:
        done = snekhouse("runtimes", "check", "-r", tmp_path / "none.toml")
        assert done.returncode == 1
        assert "No such file or directory" in done.stdout


class TestDoctor:
    def test_names_each_wall_and_exits_by_whether_all_stand(self, registry_path: Path) -> None:
        done = snekhouse("doctor", "-r", registry_path)
        rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
        states = {name: state for name, state, _ in rows}
        assert set(states) == _WALLS
        assert set(states.values()) <= {"stands", "missing"}
        assert done.returncode == int("missing" in states.values())
        assert all(detail for _, _, detail in rows)

    def test_tells_how_concurrency_and_memory_fit_this_machine(self, registry_path: Path) -> None:
        said = snekhouse("doctor", "-r", registry_path).stderr
        slots = load(registry_path).server.slots
        assert f"snekhouse: concurrency: {slots} evaluations at once on " in said
        assert f"snekhouse: memory: {slots} evaluations and " in said

    def test_names_the_filter_that_refuses_and_what_it_refuses(self, registry_path: Path) -> None:
        command = [*SNEKHOUSE, "doctor", "-r", str(registry_path), "--json"]
        walls = json.loads(run_under([always(1, "mount unshare")], command).stdout)
        (namespaces,) = (wall for wall in walls if wall["name"] == "namespaces")
        assert namespaces["stands"] is False
        assert "the seccomp filter of this process refuses unshare, mount" in namespaces["detail"]

    def test_prints_json(self, registry_path: Path) -> None:
        done = snekhouse("doctor", "-r", registry_path, "--json")
        walls = json.loads(done.stdout)
        assert {wall["name"] for wall in walls} == _WALLS
        assert done.returncode == int(not all(wall["stands"] for wall in walls))


def test_the_shell_can_complete_commands() -> None:
    script = Path(sys.executable).with_name("snekhouse")
    typed = {"_SNEKHOUSE_COMPLETE": "complete_bash", "COMP_WORDS": "snekhouse ru", "COMP_CWORD": "1"}
    done = subprocess.run(
        [script], check=True, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | typed
    )
    assert done.stdout.split() == ["runtimes"]


def test_the_help_says_all_in_one_line_for_each_command() -> None:
    _, _, commands = snekhouse("--help", env={"COLUMNS": "80"}).stdout.partition("Commands:")
    assert "  judge " in commands
    assert "..." not in commands


class TestServe:
    def test_an_address_that_is_taken_is_told_in_one_line(self, small: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            message = refused(snekhouse("serve", "-r", small, "--bind", address))
        assert message == (
            f"snekhouse: cannot serve on {address}: Address already in use; name another address with --bind\n"
        )

    @pytest.mark.parametrize("address", ["127.0.0.1", "localhost:http", "127.0.0.1:65536", ":8060"])
    def test_what_is_no_address_is_refused(self, small: Path, address: str) -> None:
        assert "is not an address; write host:port" in refused(snekhouse("serve", "-r", small, "--bind", address))


def test_a_traceback_in_a_pipe_has_no_colour(small: Path) -> None:
    done = snekhouse("eval", "-r", small, "1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout
    assert "\x1b" not in done.stdout


def test_bytes_are_printed_as_they_are_and_stderr_apart_if_asked(small: Path) -> None:
    code = "import os; os.write(1, b'\\xff\\x00'); os.write(2, b'\\xfe'); os.write(1, b'!')"
    command = [*SNEKHOUSE, "eval", "-r", str(small), code]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"\xff\x00\xfe!"
    apart = subprocess.run([*command, "--separate-stderr"], capture_output=True, check=True)
    assert apart.stdout == b"\xff\x00!"
    assert apart.stderr.startswith(b"snekhouse: degraded") or apart.stderr == b"\xfe"
    assert apart.stderr.endswith(b"\xfe")


def test_ctrl_c_exits_with_130(small: Path) -> None:
    uids = (1_900_300_000, 1_900_300_019)  # nobody else's here
    small.write_text(small.read_text().replace("[server]\n", f"[server]\nuids = {list(uids)}\n"))
    command = [*SNEKHOUSE, "eval", "-r", str(small), "while True: pass"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not guests(*uids):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        assert process.wait(timeout=30) == 130
    assert guests(*uids) == {}


def test_the_version_is_printed() -> None:
    done = snekhouse("--version")
    assert (done.returncode, done.stdout) == (0, f"snekhouse {version('snekhouse')}\n")


def test_unknown_options_are_refused_with_a_hint() -> None:
    message = refused(snekhouse("eval", "--jsn", "1"))
    assert "--json" in message
    assert "\x1b" not in message


def _at_a_terminal(*args: str) -> bytes:
    """Run the command line at a pseudo-terminal, and return what is printed there."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    env.pop("NO_COLOR", None)
    with subprocess.Popen([*SNEKHOUSE, *args], stdout=theirs, stderr=theirs, stdin=theirs, env=env) as process:
        os.close(theirs)
        printed = b"".join(iter(lambda: _read(ours), b""))
        assert process.wait(timeout=30) == 0
    os.close(ours)
    return printed


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: its last user has closed it (pty(7))
        return b""
