"""What an answer of /eval tells beyond the contract, and what it costs to be refused."""

import base64
import socket
from typing import Any

import httpx
import pytest

from snekhouse.registry.models import Registry


def evaluate(client: httpx.Client, code: str, *, runtime: str = "", **more: Any) -> dict[str, Any]:
    path = f"/eval/{runtime}" if runtime else "/eval"
    response = client.post(path, json={"input": code, **more})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_every_runtime_listed_evaluates_as_itself(client: httpx.Client) -> None:
    listed = client.get("/runtimes").json()["runtimes"]
    assert listed
    for runtime in listed:
        assert runtime["status"] == "available", runtime["reason"]
        body = evaluate(client, "import platform; print(platform.python_version())", runtime=runtime["name"])
        assert body["stdout"] == f"{runtime['version']}\n"
        assert body["runtime"] == runtime["name"]


def test_an_alias_names_its_runtime(client: httpx.Client, registry: Registry) -> None:
    runtime = next(runtime for runtime in registry.runtimes.values() if runtime.aliases)
    assert evaluate(client, "", runtime=runtime.aliases[0])["runtime"] == runtime.name


def test_eval_serves_the_default_runtime(client: httpx.Client, registry: Registry) -> None:
    assert evaluate(client, "")["runtime"] == registry.default


def test_the_body_may_name_a_runtime(client: httpx.Client, registry: Registry) -> None:
    for name in registry.runtimes:
        assert client.post("/eval", json={"input": "", "runtime": name}).json()["runtime"] == name


def test_the_answer_has_the_fields_of_the_peer_and_ours(client: httpx.Client) -> None:
    assert set(evaluate(client, "print(1)")) == {
        "stdout", "returncode", "files", "runtime", "status", "signal", "message", "stderr", "encoding", "truncated", "limits",
        "usage", "error",
    }  # fmt: skip


def test_ok(client: httpx.Client) -> None:
    body = evaluate(client, "print(1)")
    assert (body["status"], body["returncode"], body["stdout"], body["message"]) == ("ok", 0, "1\n", "")
    assert (body["signal"], body["stderr"], body["truncated"], body["files"]) == (None, None, False, [])
    assert 0 < body["usage"]["wall_time"] < 6
    assert 0 < body["usage"]["cpu_time"] < 6
    assert 0 <= body["usage"]["queue_time"] < 6


def test_signaled(client: httpx.Client) -> None:
    body = evaluate(client, "import os; os.abort()")
    assert (body["status"], body["returncode"], body["signal"]) == ("signaled", 139, "SIGSEGV")
    assert "SIGSEGV" in body["message"]


def test_timeout(client: httpx.Client) -> None:
    body = evaluate(client, "print(1, flush=True)\nwhile True: pass", limits={"wall_time": 0.5})
    assert (body["status"], body["returncode"], body["stdout"]) == ("timeout", 137, "1\n")
    assert "0.5 s" in body["message"]
    assert "wall_time" in body["message"]
    assert 0.5 <= body["usage"]["wall_time"] < 2
    assert body["limits"]["wall_time"] == 0.5


def test_timeout_of_what_only_sleeps_uses_no_cpu(client: httpx.Client) -> None:
    body = evaluate(client, "import time; time.sleep(60)", limits={"wall_time": 0.5})
    assert body["status"] == "timeout"
    assert body["usage"]["cpu_time"] < 0.4


@pytest.fixture
def measured(client: httpx.Client) -> httpx.Client:
    """A client of a server whose host measures memory, as it does wherever this suite is run in full."""
    assert evaluate(client, "")["usage"]["memory"] is not None, "this host has no memory cgroup"
    return client


def test_out_of_memory(measured: httpx.Client) -> None:
    body = evaluate(measured, "print(1, flush=True)\nx = b'x' * (100 << 20)")
    assert (body["status"], body["returncode"], body["signal"]) == ("out_of_memory", 137, "SIGKILL")
    assert body["stdout"] == "1\n"
    assert "limits.memory" in body["message"]
    assert body["usage"]["memory"] <= body["limits"]["memory"]


def test_a_lower_memory_limit_is_kept(measured: httpx.Client) -> None:
    code = "x = b'x' * (30 << 20)"
    assert evaluate(measured, code)["status"] == "ok"
    assert evaluate(measured, code, limits={"memory": 20 << 20})["status"] == "out_of_memory"


def test_memory_is_measured(measured: httpx.Client) -> None:
    body = evaluate(measured, "x = b'x' * (30 << 20)")
    assert 30 << 20 < body["usage"]["memory"] < 60 << 20


def test_processes_are_limited(measured: httpx.Client) -> None:
    code = (
        "import os, time\ntry:\n  for n in range(99):\n    if not os.fork(): time.sleep(9)\n"
        "except OSError: print(n + 1)"
    )
    assert evaluate(measured, code)["stdout"] == "15\n"
    assert evaluate(measured, code, limits={"processes": 4})["stdout"] == "4\n"


BYTES = "import sys; sys.stdout.buffer.write(bytes(range(256))); sys.stderr.buffer.write(b'\\xff')"


def test_output_that_is_not_utf_8_comes_back_as_base64_where_asked_for(client: httpx.Client) -> None:
    for runtime in client.get("/runtimes").json()["runtimes"]:
        body = evaluate(client, BYTES, runtime=runtime["name"], encoding="base64", separate_stderr=True)
        assert (body["status"], body["returncode"], body["encoding"]) == ("ok", 0, "base64")
        assert base64.b64decode(body["stdout"], validate=True) == bytes(range(256))
        assert base64.b64decode(body["stderr"], validate=True) == b"\xff"


def test_output_as_base64_is_cut_at_its_limit_and_no_earlier(client: httpx.Client) -> None:
    body = evaluate(client, "print('é' * 200)", limits={"output": 101}, encoding="base64")
    assert base64.b64decode(body["stdout"]) == ("é" * 51).encode()[:101]
    body = evaluate(client, "while True: print('x' * 999)", encoding="base64")
    assert (body["status"], len(base64.b64decode(body["stdout"]))) == ("output_limit", 1_000_000)


def test_without_base64_output_that_is_not_utf_8_is_an_error(client: httpx.Client) -> None:
    body = evaluate(client, BYTES)
    assert (body["returncode"], body["encoding"]) == (None, "utf-8")
    assert body["stdout"].startswith("UnicodeDecodeError")


def test_a_message_in_the_place_of_output_is_never_base64(client: httpx.Client) -> None:
    body = evaluate(client, "", args=["-c", "a\0b"], encoding="base64")
    assert (body["stdout"], body["encoding"]) == ("ValueError: embedded null byte", "utf-8")


def test_an_unknown_encoding_is_refused(client: httpx.Client) -> None:
    answer = client.post("/eval", json={"input": "", "encoding": "latin-1"})
    assert (answer.status_code, answer.json()["title"]) == (400, "Request data failed validation")
    assert "encoding" in answer.json()["description"]


@pytest.mark.parametrize(
    "code",
    [
        "import threading\nfor _ in range(99): threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import os, time\nfor _ in range(99):\n  if not os.fork(): time.sleep(9)",
        "import os, time\ntry:\n  for _ in range(99):\n    if not os.fork(): time.sleep(9)\nexcept OSError: os.abort()",
    ],
    ids=["can't start new thread", "BlockingIOError", "abort"],
)
def test_a_program_that_fails_at_the_limit_of_processes_is_told_so(measured: httpx.Client, code: str) -> None:
    for runtime in measured.get("/runtimes").json()["runtimes"]:
        body = evaluate(measured, code, runtime=runtime["name"], limits={"processes": 7})
        assert body["status"] in {"error", "signaled"}
        assert "more than 7 processes and threads (limits.processes)" in body["message"]


@pytest.mark.parametrize(
    "code",
    [
        "x = bytearray(1 << 40)",
        "import mmap\nmmap.mmap(-1, 1 << 40)",
        "import threading as t; t.stack_size(256 << 20)\nfor _ in range(6): t.Thread(target=t.Event().wait, daemon=True).start()",
    ],
    ids=["MemoryError", "ENOMEM", "can't start new thread"],
)
def test_a_program_that_fails_for_want_of_address_space_is_told_so(measured: httpx.Client, code: str) -> None:
    for runtime in measured.get("/runtimes").json()["runtimes"]:
        body = evaluate(measured, code, runtime=runtime["name"])
        assert (body["status"], body["returncode"]) == ("error", 1)
        space = body["limits"]["address_space"]
        assert (
            body["message"] == f"probably more than {space} bytes of address space in a process (limits.address_space)"
        )


def test_a_program_whose_child_ran_out_of_memory_is_told_so(measured: httpx.Client) -> None:
    code = "import os\nif os.fork(): raise SystemExit(bool(os.wait()[1]))\nx = b'x' * (100 << 20)"
    body = evaluate(measured, code)
    assert (body["status"], body["returncode"]) == ("error", 1)
    assert "(limits.memory)" in body["message"]


def test_limits_that_a_program_gets_over_are_not_told(measured: httpx.Client) -> None:
    code = "import os, time\ntry:\n  for _ in range(99):\n    if not os.fork(): time.sleep(9)\nexcept OSError: print('full')"
    body = evaluate(measured, code)
    assert (body["status"], body["stdout"], body["message"]) == ("ok", "full\n", "")
    assert evaluate(measured, "1/0")["message"] == ""


def test_output_limit(client: httpx.Client) -> None:
    body = evaluate(client, "while True: print('x' * 999)")
    assert (body["status"], body["returncode"], body["truncated"]) == ("output_limit", 143, True)
    assert len(body["stdout"]) == 1_000_000
    assert "limits.output" in body["message"]


def test_output_of_exactly_the_limit_is_whole(client: httpx.Client) -> None:
    body = evaluate(client, "print('x' * 99)", limits={"output": 100})
    assert (body["status"], body["stdout"], body["truncated"]) == ("ok", "x" * 99 + "\n", False)


def test_output_cut_within_a_character_drops_that_character(client: httpx.Client) -> None:
    body = evaluate(client, "print('é' * 200)", limits={"output": 101})
    assert (body["status"], body["stdout"]) == ("output_limit", "é" * 50)


def test_stderr_comes_apart_when_asked_for(client: httpx.Client) -> None:
    body = evaluate(client, "import sys; print(1); print(2, file=sys.stderr)", separate_stderr=True)
    assert (body["stdout"], body["stderr"]) == ("1\n", "2\n")


def test_a_flood_on_stderr_apart_is_cut_as_well(client: httpx.Client) -> None:
    body = evaluate(client, "import sys\nwhile True: sys.stderr.write('x' * 999)", separate_stderr=True)
    assert (body["status"], len(body["stderr"])) == ("output_limit", 1_000_000)


def test_stdin_is_read(client: httpx.Client) -> None:
    body = evaluate(client, "print(input(), input())", stdin="a\nb\n")
    assert body["stdout"] == "a b\n"


def test_a_program_may_be_large(client: httpx.Client, registry: Registry) -> None:
    program = f"import sys; x = '{'a' * 3_000_000}'\nprint(len(x), sys.flags.optimize, sys.argv)"
    for name in registry.runtimes:
        assert evaluate(client, program, runtime=name)["stdout"] == "3000000 0 ['-c']\n"
        for options in (["-O"], ["-X", "frozen_modules=off", "-bO"], ["-Wd", "-OXutf8"]):
            assert evaluate(client, program, runtime=name, args=[*options, "-c"])["stdout"] == "3000000 1 ['-c']\n"


def test_options_before_a_large_argument_are_kept(client: httpx.Client, registry: Registry) -> None:
    program = "import sys; print(sys.flags.optimize, getattr(sys, 'orig_argv', ['', '-OO'])[1], len(sys.argv[-1]))"
    body = {"args": ["-OO", "-c", program, "x" * 200_000]}
    files = [{"path": "main.py", "content": base64.b64encode(program.encode()).decode()}]
    for name in registry.runtimes:
        assert client.post(f"/eval/{name}", json=body).json()["stdout"] == "2 -OO 200000\n"
        script = {"args": ["-OO", "main.py", "x" * 200_000], "files": files}
        assert client.post(f"/eval/{name}", json=script).json()["stdout"] == "2 -OO 200000\n"


def test_what_cannot_be_passed_to_an_interpreter_is_told(client: httpx.Client) -> None:
    body = client.post("/eval", json={"args": ["-Oc", f"'{'a' * 200_000}'"]}).json()
    assert (body["returncode"], body["status"]) == (126, "error")
    assert body["stdout"] == "snekhouse: these arguments need a new interpreter: Argument list too long\n"


def test_uploads_that_fill_the_home_are_told(client: httpx.Client) -> None:
    body = evaluate(client, "", files=[{"path": f"folder/{n}"} for n in range(13_000)])
    assert (body["status"], body["returncode"]) == ("file_error", None)
    assert body["stdout"].startswith("OSError: Failed to create file 'folder/1")
    assert "No space left" in body["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "JSON"),
        (b"[]", "object"),
        (b"{}", "one of 'input' and 'args'"),
        (b'{"input": null}', "input"),
        (b'{"input": 1}', "input"),
        (b'{"args": ["-c", 1]}', "args.1"),
        (b'{"input": "", "files": [{"path": "/etc/x"}]}', "relative path"),
        (b'{"input": "", "files": [{"path": "a/../../x"}]}', "below the home"),
        (b'{"input": "", "files": [{"path": ""}]}', "below the home"),
        (b'{"input": "", "files": [{"path": "x", "content": "?"}]}', "base64"),
        (b'{"input": "", "files": [{"path": "\\ud800"}]}', "surrogate"),
        (b'{"input": "", "limits": {"wall_time": 1000}}', "limits.wall_time"),
        (b'{"input": "", "limits": {"wall_time": "2"}}', "limits.wall_time"),
        (b'{"input": "", "limits": {"memory": 0}}', "limits.memory"),
        (b'{"inptu": ""}', "one of 'input' and 'args' is required; unknown: inptu; did you mean 'input'?"),
        (b'{"input": "", "limits": {"memory": "32MiB"}}', "limits.memory: Input should be a whole number of bytes"),
        (b'{"input": "", "limits": {"walltime": 1}}', "limits.walltime: unknown; did you mean 'wall_time'?"),
        (b'{"input": "", "limits": {"x": 1}}', "limits.x: unknown; known: wall_time, memory, processes, output"),
        (b'{"input": "", "files": [{"path": "' + b"a/" * 200 + b'x"}]}', "at most 100 names"),
        (b'{"input": "", "files": [{"path": "' + b"a/" * 3_000 + b'x"}]}', "at most 4096 bytes"),
        (b'{"input": "", "files": [{"path": "' + b"a/" * 60_000 + b'x"}]}', "at most 4096 bytes"),
        (b'{"input": "", "executable_path": "/bin/sh"}', "'/bin/sh'"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(client: httpx.Client, body: bytes, words: str) -> None:
    response = client.post("/eval", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert words in response.json()["description"]


def test_the_root_says_where_to_go(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.json()["name"] == "snekhouse"
    for page in ("docs", "openapi", "runtimes"):
        assert client.get(answer.json()[page]).status_code == 200
    assert client.post(answer.json()["evaluate"], json={"input": "print(1)"}).json()["stdout"] == "1\n"


@pytest.mark.parametrize("path", ["/eval/", "/eval//"])
def test_a_slash_at_the_end_of_eval_makes_no_difference(client: httpx.Client, path: str) -> None:
    assert client.post(path, json={"input": "print(1)"}).json()["stdout"] == "1\n"
    assert client.get(path).status_code == 405


def test_a_slash_after_a_runtime_makes_no_difference(client: httpx.Client, registry: Registry) -> None:
    answer = client.post(f"/eval/{registry.default}/", json={"input": "print(1)"})
    assert (answer.json()["stdout"], answer.json()["runtime"]) == ("1\n", registry.default)


@pytest.mark.parametrize(
    "body",
    [
        {"input": "", "files": [{"path": "x", "y" * 9_000: 1}] * 3 + [{"z": "x" * 5000}]},
        {"input": "", "limits": {"x" * 900 + str(number): 1 for number in range(20)}},
        {"input": "", "executable_path": "/" + "x" * 4_000},
        {"input": "", "runtime": "x" * 4_000},
        {"input": "", "env": {"x" * 4_000: "x"}},
        {
            "input": 1,
            "args": 1,
            "files": 1,
            "stdin": 1,
            "limits": 1,
            "env": 1,
            "colors": 1,
            "runtime": 1,
            "encoding": 1,
        },
        {"x" * 4_000: 1},
    ],
)
def test_a_description_is_bounded(client: httpx.Client, body: object) -> None:
    answer = client.post("/eval", json=body)
    assert answer.status_code in {400, 404}
    assert len(answer.json()["description"]) <= 500


def test_a_message_is_bounded(client: httpx.Client) -> None:
    path = "/".join(["x" * 200] * 19)
    files = [{"path": path, "content": ""}, {"path": path + "/y", "content": ""}]
    body = evaluate(client, "", files=files)
    assert body["status"] == "file_error"
    assert path in body["stdout"]
    assert len(body["message"]) <= 500


def test_an_unknown_runtime_is_a_404_that_lists_what_exists(client: httpx.Client, registry: Registry) -> None:
    response = client.post("/eval/9.9", json={"input": ""})
    assert response.status_code == 404
    assert registry.default in response.json()["description"]


def test_refusals_do_not_cost_the_connection(client: httpx.Client) -> None:
    """Each answer arrives on a connection that is used again, whether or not anybody read the body."""
    with httpx.Client(base_url=client.base_url, limits=httpx.Limits(max_connections=1)) as one:
        for number in range(300):
            path, kind = (("/eval", "text/plain"), ("/nowhere", "application/json"))[number % 2]
            response = one.post(path, content=b"x" * 5000, headers={"content-type": kind})
            assert response.status_code == (415, 404)[number % 2]
            assert "connection" not in response.headers


def test_a_refusal_does_not_wait_for_a_body_that_never_comes(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"connection: close" in answer.lower()


def test_a_hundred_thousand_arguments_are_refused_quickly_and_briefly(client: httpx.Client) -> None:
    for items in (["" for _ in range(100_000)], [1 for _ in range(100_000)]):
        response = client.post("/eval", json={"args": items})
        assert response.status_code == 400
        assert len(response.content) < 1000
        assert response.elapsed.total_seconds() < 2


def test_long_names_are_not_repeated_whole(client: httpx.Client) -> None:
    for key in ("runtime", "executable_path"):
        response = client.post("/eval", json={"input": "", key: "x" * 1_000_000})
        assert response.status_code in {400, 404}
        assert len(response.content) < 5000


def test_deep_links_cost_no_descriptors(client: httpx.Client) -> None:
    code = (
        "import os\nfor _ in range(1000): os.mkdir('.d'); os.chdir('.d')\nopen('f', 'w').write('x')\n"
        "os.chdir('/home'); os.symlink('.d/' * 1000 + 'f', 'l'); open('ok', 'w')"
    )
    assert [file["path"] for file in evaluate(client, code)["files"]] == ["ok"]


def test_a_name_that_is_not_utf8_is_no_matter_where_the_pattern_excludes_it(client: httpx.Client) -> None:
    body = evaluate(client, "open(b'_\\xff', 'w'); open('x', 'w')")
    assert [file["path"] for file in body["files"]] == ["x"]


def test_a_timeout_within_a_character_is_still_a_timeout(client: httpx.Client) -> None:
    code = "import os, time; os.write(1, b'1\\xc3'); time.sleep(9)"
    body = evaluate(client, code, limits={"wall_time": 0.5})
    assert (body["status"], body["stdout"]) == ("timeout", "1")


def test_health_and_readiness(client: httpx.Client) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
