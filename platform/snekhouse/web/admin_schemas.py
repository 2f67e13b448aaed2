"""The models of the admin API's answers."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from snekhouse.registry.models import Runtime
from snekhouse.service import Reloader, RuntimeState, Service
from snekhouse.web.schemas import RuntimeOut


class SetAsideOut(BaseModel):
    """The modules of packages that the fork server has imported ahead, for `preload = "auto"`."""

    model_config = ConfigDict(from_attributes=True)

    modules: Annotated[tuple[str, ...], Field(description="The modules, in the order in which they were imported.")]
    memory: Annotated[int, Field(description="Bytes of memory that they take in the fork server.")]
    left_out: Annotated[
        dict[str, str], Field(description="Other modules that programs import often, and why they are not among these.")
    ]


class AdminRuntimeOut(RuntimeOut):
    """A runtime, with what only its operator needs to know."""

    settings: Annotated[Runtime, Field(description="Its settings in the registry, merged with the defaults.")]
    evaluations: Annotated[dict[str, int], Field(description="Number of evaluations by status, since the start.")]
    last_error: Annotated[str, Field(description="Its last internal error; empty if there was none.")]
    set_aside: Annotated[
        SetAsideOut | None,
        Field(
            description="Modules that were imported ahead; null if preload is a list, start is cold, or the runtime is "
            "unavailable."
        ),
    ]

    @classmethod
    def of_state(cls, ready: RuntimeState, service: Service) -> Self:
        """Convert the state of a runtime."""
        return cls(**_fields(ready, service))


class AdminRuntimeDetail(AdminRuntimeOut):
    """A runtime, with its profile."""

    profile: Annotated[str, Field(description="Its rendered NsJail configuration.")]

    @classmethod
    def of_state(cls, ready: RuntimeState, service: Service) -> Self:
        """Convert the state of a runtime."""
        return cls(**_fields(ready, service), profile=ready.prepared.profile.read_text(encoding="utf-8"))


class ReloadOut(BaseModel):
    """A reload of the registry."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    outcome: Literal["reloaded", "refused"]
    error: Annotated[str, Field(description="Why it was refused; otherwise empty.")]
    kept: Annotated[tuple[str, ...], Field(description="Changed keys that need a restart.")]


class RegistryOut(BaseModel):
    """The registry that is served."""

    source: Annotated[str, Field(description="Path of its file.")]
    hash: Annotated[str, Field(description="SHA-256 of the file's bytes, in hexadecimal.")]
    default: Annotated[str, Field(description="Name of the default runtime.")]
    last_reload: Annotated[ReloadOut | None, Field(description="The last reload; null before the first.")]


class AdminRuntimesOut(BaseModel):
    """The registry and its runtimes."""

    registry: RegistryOut
    runtimes: tuple[AdminRuntimeOut, ...]

    @classmethod
    def of(cls, service: Service, reloader: Reloader) -> Self:
        """Convert the state of a server."""
        registry = service.registry
        return cls(
            registry=RegistryOut(
                source=registry.source,
                hash=registry.digest,
                default=registry.default,
                last_reload=reloader.last,
            ),
            runtimes=tuple(AdminRuntimeOut.of_state(ready, service) for ready in service.runtimes.values()),
        )


def _fields(ready: RuntimeState, service: Service) -> dict[str, Any]:
    return {
        **RuntimeOut.of(ready, service.registry, service.enforcement).model_dump(),
        "settings": ready.runtime,
        "evaluations": service.metrics.evaluations(ready.runtime.name),
        "last_error": ready.preparation.last_error,
        "set_aside": ready.supervisor.set_aside if ready.supervisor else None,
    }
