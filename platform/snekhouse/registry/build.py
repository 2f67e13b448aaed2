"""The table `[runtimes.NAME.build]`: how the image gets an interpreter."""

from typing import Annotated

from pydantic import Field

from snekhouse.registry.table import Table
from snekhouse.registry.values import ImageName, Release, Sha256


class Build(Table):
    """How the image gets an interpreter: built from source, or copied from another image."""

    version: Annotated[Release | None, Field(description="CPython release to build.")] = None
    sha256: Annotated[Sha256 | None, Field(description="Checksum of Python-VERSION.tar.xz.")] = None
    image: Annotated[
        ImageName | None, Field(description="Image to copy /usr/local from instead, such as python:3.14-slim.")
    ] = None
    configure: Annotated[tuple[str, ...], Field(strict=False, description="Additional arguments of configure.")] = ()
