"""What the image builds of a runtime."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from snekhouse.registry.values import ImageName, Release, Sha256


class Build(BaseModel):
    """What the image builds: a release from its source, or what another image has already."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: Annotated[Release | None, Field(description="Release of CPython.")] = None
    sha256: Annotated[Sha256 | None, Field(description="Checksum of its source, Python-VERSION.tar.xz.")] = None
    image: Annotated[
        ImageName | None, Field(description="Image whose /usr/local is taken instead, such as python:3.14-slim.")
    ] = None
    configure: Annotated[tuple[str, ...], Field(strict=False, description="Further arguments of configure.")] = ()
