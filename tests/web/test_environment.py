"""Variables of the environment that come with a request."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import Server, await_fork_servers, running_server

ALLOWED = ["TZ", "PLAIN", "PYTHONHASHSEED", "PYTHONWARNINGS", "PYTHON_COLORS", "HOME"]


@pytest.fixture(scope="module", params=["fork", "cold"])
def allowing(
    request: pytest.FixtureRequest, registry_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose runtimes allow some variables."""
    folder = tmp_path_factory.mktemp("allowing")
    path = folder / "runtimes.toml"
    ours = f'[defaults]\nstart = "{request.param}"\nrequest_env = {ALLOWED}\n'
    path.write_text(registry_path.read_text().replace("[defaults]\n", ours))
    with running_server(path, folder / "log") as server:
        if request.param == "fork":
            await_fork_servers(server.client)
        yield server


def names(server: Server) -> list[str]:
    return [runtime["name"] for runtime in server.client.get("/runtimes").json()["runtimes"]]


def prints(client: httpx.Client, runtime: str, code: str, **body: Any) -> str:
    answer = client.post(f"/eval/{runtime}", json={"input": code, **body})
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "ok", answer.text
    stdout: str = answer.json()["stdout"]
    return stdout


def test_a_program_sees_its_variables_and_the_next_run_does_not(allowing: Server) -> None:
    code = "import os, posix; print(ascii(os.environ.get('PLAIN')), posix.environ.get(b'PLAIN'), os.getenv('HOME'))"
    for name in names(allowing):
        before = prints(allowing.client, name, code)
        assert before == "None None /home\n"
        changed = prints(allowing.client, name, code, env={"PLAIN": "a=é", "HOME": "/dev/shm"})
        assert changed.endswith(f" {'a=é'.encode()!r} /dev/shm\n")
        assert name == "3.6" or changed.startswith(ascii("a=é"))  # which takes it for ASCII
        assert prints(allowing.client, name, code) == before


def test_what_the_c_library_sees_is_the_same(allowing: Server) -> None:
    code = "import ctypes; get = ctypes.CDLL(None).getenv; get.restype = ctypes.c_char_p; print(get(b'PLAIN'))"
    assert prints(allowing.client, names(allowing)[0], code, env={"PLAIN": "here"}) == "b'here'\n"


def test_the_time_zone_is_in_force(allowing: Server) -> None:
    code = "import time; print(time.timezone, time.localtime(0).tm_hour)"
    for name in names(allowing):
        assert prints(allowing.client, name, code, env={"TZ": "XYZ-3"}) == "-10800 3\n"
        assert prints(allowing.client, name, code) == "0 0\n"


def test_what_the_interpreter_reads_at_its_start_is_in_force(allowing: Server) -> None:
    code = "import sys; print(hash('x'), sys.warnoptions, sys.flags.hash_randomization)"
    for name in names(allowing):
        env = {"PYTHONHASHSEED": "0", "PYTHONWARNINGS": "error"}
        told = {prints(allowing.client, name, code, env=env) for _ in range(2)}
        assert len(told) == 1
        assert "['error'] 0" in told.pop()


def test_a_new_interpreter_takes_code_that_is_larger_than_an_argument(allowing: Server) -> None:
    code = "#" * 200_000 + "\nimport sys; print(sys.argv, sys.warnoptions)"
    assert prints(allowing.client, names(allowing)[0], code, env={"PYTHONWARNINGS": "error"}) == "['-c'] ['error']\n"


def test_colours_can_be_switched_off_and_on(allowing: Server) -> None:
    for name in names(allowing):
        code = "import sys; print(sys.version_info >= (3, 13))"
        has_colours = prints(allowing.client, name, code) == "True\n"

        def fails(**body: object) -> str:
            answer = allowing.client.post(f"/eval/{name}", json={"input": "1/0", **body}).json()  # noqa: B023
            assert answer["status"] == "error"
            stdout: str = answer["stdout"]
            return stdout

        assert ("\x1b" in fails()) == has_colours
        assert "\x1b" not in fails(colors=False)
        assert ("\x1b" in fails(colors=True)) == has_colours
        assert "\x1b" not in fails(env={"PYTHON_COLORS": "0"}, colors=True)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"PATH": "/"}, "env.PATH: the runtime"),
        ({"": "x"}, "env.: the runtime"),
        ({"PLAIN": "a\0b"}, "env.PLAIN: must not contain null bytes"),
        ({"PLAIN": 1}, "env.PLAIN: Input should be a valid string"),
        ({"PLAIN": "x" * 5000}, "env.PLAIN: must have at most 4096 bytes"),
        (["PLAIN"], "env: Input should be an object"),
    ],
)
def test_other_variables_are_refused(allowing: Server, env: object, words: str) -> None:
    answer = allowing.client.post("/eval", json={"input": "", "env": env})
    assert answer.status_code == 400
    assert words in answer.json()["description"]


def test_none_is_allowed_where_the_registry_lists_none(client: httpx.Client) -> None:
    answer = client.post("/eval", json={"input": "", "env": {"TZ": "UTC"}})
    assert answer.status_code == 400
    assert "env.TZ" in answer.json()["description"]
    assert "request_env" in answer.json()["description"]


VALUES = {
    "PLAIN": ("a=é", "import os; print(os.environb[b'PLAIN'])", f"{'a=é'.encode()!r}\n"),
    "TZ": ("UTC+3", "import time; print(time.timezone)", "10800\n"),
    "PYTHONHASHSEED": ("0", "import sys; print(sys.flags.hash_randomization)", "0\n"),
}
"""Variables: a value, and what a cell prints that sees it."""


@pytest.mark.parametrize("variable", VALUES)
def test_all_cells_of_a_session_see_its_variables(allowing: Server, variable: str) -> None:
    value, code, expected = VALUES[variable]
    for name in names(allowing):
        made = allowing.client.post("/sessions", json={"runtime": name, "env": {variable: value}})
        assert made.status_code == 201, made.text
        route = f"/sessions/{made.json()['id']}"
        for _ in range(2):
            answer = allowing.client.post(f"{route}/eval", json={"input": code}).json()
            assert (answer["stdout"], answer["state"]) == (expected, "kept"), answer
        allowing.client.delete(route)


def test_a_session_gets_no_variable_that_the_runtime_does_not_allow(allowing: Server) -> None:
    answer = allowing.client.post("/sessions", json={"env": {"LD_PRELOAD": "x"}})
    assert answer.status_code == 400
    assert "request_env" in answer.json()["description"]
