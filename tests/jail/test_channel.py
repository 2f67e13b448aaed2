"""What the host understands of a fork server's messages."""

import socket

import pytest

from snekhouse.errors import JailError
from snekhouse.jail import protocol
from snekhouse.jail.channel import Channel, RefusedError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def received(message: bytes) -> bytes:
    """Receive a hello from a fork server that sends this and closes its end."""
    ours, other = socket.socketpair()
    with ours, other:
        other.sendall(message)
        other.close()
        return await Channel(ours).receive_unless_refused(len(protocol.FORK_SERVER_HELLO))


async def test_a_generation_that_could_not_be_forked_is_told_with_the_reason() -> None:
    with pytest.raises(RefusedError, match="Resource temporarily unavailable"):
        await received(b"E[Errno 11] Resource temporarily unavailable")


async def test_another_message_is_no_refusal() -> None:
    assert await received(protocol.FORK_SERVER_HELLO) == protocol.FORK_SERVER_HELLO
    with pytest.raises(JailError) as lost:
        await received(b"T")
    assert not isinstance(lost.value, RefusedError)


def test_an_order_over_a_channel_that_was_closed_is_a_broken_pipe() -> None:
    one, other = socket.socketpair()
    channel = Channel(one)
    one.close()
    with other, pytest.raises(BrokenPipeError):
        channel.order(b"x")
