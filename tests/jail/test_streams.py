"""Draining what a program prints: in turns with all else, and in memory of the size of what is kept."""

import fcntl
import os
import threading
import tracemalloc

import anyio
import pytest

from snekhouse.jail.streams import OutputLimitError, OutputStream, output_streams

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


PACKETS = 256
"""As many as the largest pipe of a user holds, a page each (pipe(7))."""


def write_packets(stream: OutputStream, number: int) -> None:
    """Write packets of one byte, as a guest can (O_DIRECT, pipe(2))."""
    flags = fcntl.fcntl(stream.writer, fcntl.F_GETFL)
    fcntl.fcntl(stream.writer, fcntl.F_SETFL, flags | os.O_DIRECT)
    for _ in range(number):
        os.write(stream.writer, b"x")
    stream.close_writer()


async def test_packets_of_one_byte_keep_nobody_else_waiting() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    with output_streams(1 << 20, apart=False) as (stream,):
        fcntl.fcntl(stream.writer, fcntl.F_SETPIPE_SZ, PACKETS << 12)
        write_packets(stream, PACKETS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count)
            await stream.read()
            tasks.cancel_scope.cancel()
        assert stream.content == b"x" * PACKETS
    assert turns >= 3


async def test_a_writer_that_never_stops_is_cancelled_in_time() -> None:
    with output_streams(1 << 40, apart=False) as (stream,):
        reader_is_gone = threading.Event()

        def write() -> None:
            while not reader_is_gone.is_set():
                os.write(stream.writer, b"x" * 100)

        thread = threading.Thread(target=write)
        thread.start()
        begin = anyio.current_time()
        with anyio.move_on_after(0.2) as clock:
            await stream.read()
        late = anyio.current_time() - begin - 0.2
        reader_is_gone.set()
        os.set_blocking(stream.writer, False)
        thread.join()
    assert clock.cancelled_caught
    assert late < 0.5


async def test_packets_of_one_byte_take_no_more_memory_than_one_of_many() -> None:
    packets = 100_000
    with output_streams(packets, apart=False) as (stream,):
        thread = threading.Thread(target=write_packets, args=(stream, packets))
        tracemalloc.start()
        thread.start()
        await stream.read()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        thread.join()
        assert len(stream.content) == packets
    assert peak < 10 * packets


@pytest.mark.parametrize("apart", [False, True])
async def test_all_streams_together_are_kept_up_to_the_limit(apart: bool) -> None:
    with output_streams(10, apart=apart) as streams:
        for stream in streams:
            os.write(stream.writer, b"x" * 8)
        if apart:
            streams[0].close_writer()
            await streams[0].read()
        else:
            os.write(streams[0].writer, b"y" * 8)
        with pytest.raises(OutputLimitError):
            await streams[-1].read()
        assert sum(len(stream.content) for stream in streams) == 10


async def test_what_a_jail_said_last_is_some_lines_without_colours() -> None:
    with output_streams(1 << 20, apart=False) as (stream,):
        os.write(stream.writer, b"first\n\x1b[31mlast " + b"x" * 5_000 + b"\n")
        first, last = await stream.last_lines()
        assert first == "first"
        assert last.startswith("last xxx")
        assert len(last) <= 1_000
