"""The admin API: off without a token, and open to nobody but who has it."""

import json
import os
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from command import snekhouse
from serving import Server, await_fork_servers, running_server
from snekhouse.registry.loading import load
from snekhouse.web.admin_token import AdminTokenCheck

TOKEN = "the-token-of-this-test-Zr8"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def administered(small: Path, tmp_path: Path) -> Iterator[Server]:
    with running_server(small, tmp_path / "log", {"SNEKHOUSE_ADMIN_TOKEN": TOKEN, "SNEKHOUSE_DEBUG": "1"}) as server:
        await_fork_servers(server.client)
        yield server


def get(server: Server, path: str, headers: Mapping[str, str] = AUTHORIZED) -> httpx.Response:
    return server.client.get(f"/admin/{path}", headers=headers)


@pytest.mark.parametrize("path", ["runtimes", "runtimes/only", "reload", "nothing"])
def test_without_a_token_there_is_no_such_thing(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/admin/{path}", headers=AUTHORIZED)
    assert answer.status_code == 404
    assert "SNEKHOUSE_ADMIN_TOKEN" in answer.json()["description"]


WRONG = {
    "none": {},
    "empty": {"Authorization": "Bearer"},
    "another": {"Authorization": f"Bearer {TOKEN[:-1]}x"},
    "shorter": {"Authorization": f"Bearer {TOKEN[:-1]}"},
    "longer": {"Authorization": f"Bearer {TOKEN}x"},
    "another scheme": {"Authorization": f"Basic {TOKEN}"},
    "no scheme": {"Authorization": TOKEN},
    "not ASCII": {"Authorization": "Bearer t\u00f6ken"},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_a_wrong_token_is_refused(administered: Server, headers: dict[str, str]) -> None:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = administered.client.get("/admin/runtimes", headers=sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="snekhouse"'
    assert answer.json()["title"] == "Unauthorized"


@pytest.mark.parametrize(("method", "path"), [("GET", "nothing"), ("PUT", "reload"), ("GET", "runtimes/no-such")])
def test_what_there_is_is_told_to_nobody_else(administered: Server, method: str, path: str) -> None:
    assert administered.client.request(method, f"/admin/{path}").status_code == 401
    assert administered.client.request(method, f"/admin/{path}", headers=AUTHORIZED).status_code in {404, 405}


def test_it_tells_what_is_served_and_how_it_stands(administered: Server, small: Path) -> None:
    for code in ("print(1)", "1/0"):
        administered.client.post("/eval", json={"input": code})
    told = get(administered, "runtimes").json()
    registry = load(small)
    assert told["registry"] == {"source": str(small), "hash": registry.digest, "default": "only", "last_reload": None}
    (runtime,) = told["runtimes"]
    assert runtime["evaluations"] == {"ok": 1, "error": 1}
    assert runtime["settings"]["executable"] == registry.runtimes["only"].executable
    assert runtime["settings"]["mounts"][0] == registry.runtimes["only"].mounts[0].model_dump()
    assert runtime["last_error"] == ""
    public = administered.client.get("/runtimes").json()["runtimes"][0]
    assert {key: runtime[key] for key in public} == public


def test_it_tells_tmpfs_as_the_registry_writes_them(small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("mounts = [", 'mounts = [{ target = "/tmp", tmpfs = "1MiB" }, '))
    with running_server(small, tmp_path / "log", {"SNEKHOUSE_ADMIN_TOKEN": TOKEN}) as server:
        (runtime,) = get(server, "runtimes").json()["runtimes"]
        written = {"source": None, "target": "/tmp", "tmpfs": 1 << 20, "writable": True, "mandatory": True}
        assert runtime["settings"]["mounts"][-1] == written
        assert runtime["tmpfs"] == [{"target": "/tmp", "size": 1 << 20}]
        assert "/tmp" in get(server, "runtimes/only").json()["profile"]
        options = ("--url", str(server.client.base_url), "--registry", str(small))
        same = snekhouse("runtimes", "diff", *options, env={"SNEKHOUSE_ADMIN_TOKEN": TOKEN})
        assert (same.returncode, same.stdout) == (0, f"{small}: the server serves the same\n")


def test_it_shows_the_profile_as_it_is_in_use(administered: Server, small: Path) -> None:
    profile = get(administered, "runtimes/one").json()["profile"]
    assert 'name: "snekhouse only"' in profile
    assert load(small).runtimes["only"].executable.rpartition("/bin")[0] in profile


def test_probing_again_takes_the_interpreter_as_it_is(administered: Server) -> None:
    before = get(administered, "runtimes/only").json()
    answer = administered.client.post("/admin/runtimes/one/probe", headers=AUTHORIZED)
    assert answer.status_code == 200
    assert answer.json()["version"] == before["version"]
    assert answer.json()["profile"] != before["profile"]  # another folder of its own
    assert administered.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"


def test_a_reload_is_told_and_remembered(administered: Server, small: Path) -> None:
    done = administered.client.post("/admin/reload", headers=AUTHORIZED)
    assert done.status_code == 200
    assert done.json()["outcome"] == "reloaded"
    small.write_text("broken[")
    refused = administered.client.post("/admin/reload", headers=AUTHORIZED)
    assert refused.status_code == 422
    assert "is not TOML" in refused.json()["description"]
    last = get(administered, "runtimes").json()["registry"]["last_reload"]
    assert last["outcome"] == "refused"
    assert "is not TOML" in last["error"]


def test_who_tries_tokens_is_stopped_and_told_for_how_long(administered: Server) -> None:
    codes = [get(administered, "runtimes", {"Authorization": "Bearer x"}).status_code for _ in range(30)]
    assert codes == [401] * 20 + [429] * 10
    answer = get(administered, "runtimes", {"Authorization": "Bearer x"})
    assert 0 < int(answer.headers["retry-after"]) <= 60


def test_who_tries_tokens_shuts_nobody_out_who_has_the_right_one(administered: Server) -> None:
    for _ in range(30):
        get(administered, "runtimes", {"Authorization": "Bearer x"})
        assert get(administered, "runtimes").status_code == 200
    assert get(administered, "runtimes", {"Authorization": "Bearer x"}).status_code == 429
    assert get(administered, "runtimes").status_code == 200


ONE_CLIENT = {
    "IPv4": ["192.0.2.1"] * 25,
    "IPv6": [f"2001:db8::{number:x}" for number in range(25)],
    "a socket without address": [""] * 25,
}
MANY_CLIENTS = {
    "IPv4": [f"192.0.2.{number}" for number in range(25)],
    "IPv6": [f"2001:db8:0:{number:x}::1" for number in range(25)],
}


def refusals(clients: list[str]) -> list[int]:
    check, found = AdminTokenCheck(nothing, TOKEN), []
    for client in clients:
        with pytest.raises(HTTPException) as refusal:
            anyio.run(check, {"type": "http", "client": (client, 1), "headers": []}, received, sent)
        found.append(refusal.value.status_code)
    return found


@pytest.mark.parametrize("clients", ONE_CLIENT.values(), ids=ONE_CLIENT)
def test_addresses_of_one_client_are_counted_together(clients: list[str]) -> None:
    assert refusals(clients) == [401] * 20 + [429] * 5


@pytest.mark.parametrize("clients", MANY_CLIENTS.values(), ids=MANY_CLIENTS)
def test_clients_are_counted_apart(clients: list[str]) -> None:
    assert refusals(clients) == [401] * 25


async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pass


async def received() -> Message:
    return {}


async def sent(_message: Message) -> None:
    pass


def test_refusing_takes_the_same_time_for_every_token() -> None:
    """Called as it is, for over HTTP the difference would drown."""

    def seconds(token: str) -> float:
        check = AdminTokenCheck(nothing, TOKEN)
        scope: Scope = {"type": "http", "client": ("c", 1), "headers": [(b"authorization", f"Bearer {token}".encode())]}
        begin = time.perf_counter()
        with pytest.raises(HTTPException, match="401"):
            anyio.run(lambda: check(scope, received, sent))
        return time.perf_counter() - begin

    tokens = ("", "x", TOKEN[:-1], TOKEN[:-1] + "x", TOKEN * 20)
    times: dict[str, list[float]] = {token: [] for token in tokens}
    for _ in range(15):
        for token in tokens:
            times[token].append(seconds(token))
    medians = [statistics.median(times[token]) for token in tokens]
    assert max(medians) < 2 * min(medians)


def test_nothing_of_the_token_is_in_the_log_or_the_environment_of_what_is_started(administered: Server) -> None:
    get(administered, "runtimes")
    get(administered, "runtimes", {"Authorization": f"Bearer {TOKEN}wrong"})
    get(administered, "runtimes?token=" + TOKEN)
    seen = administered.client.post("/eval", json={"input": "import os; print(os.environ)"}).json()["stdout"]
    assert TOKEN not in seen
    children = Path(f"/proc/{administered.process.pid}/task/{administered.process.pid}/children").read_text().split()
    assert children
    for child in children:
        assert TOKEN.encode() not in Path(f"/proc/{child}/environ").read_bytes()
    administered.process.terminate()
    administered.process.wait()
    assert "GET" in administered.log.read_text()
    assert TOKEN not in administered.log.read_text()


def test_the_token_may_come_from_a_file(small: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with running_server(small, tmp_path / "log", {"SNEKHOUSE_ADMIN_TOKEN_FILE": str(file)}) as server:
        assert get(server, "runtimes").status_code == 200


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        ({"SNEKHOUSE_ADMIN_TOKEN": ""}, "at least 16 ASCII characters"),
        ({"SNEKHOUSE_ADMIN_TOKEN": "short"}, "secrets.token_urlsafe"),
        ({"SNEKHOUSE_ADMIN_TOKEN": "with spaces in between"}, "no spaces"),
        ({"SNEKHOUSE_ADMIN_TOKEN_FILE": "/no/such/file"}, "/no/such/file cannot be read"),
        ({"SNEKHOUSE_ADMIN_TOKEN_FILE": "/etc/passwd", "SNEKHOUSE_ADMIN_TOKEN": TOKEN}, "unset one"),
    ],
)
def test_a_token_that_is_no_good_is_refused_at_the_start(small: Path, env: dict[str, str], problem: str) -> None:
    done = snekhouse("serve", "--registry", str(small), "--bind", "127.0.0.1:0", env=env)
    assert done.returncode == 2
    assert problem in done.stderr


def test_diff_tells_what_a_server_does_not_serve_yet(administered: Server, small: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(small.read_text() + "limits.open_files = 300\n")
    options = ("--url", str(administered.client.base_url), "--registry")
    env = {"SNEKHOUSE_ADMIN_TOKEN": TOKEN}
    same = snekhouse("runtimes", "diff", *options, str(small), env=env)
    assert (same.returncode, same.stdout) == (0, f"{small}: the server serves the same\n")
    differs = snekhouse("runtimes", "diff", *options, str(other), env=env)
    assert (differs.returncode, differs.stdout) == (1, "~ runtimes.only.limits.open_files = 256 -> 300\n")
    (change,) = json.loads(snekhouse("runtimes", "diff", "--json", *options, str(other), env=env).stdout)
    assert change == {"key": "runtimes.only.limits.open_files", "before": 256, "after": 300}
    refused = snekhouse("runtimes", "diff", *options, str(small), env={"SNEKHOUSE_ADMIN_TOKEN": TOKEN + "x"})
    assert refused.returncode == 2
    assert "401 the admin token is wrong" in refused.stderr
    unset = snekhouse("runtimes", "diff", *options, str(small))
    assert "set SNEKHOUSE_ADMIN_TOKEN" in unset.stderr


def test_another_interpreter_in_its_place_is_noticed_by_a_reload(small: Path, tmp_path: Path) -> None:
    """As an upgrade of a package of the system brings: the registry is the same, the file is not."""
    executable = Path(load(small).runtimes["only"].executable)
    copy = tmp_path / "python"
    copy.write_bytes(executable.read_bytes())
    copy.chmod(0o755)
    mount = f', {{ source = "{copy}", target = "{executable}" }}]\npackages'
    small.write_text(small.read_text().replace("]\npackages", mount))
    with running_server(small, tmp_path / "log", {"SNEKHOUSE_ADMIN_TOKEN": TOKEN}) as server:
        await_fork_servers(server.client)
        before = get(server, "runtimes/only").json()["profile"]
        server.client.post("/admin/reload", headers=AUTHORIZED)
        assert get(server, "runtimes/only").json()["profile"] == before
        os.utime(copy)
        server.client.post("/admin/reload", headers=AUTHORIZED)
        assert get(server, "runtimes/only").json()["profile"] != before
