"""Wheels and source distributions for tests: small packages that need no index to be installed."""

import base64
import hashlib
import io
import platform
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    requires: Sequence[str] = (),
    *,
    files: Mapping[str, str] | None = None,
    modes: Mapping[str, int] | None = None,
    record: Sequence[str] = (),
) -> Path:
    """Write a wheel of a package whose only module has its name, and `version` in it.

    Source: https://packaging.python.org/en/latest/specifications/binary-distribution-format/

    Args:
        folder: Where it goes.
        name: Of the package.
        version: Of the package.
        requires: What it depends on.
        files: More of them, by their path in the archive.
        modes: File types and permissions by path, as stat(2) has them.
        record: More paths that it claims to own.
    """
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    contents = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {each}\n" for each in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(files or {}),
    }
    lines = [f"{path},sha256={_digest(content)},{len(content)}\n" for path, content in contents.items()]
    contents[f"{info}/RECORD"] = "".join([*lines, *(f"{path},,\n" for path in record), f"{info}/RECORD,,\n"])
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path)
            entry.create_system = 3  # Unix: only there the mode has a meaning
            entry.external_attr = (modes or {}).get(path, stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    return wheel


def download_wheels(folder: Path, python: str, names: Sequence[str]) -> None:
    """Download packages from the index, and what they depend on, for another Python on this machine.

    Args:
        folder: Where they go.
        python: The version, e.g. ``3.13``.
        names: The packages.
    """
    platforms = [f"--platform=manylinux_2_{minor}_{platform.machine()}" for minor in _GLIBC]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", python]
    subprocess.run([*command, *platforms, "--dest", str(folder), *names], check=True)


_GLIBC = range(17, 37)
"""Minor versions of glibc 2 for which wheels are made."""


def make_sdist(folder: Path, name: str, version: str, build: str) -> Path:
    """Write a source distribution that brings its own build backend, and so needs nothing else.

    Source: https://peps.python.org/pep-0517/

    Args:
        folder: Where it goes.
        name: Of the package.
        version: Of the package.
        build: Code that runs when it is built; what it leaves in `text` becomes the package's only module.
    """
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\n',
        "backend.py": _BACKEND.format(name=name, version=version, build=build),
    }
    sdist = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(content.encode())
            archive.addfile(entry, io.BytesIO(content.encode()))
    return sdist


_BACKEND = """\
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    space = {{"text": "", "folder": folder}}
    exec({build!r}, space)
    info = "{name}-{version}.dist-info/"
    name = "{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("{name}.py", space["text"])
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "RECORD", "")
    return name
"""


def _digest(content: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
