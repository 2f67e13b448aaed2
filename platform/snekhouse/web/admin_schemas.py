"""What the admin API tells."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from snekhouse.house import House, Ready, Reload, Reloader
from snekhouse.registry.models import Runtime
from snekhouse.web.schemas import RuntimeOut


class AdminRuntimeOut(RuntimeOut):
    """A runtime, with what only its operator needs to know."""

    settings: Annotated[Runtime, Field(description="What the registry says of it, over its defaults.")]
    evaluations: Annotated[dict[str, int], Field(description="How many ended how, since the server started.")]
    last_error: Annotated[str, Field(description="The last internal error in it; empty when there was none.")]

    @classmethod
    def told(cls, ready: Ready, house: House) -> Self:
        """Convert a runtime as a house holds it."""
        return cls(**_told(ready, house))


class AdminRuntimeDetail(AdminRuntimeOut):
    """All of one runtime."""

    profile: Annotated[str, Field(description="The NsJail configuration of its jails, as it was rendered.")]

    @classmethod
    def told(cls, ready: Ready, house: House) -> Self:
        """Convert a runtime as a house holds it."""
        return cls(**_told(ready, house), profile=ready.jail.profile.read_text(encoding="utf-8"))


class ReloadOut(BaseModel):
    """The last attempt to serve what the registry's file says."""

    at: datetime
    outcome: Literal["reloaded", "refused"]
    error: Annotated[str, Field(description="Why it was refused; else empty.")]
    kept: Annotated[tuple[str, ...], Field(description="Keys that say something else in the file: restart for them.")]

    @classmethod
    def of(cls, reload: Reload) -> Self:
        """Convert an attempt."""
        return cls(at=reload.at, outcome=reload.outcome, error=reload.error, kept=reload.kept)


class RegistryOut(BaseModel):
    """The registry that is served."""

    source: Annotated[str, Field(description="Its file.")]
    hash: Annotated[str, Field(description="SHA-256 of the file's bytes, in hexadecimal.")]
    default: Annotated[str, Field(description="The runtime of /eval.")]
    last_reload: Annotated[ReloadOut | None, Field(description="Null before the first.")]


class AdminRuntimesOut(BaseModel):
    """The registry and its runtimes."""

    registry: RegistryOut
    runtimes: tuple[AdminRuntimeOut, ...]

    @classmethod
    def of(cls, house: House, reloader: Reloader) -> Self:
        """List what a house serves."""
        registry = house.registry
        return cls(
            registry=RegistryOut(
                source=registry.source,
                hash=registry.digest,
                default=registry.default,
                last_reload=ReloadOut.of(reloader.last) if reloader.last else None,
            ),
            runtimes=tuple(AdminRuntimeOut.told(ready, house) for ready in house.runtimes.values()),
        )


def _told(ready: Ready, house: House) -> dict[str, Any]:
    return {
        **RuntimeOut.of(ready, house.registry, house.enforcement).model_dump(),
        "settings": ready.runtime,
        "evaluations": house.metrics.evaluations(ready.runtime.name),
        "last_error": ready.installation.last_error,
    }
