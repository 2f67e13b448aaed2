"""What a run is made with."""

from dataclasses import dataclass
from pathlib import Path

from snekhouse.registry.models import Runtime


@dataclass(frozen=True, slots=True)
class ForkServerSpec:
    """What fork servers of a runtime are started with.

    Attributes:
        profile: Their rendered NsJail configuration.
        policy: The filter with which runs that they fork seal themselves (``struct sock_filter[]``).
    """

    profile: Path
    policy: bytes


@dataclass(frozen=True, slots=True)
class PreparedRuntime:
    """A runtime made ready to run.

    Attributes:
        runtime: What the registry says of it.
        profile: Its rendered NsJail configuration.
        bootstrap: The bootstrap that it mounts: source or bytecode.
        nsjail: The NsJail binary.
        fork_server: The same for its fork servers.
    """

    runtime: Runtime
    profile: Path
    bootstrap: Path
    nsjail: Path
    fork_server: ForkServerSpec
