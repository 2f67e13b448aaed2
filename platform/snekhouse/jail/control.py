"""The host's end of the control socket: the guest protocol with its clock."""

import array
import errno
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import anyio

from snekhouse.errors import JailError
from snekhouse.jail import protocol
from snekhouse.jail.inputs import Request

_CREDENTIALS = struct.Struct("iII")
"""struct ucred: pid, uid, gid (unix(7))."""

_ANCILLARY = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(array.array("i").itemsize)


_REASON = 256
"""Bytes that a template says at most of why it cannot seal a run."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What the bootstrap brings.

    Attributes:
        pid: Its process id as the server sees it, by the kernel's word (SCM_CREDENTIALS).
        home: A descriptor of its home; the receiver closes it.
    """

    pid: int
    home: int


async def receive_hello(control: socket.socket) -> Hello:
    """Wait for the bootstrap's hello.

    Raises:
        JailError: Something else came, or the other end was closed.
    """
    while True:
        with suppress(BlockingIOError):
            data, ancillary, _, _ = control.recvmsg(len(protocol.HELLO), _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
            break
        await anyio.wait_readable(control)
    pid, homes = 0, array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid = _CREDENTIALS.unpack(content)[0]
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            homes.frombytes(content)
    if data != protocol.HELLO or not pid or len(homes) != 1:
        for home in homes:
            os.close(home)
        if data[:1] == protocol.UNSEALED:
            with suppress(BlockingIOError, ConnectionResetError):  # one that only looks like a template may say no more
                data += control.recv(_REASON)
            raise JailError(f"a template cannot seal its runs: {data[1:].decode(errors='replace')}")
        raise JailError("the bootstrap did not say hello")
    return Hello(pid, homes[0])


async def send_request(
    control: socket.socket,
    streams: Sequence[int],
    task_files: Sequence[int],
    request: Request,
) -> None:
    """Send a request, as far as the bootstrap takes it: its report tells why it took no more.

    Args:
        control: The host's end of the socket.
        streams: Descriptors of the program's standard streams, for a bootstrap that was started without them.
        task_files: Descriptors through which the bootstrap joins the run's group first.
        request: What is to be run.
    """
    with suppress(BrokenPipeError, ConnectionResetError):
        pieces = protocol.encode_request(request.args, request.variables, request.files)
        first = protocol.encode_task_files(len(task_files)) + next(pieces)  # in one message, which wakes the guest once
        sent = socket.send_fds(control, [first], [*streams, *task_files])
        await send(control, first[sent:])
        for piece in pieces:
            await send(control, piece)


async def send(control: socket.socket, piece: bytes) -> None:
    """Send all of a piece.

    Raises:
        OSError: The other end is closed.
    """
    rest = memoryview(piece)
    while rest:
        try:
            rest = rest[control.send(rest) :]
        except BlockingIOError:
            await anyio.wait_writable(control)


async def receive_report(control: socket.socket, files: int) -> tuple[protocol.Stamp, ...] | protocol.Refusal:
    """Wait for the bootstrap's report that all input files are written and the program starts, or why not.

    Args:
        control: The host's end of the socket.
        files: How many files the request had.

    Raises:
        JailError: Something else came, or the other end was closed.
    """
    report = await receive(control, 1)
    size = protocol.report_size(report, files)
    if size is None:
        raise JailError("the bootstrap sent an unknown report")
    decoded = protocol.decode_report(report + await receive(control, size - 1))
    if isinstance(decoded, protocol.Refusal) and (decoded.index >= files or decoded.errno not in errno.errorcode):
        raise JailError("the bootstrap refused what it was not sent")
    return decoded


async def receive(control: socket.socket, size: int) -> bytes:
    """Receive exactly so many bytes.

    Raises:
        JailError: The other end was closed before.
    """
    received = bytearray()
    while len(received) < size:
        try:
            chunk = control.recv(size - len(received))
        except BlockingIOError:
            await anyio.wait_readable(control)
            continue
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise JailError("the bootstrap ended too early")
        received += chunk
    return bytes(received)
