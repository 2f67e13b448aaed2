"""What the admin API tells."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from snekhouse.registry.models import Runtime
from snekhouse.service import Reload, Reloader, RuntimeState, Service
from snekhouse.web.schemas import RuntimeOut


class AdminRuntimeOut(RuntimeOut):
    """A runtime, with what only its operator needs to know."""

    settings: Annotated[Runtime, Field(description="What the registry says of it, over its defaults.")]
    evaluations: Annotated[dict[str, int], Field(description="How many ended how, since the server started.")]
    last_error: Annotated[str, Field(description="The last internal error in it; empty when there was none.")]

    @classmethod
    def told(cls, ready: RuntimeState, service: Service) -> Self:
        """Convert a runtime as a server holds it."""
        return cls(**_told(ready, service))


class AdminRuntimeDetail(AdminRuntimeOut):
    """All of one runtime."""

    profile: Annotated[str, Field(description="The NsJail configuration of its jails, as it was rendered.")]

    @classmethod
    def told(cls, ready: RuntimeState, service: Service) -> Self:
        """Convert a runtime as a server holds it."""
        return cls(**_told(ready, service), profile=ready.prepared.profile.read_text(encoding="utf-8"))


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
    def of(cls, service: Service, reloader: Reloader) -> Self:
        """List what a server serves."""
        registry = service.registry
        return cls(
            registry=RegistryOut(
                source=registry.source,
                hash=registry.digest,
                default=registry.default,
                last_reload=ReloadOut.of(reloader.last) if reloader.last else None,
            ),
            runtimes=tuple(AdminRuntimeOut.told(ready, service) for ready in service.runtimes.values()),
        )


def _told(ready: RuntimeState, service: Service) -> dict[str, Any]:
    return {
        **RuntimeOut.of(ready, service.registry, service.enforcement).model_dump(),
        "settings": ready.runtime,
        "evaluations": service.metrics.evaluations(ready.runtime.name),
        "last_error": ready.preparation.last_error,
    }
