"""The host's end of a control socket, which carries the messages of `protocol` to and from a guest or a fork server."""

import array
import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import anyio

from snekhouse.errors import JailError
from snekhouse.jail import protocol
from snekhouse.jail.inputs import Request

_CREDENTIALS = struct.Struct("iII")
"""struct ucred: pid, uid, gid (unix(7))."""

_ANCILLARY_SIZE = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(array.array("i").itemsize)

_REASON_SIZE = 256
"""If a fork server cannot fork or seal a process: how many bytes of the reason are read."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The hello of a guest.

    Attributes:
        pid: Its process id on the host, from the kernel (SCM_CREDENTIALS).
        home: A descriptor of its home; the receiver closes it.
    """

    pid: int
    home: int


class RefusedError(JailError):
    """A fork server cannot fork or seal a process, or a state cannot be copied."""


class Channel:
    """The host's end of a control socket."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._end = end

    async def receive_hello(self) -> Hello:
        """Wait for the guest's hello.

        Raises:
            JailError: The guest sent something else, or closed its end.
        """
        while True:
            with suppress(BlockingIOError):
                data, ancillary, _, _ = self._end.recvmsg(len(protocol.HELLO), _ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC)
                break
            await anyio.wait_readable(self._end)
        pid, homes = _received(ancillary)
        if data != protocol.HELLO or not pid or len(homes) != 1:
            for home in homes:
                os.close(home)
            raise self._hello_error(data)
        return Hello(pid, homes[0])

    def _hello_error(self, data: bytes, refused: str = "the fork server cannot fork or seal a process") -> JailError:
        """Return the error for a message that is not a hello."""
        if data[:1] != protocol.FORK_REFUSED:
            return JailError("the bootstrap did not say hello")
        with suppress(BlockingIOError, ConnectionResetError):  # a forged message may have no more
            data += self._end.recv(_REASON_SIZE)
        return RefusedError(f"{refused}: {data[1:].decode(errors='replace')}")

    async def receive_unless_refused(self, size: int) -> bytes:
        """Wait for a message of a generation.

        Raises:
            RefusedError: The fork server sent the reason why there is no such generation.
            JailError: The other end is closed.
        """
        begin = await self.receive(1)
        if begin == protocol.FORK_REFUSED:
            raise self._hello_error(begin)
        return begin + await self.receive(size - 1)

    async def send_request(self, request: Request, streams: Sequence[int], task_files: Sequence[int]) -> None:
        """Send a request. Stop if the guest stops reading: its report gives the reason.

        Args:
            request: What to run.
            streams: Descriptors of the program's standard streams, for a guest that was started without them.
            task_files: Descriptors through which the guest joins the run's cgroups first.
        """
        with suppress(BrokenPipeError, ConnectionResetError):
            pieces = protocol.encode_request(request.args, request.variables, request.files)
            # Send the first two pieces in one message, so that the guest wakes up only once.
            first = protocol.encode_task_files(len(task_files)) + next(pieces)
            sent = socket.send_fds(self._end, [first], [*streams, *task_files])
            await self.send(first[sent:])
            for piece in pieces:
                await self.send(piece)

    async def receive_report(self, files: int) -> tuple[protocol.Stamp, ...] | protocol.Refusal:
        """Wait for the guest's report: it has written all input files and starts the program, or failed to write one.

        Args:
            files: How many files the request had.

        Raises:
            JailError: The guest sent something else, or closed its end.
        """
        report = await self.receive(1)
        size = protocol.report_size(report, files)
        if size is None:
            raise JailError("the bootstrap sent an unknown report")
        decoded = protocol.decode_report(report + await self.receive(size - 1))
        if isinstance(decoded, protocol.Refusal) and (decoded.index >= files or decoded.errno not in errno.errorcode):
            raise JailError("the bootstrap sent an invalid refusal")
        return decoded

    async def receive_pid(self) -> int:
        """Wait for the hello of a state; return its process id on the host, from the kernel (SCM_CREDENTIALS).

        Raises:
            RefusedError: The old state cannot fork a copy; the text has the reason.
            JailError: The other end sent something else, or is closed.
        """
        while True:
            with suppress(BlockingIOError):
                data, ancillary, _, _ = self._end.recvmsg(1, _ANCILLARY_SIZE, socket.MSG_CMSG_CLOEXEC)
                break
            await anyio.wait_readable(self._end)
        pid, descriptors = _received(ancillary)
        for descriptor in descriptors:
            os.close(descriptor)
        if data != protocol.STATE_HELLO or not pid:
            raise self._hello_error(data, "the state cannot be copied")
        return pid

    def order(self, message: bytes, *descriptors: int) -> None:
        """Send a short message with descriptors, without waiting.

        Raises:
            OSError: The other end is closed, or does not read.
        """
        if self._end.fileno() < 0:  # the process ended, and what held the channel has closed it
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        socket.send_fds(self._end, [message], descriptors)

    async def send(self, piece: bytes) -> None:
        """Send all bytes of a piece.

        Raises:
            OSError: The other end is closed.
        """
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[self._end.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._end)

    async def receive(self, size: int) -> bytes:
        """Receive exactly `size` bytes.

        Raises:
            JailError: The other end was closed first.
        """
        received = bytearray()
        while len(received) < size:
            try:
                chunk = self._end.recv(size - len(received))
            except BlockingIOError:
                await anyio.wait_readable(self._end)
                continue
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise JailError("the bootstrap ended too early")
            received += chunk
        return bytes(received)


def _received(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[int, "array.array[int]"]:
    """Return the sender's process id, 0 if the kernel did not add it, and the descriptors that were sent."""
    pid, descriptors = 0, array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid = _CREDENTIALS.unpack(content)[0]
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content)
    return pid, descriptors


@contextmanager
def opened_channel() -> Iterator[tuple[Channel, socket.socket]]:
    """Open a channel, and close it on leaving.

    Yields:
        The host's end, and the other end, which the caller closes once the guest has it.
    """
    host, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with host, other:
        yield Channel(host), other
