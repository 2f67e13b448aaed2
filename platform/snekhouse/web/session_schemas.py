"""The models of answers of sessions, and their conversion from sessions and results."""

import time
from typing import Annotated, Self

from pydantic import BaseModel, Field

from snekhouse.evaluation import Enforcement
from snekhouse.jail.cell import CellResult, StateOutcome
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
            expires=max(0.0, expires - time.monotonic()),
            limits=LimitsOut.of(session.limits, enforcement),
        )


class CellResponse(EvalResponse):
    """The result of a cell: that of an evaluation, and what became of the session."""

    state: Annotated[
        StateOutcome,
        Field(description="kept: the state contains the cell; rolled_back: it does not; lost: the session has ended."),
    ]
    execution_count: Annotated[int, Field(description="How many cells the state contains now.")]
    result: Annotated[
        dict[str, str] | None,
        Field(
            description="The value of the expression at the end, by format: text, html, markdown, svg, json, latex; "
            "png and jpeg in Base64. Null if there is none."
        ),
    ]
    figures: Annotated[tuple[str, ...], Field(description="Open figures of matplotlib, as PNG in Base64.")]

    @classmethod
    def of_cell(cls, session: Session, limits: Limits, enforcement: Enforcement, found: CellResult) -> Self:
        """Convert a result."""
        base = EvalResponse.of(session.runtime.name, limits, enforcement, found.result)
        return cls(
            **{name: getattr(base, name) for name in EvalResponse.model_fields},
            state=found.outcome,
            execution_count=0 if found.outcome is StateOutcome.LOST else session.state.cells,
            result=dict(found.value) or None,
            figures=tuple(found.figures),
        )
