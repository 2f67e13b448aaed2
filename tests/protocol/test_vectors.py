"""Host and guest, each tested on the example messages."""

import _socket
import importlib.util
import os
import socket
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from snekhouse.assets import asset
from snekhouse.errors import JailError
from snekhouse.jail import protocol
from snekhouse.jail.cell_report import CellReport
from snekhouse.jail.channel import opened_channel
from snekhouse.profile.tmpfs import TmpfsMount

_VECTORS = tomllib.loads((Path(__file__).parent / "vectors.toml").read_text())


def _bytes(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(vector["bytes"])


def _files(vector: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(path.encode(), bytes.fromhex(content)) for path, content in vector["files"]]


def _variables(vector: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in vector["variables"]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


_requests = pytest.mark.parametrize("vector", _VECTORS["request"], ids=lambda vector: vector["name"])
_reports = pytest.mark.parametrize("vector", _VECTORS["report"], ids=lambda vector: vector["name"])


@_requests
def test_host_encodes_request(vector: dict[str, Any]) -> None:
    args = [arg.encode() for arg in vector["args"]]
    assert b"".join(protocol.encode_request(args, _variables(vector), _files(vector))) == _bytes(vector)


@_reports
def test_host_decodes_report(vector: dict[str, Any]) -> None:
    report = _bytes(vector)
    assert protocol.report_size(report[:1], vector["files"]) == len(report)
    decoded = protocol.decode_report(report)
    if "refusal" in vector:
        assert decoded == protocol.Refusal(*vector["refusal"])
    else:
        assert decoded == tuple(protocol.Stamp(*stamp) for stamp in vector["stamps"])


def test_host_refuses_unknown_report() -> None:
    assert protocol.report_size(b"?", 0) is None


def test_host_expects_the_hello_of_the_examples() -> None:
    assert bytes.fromhex(_VECTORS["hello"]) == protocol.HELLO


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, socket.socket]]:
    """The bootstrap as a module whose control socket ends here, and whose home is a temporary folder."""
    spec = importlib.util.spec_from_file_location("bootstrap", asset("runtimes/bootstrap.py"))
    assert spec is not None
    assert spec.loader is not None
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(bootstrap, "CONTROL", theirs.detach())
    monkeypatch.setattr(bootstrap, "HOME", os.fsencode(tmp_path))
    with ours:
        yield bootstrap, ours


@_requests
def test_guest_takes_request(vector: dict[str, Any], guest: tuple[ModuleType, socket.socket], tmp_path: Path) -> None:
    bootstrap, control = guest
    control.sendall(_bytes(vector))
    args, variables = bootstrap.take_request()
    assert args == [arg.encode() for arg in vector["args"]]
    assert variables == _variables(vector)
    for path, content in _files(vector):
        assert (tmp_path / os.fsdecode(path)).read_bytes() == content
    stamps = [(status.st_ino, status.st_mtime_ns) for status in _stat_all(tmp_path, vector)]
    report = control.recv(1 << 16)
    assert protocol.report_size(report, len(stamps)) == len(report)
    assert protocol.decode_report(report) == tuple(protocol.Stamp(*stamp) for stamp in stamps)


def _stat_all(home: Path, vector: dict[str, Any]) -> list[os.stat_result]:
    return [(home / path).stat() for path, _ in vector["files"]]


def test_guest_passes_its_home_and_joins_each_group(guest: tuple[ModuleType, socket.socket], tmp_path: Path) -> None:
    bootstrap, control = guest
    task_files = [os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in ("memory", "pids")]
    socket.send_fds(control, [bytes.fromhex(_VECTORS["task_files"])], task_files)
    bootstrap.meet_host(_socket, 0)
    data, descriptors, _, _ = socket.recv_fds(control, 64, 4)
    assert data == bytes.fromhex(_VECTORS["hello"])
    (home,) = descriptors
    assert os.fstat(home).st_ino == tmp_path.stat().st_ino
    assert [(tmp_path / name).read_text() for name in ("memory", "pids")] == ["0", "0"]
    for descriptor in (home, *task_files):
        os.close(descriptor)


def test_guest_takes_streams_before_groups(guest: tuple[ModuleType, socket.socket], tmp_path: Path) -> None:
    bootstrap, control = guest
    stream, tasks = (os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in ("stream", "pids"))
    kept = os.dup(0)
    socket.send_fds(control, [protocol.encode_task_files(1)], [stream, tasks])
    try:
        bootstrap.meet_host(_socket, 1)
        os.write(0, b"stdin, of all")
    finally:
        os.dup2(kept, 0)
    assert (tmp_path / "stream").read_text() == "stdin, of all"
    assert (tmp_path / "pids").read_text() == "0"
    _, (home,), _, _ = socket.recv_fds(control, 64, 4)
    for descriptor in (home, stream, tasks, kept):
        os.close(descriptor)


def test_guest_needs_no_groups(guest: tuple[ModuleType, socket.socket]) -> None:
    bootstrap, control = guest
    control.sendall(protocol.encode_task_files(0))
    bootstrap.meet_host(_socket, 0)
    _, (home,), _, _ = socket.recv_fds(control, 64, 4)
    os.close(home)


def test_guest_ends_when_doors_are_announced_that_do_not_come(
    guest: tuple[ModuleType, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap, control = guest
    control.sendall(protocol.encode_task_files(4))
    monkeypatch.setattr("posix._exit", sys.exit)
    with pytest.raises(SystemExit):
        bootstrap.meet_host(_socket, 0)
    _, (home,), _, _ = socket.recv_fds(control, 64, 4)
    os.close(home)


def test_host_announces_groups() -> None:
    assert protocol.encode_task_files(2) == bytes.fromhex(_VECTORS["task_files"])


def test_host_speaks_to_fork_servers() -> None:
    vector = _VECTORS["fork_server"]
    writable = [TmpfsMount(target, options, noexec=noexec) for target, options, noexec in vector["writable"]]
    told = protocol.encode_fork_server(
        bytes.fromhex(vector["policy"]), writable, vector["preload"], loopback=vector["loopback"]
    )
    assert told == bytes.fromhex(vector["bytes"])
    assert bytes.fromhex(vector["hello"]) == protocol.FORK_SERVER_HELLO
    assert protocol.encode_generation(7) == bytes.fromhex(vector["generation"])
    assert protocol.encode_modules(["numpy"]) == bytes.fromhex(vector["modules"])
    taking = bytes.fromhex(vector["taking"])
    assert protocol.MODULE_REPORT_HEAD.unpack(taking[: protocol.MODULE_REPORT_HEAD.size]) == (
        protocol.ModuleOutcome.UNFIT.value,
        1 << 14,
        17,
    )
    assert protocol.encode_fork(7, 65534) == bytes.fromhex(vector["fork"])
    assert protocol.encode_kill(7) == bytes.fromhex(vector["kill"])
    assert protocol.ENDED.unpack(bytes.fromhex(vector["ended"])) == (7, 3 << 8, 1_500_000)


def test_guest_takes_files_larger_than_the_socket_holds(
    guest: tuple[ModuleType, socket.socket], tmp_path: Path
) -> None:
    bootstrap, control = guest
    content = os.urandom(5_000_000)
    request = b"".join(protocol.encode_request([], [], [(b"large", content)]))
    sender = threading.Thread(target=control.sendall, args=(request,))
    sender.start()
    bootstrap.take_request()
    sender.join()
    assert (tmp_path / "large").read_bytes() == content


_cell_reports = pytest.mark.parametrize("vector", _VECTORS["cell_report"], ids=lambda vector: vector["name"])


def test_host_encodes_the_request_and_the_orders_of_sessions() -> None:
    vectors = {name: bytes.fromhex(value) for name, value in _VECTORS["session"].items()}
    assert b"".join(protocol.encode_request(None, (), ())) == vectors["request"]
    orders = {"fork": protocol.Order.FORK, "run_cell": protocol.Order.RUN_CELL, "wait": protocol.Order.WAIT}
    assert {name: order.value for name, order in orders.items()} == {name: vectors[name] for name in orders}
    assert vectors["state_hello"] == protocol.STATE_HELLO


@pytest.mark.anyio
@_cell_reports
async def test_host_decodes_the_report_on_a_cell(vector: dict[str, Any]) -> None:
    with opened_channel() as (channel, other), other:
        other.sendall(_bytes(vector))
        report = await CellReport.receive(channel, 1000)
    assert (report.end.name, report.code, report.threads) == (vector["end"], vector["code"], vector["threads"])
    assert [list(part) for part in report.parts] == vector["parts"]


@pytest.mark.anyio
@_cell_reports
async def test_host_refuses_a_report_whose_parts_are_above_the_limit(vector: dict[str, Any]) -> None:
    size = sum(len(content) for _, content in vector["parts"])
    with opened_channel() as (channel, other), other:
        other.sendall(_bytes(vector))
        if size:
            with pytest.raises(JailError):
                await CellReport.receive(channel, size - 1)
        else:
            await CellReport.receive(channel, 0)


@_cell_reports
def test_guest_encodes_the_parts_of_a_report(vector: dict[str, Any]) -> None:
    spec = importlib.util.spec_from_file_location("showing", asset("runtimes/showing.py"))
    assert spec is not None
    assert spec.loader is not None
    showing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(showing)
    parts = [(name, content.encode()) for name, content in vector["parts"]]
    assert _bytes(vector).endswith(showing.encoded(parts, 1000))
