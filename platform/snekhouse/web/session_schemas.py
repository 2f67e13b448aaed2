"""The models of answers of sessions, and their conversion from sessions and results."""

import time
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, Field

from snekhouse.evaluation import Enforcement
from snekhouse.jail.cell import CellResult, StateOutcome
from snekhouse.jail.session_files import FileEntry
from snekhouse.registry.models import Limits
from snekhouse.registry.server import Server
from snekhouse.service import Session
from snekhouse.web.schemas import EvalResponse, LimitsOut, Seconds


class SessionOut(BaseModel):
    """A session."""

    id: Annotated[str, Field(description="Its name in URLs. Everybody who knows it can use the session.")]
    runtime: str
    execution_count: Annotated[int, Field(description="How many cells its state contains.")]
    threads: Annotated[
        int,
        Field(description="Threads of its state besides the main one. While there are threads, no checkpoint is made."),
    ]
    checkpoints: Annotated[int, Field(description="How many checkpoints it has: so many times it can go back.")]
    expires: Annotated[Seconds, Field(description="Seconds until it ends if nobody uses it.")]
    limits: LimitsOut

    @classmethod
    def of(cls, session: Session, server: Server, enforcement: Enforcement) -> Self:
        """Convert a session."""
        expires = session.expires(server.session_idle, server.session_age)
        return cls(
            id=session.id,
            runtime=session.runtime.name,
            execution_count=session.state.cells,
            threads=session.state.threads,
            checkpoints=len(session.checkpoints),
            expires=max(0.0, expires - time.monotonic()),
            limits=LimitsOut.of(session.limits, enforcement),
        )


class FileEntryOut(BaseModel):
    """A file in the home of a session."""

    path: str
    size: Annotated[int, Field(description="Bytes.")]
    modified: Annotated[Seconds, Field(description="When it was last modified, in seconds since 1970.")]


class FilesOut(BaseModel):
    """The files in the home of a session, sorted by path."""

    files: tuple[FileEntryOut, ...]
    truncated: Annotated[bool, Field(description="Whether there are more files than the list has.")]

    @classmethod
    def of(cls, found: Sequence[FileEntry], *, truncated: bool) -> Self:
        """Convert a list of files."""
        files = tuple(FileEntryOut(path=each.path, size=each.size, modified=each.modified) for each in found)
        return cls(files=files, truncated=truncated)


class CellResponse(EvalResponse):
    """The result of a cell: that of an evaluation, and what happened to the state."""

    state: Annotated[
        StateOutcome,
        Field(description="kept: the state contains the cell; rolled_back: it does not; lost: the session has ended."),
    ]
    execution_count: Annotated[int, Field(description="How many cells the state contains now.")]

    @classmethod
    def of_cell(cls, session: Session, limits: Limits, enforcement: Enforcement, found: CellResult) -> Self:
        """Convert a result."""
        base = EvalResponse.of(session.runtime.name, limits, enforcement, found.result, with_value=True)
        return cls(
            **{name: getattr(base, name) for name in EvalResponse.model_fields},
            state=found.outcome,
            execution_count=0 if found.outcome is StateOutcome.LOST else session.state.cells,
        )
