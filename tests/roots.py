"""A small root file system for tests: one interpreter of this host, and what it loads."""

import shutil
from pathlib import Path

from snekhouse.registry.discovery.asking import ask_interpreter
from snekhouse.registry.discovery.mounts import loader_of

EXECUTABLE = "/usr/local/bin/python3"
"""The interpreter, by its path inside such a root."""

_NOT_NEEDED = ("__pycache__", "test", "tests", "site-packages", "dist-packages", "ensurepip", "idlelib", "config-3*")

_LIBRARIES_OF_UV = ("libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libgcc_s.so.1")


def make_telling_root(place: Path, interpreter: Path) -> Path:
    """Copy an interpreter into the root of a folder; its library makes the file ``ran/site`` where it runs on the host.

    Args:
        place: The folder, which others may enter.
        interpreter: As of `make_root`.

    Returns:
        The root.
    """
    root = make_root(place / "root", interpreter)
    (place / "ran").mkdir()
    (place / "ran").chmod(0o777)
    (site,) = (root / "usr/local/lib").glob("python3*/site.py")
    telling = f"try: open({str(place / 'ran/site')!r}, 'w').close()\nexcept OSError: pass\n"
    site.write_text(site.read_text() + telling)
    return root


def make_root(root: Path, interpreter: Path) -> Path:
    """Copy an interpreter into a root of its own; links inside it are absolute, as some distributions make them.

    Args:
        root: A folder that does not exist yet.
        interpreter: The program, with its standard library in ``lib`` beside its folder.

    Returns:
        The root.
    """
    facts = ask_interpreter(interpreter)
    assert facts
    version = f"python{'.'.join(facts.version.split('.')[:2])}"
    usr = root / "usr"
    (usr / "local/bin").mkdir(parents=True)
    (usr / "lib").mkdir()
    for link in ("lib", "lib64"):
        (root / link).symlink_to("/usr/lib")
    shutil.copy(interpreter, usr / "local/bin" / version)
    (root / EXECUTABLE[1:]).symlink_to(f"/usr/local/bin/{version}")
    ignored = shutil.ignore_patterns(*_NOT_NEEDED)
    shutil.copytree(facts.prefix / "lib" / version, usr / "local/lib" / version, ignore=ignored)
    for library in facts.libraries:
        if not library.is_relative_to(facts.prefix / "lib" / version):
            for name in (library, *library.parent.glob("*.so.*")):
                if name.resolve() == library.resolve():
                    shutil.copy(library, usr / "lib" / name.name)
    libc = next(library for library in facts.libraries if library.name == "libc.so.6")
    for of_uv in _LIBRARIES_OF_UV:
        if (libc.parent / of_uv).exists():
            shutil.copy(libc.parent / of_uv, usr / "lib")
    loader = loader_of(interpreter)
    assert loader
    shutil.copy(loader, usr / "lib" / loader.name)
    return root
