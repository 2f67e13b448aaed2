"""All that a program prints: its streams, and their content as text."""

import binascii
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import anyio

from snekhouse.evaluation import Encoding, Job, Observer
from snekhouse.jail.streams import OutputLimitError, OutputStream, output_streams

NOT_UTF8 = "UnicodeDecodeError: invalid Unicode in output pipe"


@dataclass(frozen=True, slots=True)
class Printed:
    """What a program prints.

    Attributes:
        streams: One for stdout and stderr together, or one for each.
        job: Says how to encode the content.
    """

    streams: Sequence[OutputStream]
    job: Job

    @property
    def writers(self) -> tuple[int, int]:
        """Descriptors of the program's standard output and error."""
        return self.streams[0].writer, self.streams[-1].writer

    @property
    def errors(self) -> bytes:
        """Stderr, or stdout and stderr together."""
        return self.streams[-1].content

    def close_writers(self) -> None:
        """Close the program's ends here, once the program has its own."""
        for stream in self.streams:
            stream.close_writer()

    async def read(self) -> None:
        """Read all streams to their end.

        Raises:
            OutputLimitError: The program printed more than its limit.
        """
        if len(self.streams) == 1:
            await self.streams[0].read()
            return
        try:
            async with anyio.create_task_group() as tasks:
                for stream in self.streams:
                    tasks.start_soon(stream.read)
        except* OutputLimitError:
            raise OutputLimitError from None

    def read_rest(self) -> None:
        """Read what has been printed and not yet read, without waiting for more.

        Raises:
            OutputLimitError: The program printed more than its limit.
        """
        for stream in self.streams:
            stream.read_rest()

    def texts(self, *, cut: bool) -> tuple[str, str | None]:
        """Return stdout, and stderr if the job separates it, as text; without what the observer has received.

        Args:
            cut: Whether the output was cut; in UTF-8, a character that was cut in two is then dropped.

        Raises:
            UnicodeDecodeError: The job asks for UTF-8, and the output is something else.
        """
        if self.job.encoding is Encoding.BASE64:
            texts = [binascii.b2a_base64(stream.rest, newline=False).decode() for stream in self.streams]
        else:
            texts = [_decode(stream.rest, cut=cut) for stream in self.streams]
        return texts[0], texts[1] if self.job.separate_stderr else None


@contextmanager
def opened_output(job: Job, observer: Observer) -> Iterator[Printed]:
    """Open the output of a program, and close it on leaving.

    Args:
        job: Has the limit of output, and says whether stderr has a stream of its own.
        observer: Follows the output.
    """
    with output_streams(job.limits.output, apart=job.separate_stderr) as streams:
        if observer.printed:
            for stream, name in zip(streams, ("stdout", "stderr"), strict=False):
                stream.observer = partial(observer.printed, name)
        yield Printed(streams, job)


def _decode(content: bytes, *, cut: bool) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if cut and error.reason == "unexpected end of data":
            return content[: error.start].decode()
        raise
