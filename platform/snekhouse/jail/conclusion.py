"""The end of a run or a cell: its result with what it printed and the files that it left."""

from dataclasses import replace

import anyio.to_thread

from snekhouse.evaluation import File, Job, ProgramError, Result, Status, Usage
from snekhouse.host.cgroups import RunGroup
from snekhouse.jail.home_files import KnownFiles, collect, is_empty
from snekhouse.jail.home_walk import FilesError
from snekhouse.jail.printed import NOT_UTF8, Printed
from snekhouse.jail.verdict import probable_limit
from snekhouse.registry.models import Files


async def conclude(
    result: Result, usage: Usage, printed: Printed, home: int, *, files: Files, known: KnownFiles, cut: bool
) -> Result:
    """Complete a verdict with the output and the files.

    Args:
        result: The verdict.
        usage: What the program used.
        printed: What it printed.
        home: Descriptor of its home.
        files: Which files to return.
        known: Files that are not returned unless they have changed.
        cut: Whether the output was cut.

    Returns:
        The result; or an error if the output is not UTF-8, or if the files cannot be returned.
    """
    try:
        stdout, stderr = printed.texts(cut=cut)
    except UnicodeDecodeError:
        message = f"{NOT_UTF8}; the encoding base64 returns the bytes"
        return Result(Status.ERROR, None, NOT_UTF8, message=message, usage=usage)
    try:
        found, left_out = await _collected(home, files, int(printed.job.limits.home), known)
    except FilesError as error:
        return Result(Status.FILE_ERROR, None, str(error), message=str(error), usage=usage)
    result = replace(result, stdout=stdout, stderr=stderr, encoding=printed.job.encoding, usage=usage)
    return replace(result, files=found, left_out=left_out)


async def _collected(home: int, files: Files, size_limit: int, known: KnownFiles) -> tuple[tuple[File, ...], str]:
    if is_empty(home):
        return (), ""
    return await anyio.to_thread.run_sync(lambda: collect(home, files=files, size_limit=size_limit, known=known))


def with_error(result: Result, error: ProgramError | None, job: Job, group: RunGroup | None) -> Result:
    """Add the exception that ended a program, and the limit that probably caused it."""
    if error is None:
        return result
    counts_processes = group is not None and "pids" in group.walls
    message = result.message or probable_limit(error, job.limits, counts_processes=counts_processes)
    return replace(result, error=error, message=message)
