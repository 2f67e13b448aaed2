"""The table `[server]` of a registry."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ByteSize, Field

from snekhouse.registry.table import Table
from snekhouse.registry.values import (
    AbsolutePath,
    Bind,
    Count,
    CountOrZero,
    HostName,
    Origin,
    Positive,
    Size,
    UidRange,
)

_MIB = 1 << 20


class Server(Table):
    """The settings of the server."""

    bind: Annotated[Bind, Field(description="Address to listen on, as host:port.")] = "0.0.0.0:8060"
    workers: Annotated[
        Count, Field(description="Server processes. They share concurrency, queue, connections and max_in_transit.")
    ] = 1
    concurrency: Annotated[CountOrZero, Field(description="Evaluations at once; 0: one for each CPU.")] = 0
    queue: Annotated[
        CountOrZero,
        Field(description="How many more evaluations may wait. When the queue is full, the server answers 503."),
    ] = 64
    uids: Annotated[UidRange, Field(description="First and last host id, of user and group, for evaluations.")] = (
        1_879_048_192,  # the first id of a range that https://systemd.io/UIDS-GIDS lists as unused
        1_879_049_215,
    )
    max_request: Annotated[Size, Field(description="Largest body of a request in bytes.")] = ByteSize(64 * _MIB)
    max_in_transit: Annotated[
        Size | None,
        Field(
            description="Bytes of all requests and answers in transit. When they are used up, the server answers 503. "
            "If not given, a quarter of the memory that the server may use, and at most 1 GiB."
        ),
    ] = None
    connections: Annotated[
        Count, Field(description="Connections at once, at most half of the file descriptors that the server may open.")
    ] = 1024
    connections_per_address: Annotated[
        Count, Field(description="Connections at once from one IPv4 address or one IPv6 /64 network.")
    ] = 512
    hosts: Annotated[
        tuple[HostName, ...],
        Field(
            strict=False,
            description="Names that clients may send in the header Host. On a loopback address, loopback "
            "names are allowed as well. On another address, an empty list allows any name.",
        ),
    ] = ()
    origins: Annotated[
        tuple[Origin, ...],
        Field(strict=False, description="Origins of web pages that may use the server, besides its own."),
    ] = ()
    sessions: Annotated[
        CountOrZero,
        Field(description="Sessions at once, branches included; 0: none. Each holds memory even while it is idle."),
    ] = 0
    sessions_per_address: Annotated[
        Count | None,
        Field(
            description="Sessions at once from one IPv4 address or one IPv6 /64 network, branches included; each "
            "worker counts its own. If not given, one address may have all."
        ),
    ] = None
    session_idle: Annotated[
        Positive,
        Field(description="Seconds after its last cell, branch, rollback or written file until a session ends."),
    ] = 600.0
    session_age: Annotated[Positive, Field(description="Seconds until a session ends in any case.")] = 86_400.0
    session_memory: Annotated[
        Size | None,
        Field(
            description="Bytes of memory that all sessions together may hold. Above that, the server ends the session "
            "that has been idle for the longest time. If not given, only the limits of each session count."
        ),
    ] = None
    checkpoints: Annotated[
        CountOrZero, Field(description="States before the current one that a session keeps, to go back to.")
    ] = 1
    page: Annotated[bool, Field(description="Whether browsers get a page at / and, with the token, at /admin/.")] = True
    http2: Annotated[bool, Field(description="Whether clients may use HTTP/2 (without TLS).")] = False
    drain: Annotated[Positive, Field(description="Seconds for evaluations to finish after SIGTERM.")] = 10.0
    allow_degraded: Annotated[bool, Field(description="Serve even if this host cannot build every wall.")] = False
    log: Annotated[Literal["text", "json"], Field(description="Format of the log.")] = "text"
    state: Annotated[
        AbsolutePath | None,
        Field(description="Folder for the server's own files. If not given, the server creates a private folder."),
    ] = None

    @property
    def slots(self) -> int:
        """How many evaluations may run at once."""
        return self.concurrency or os.cpu_count() or 1

    @property
    def state_path(self) -> Path | None:
        """The folder for the server's own files; None for the default."""
        return Path(self.state) if self.state else None
