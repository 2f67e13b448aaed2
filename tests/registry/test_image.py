"""What the committed runtimes.toml declares: the registry of the image."""

import tomllib
from pathlib import Path

from snekhouse.registry.environment import DEFAULT_ENV
from snekhouse.registry.loading import load
from snekhouse.registry.models import Files, Limits
from snekhouse.registry.server import Server

_IMAGE = Path(__file__).parents[2] / "runtimes.toml"


def test_the_image_serves_every_version_of_the_contract() -> None:
    registry = load(_IMAGE)
    assert registry.default == "3.15"
    assert set(registry.runtimes) == {"3.11", "3.12", "3.13", "3.14", "3.14t", "3.14j", "3.15", "3.15t"}
    for name in registry.runtimes:
        found = registry.by_executable(f"/snekbin/python/{name}/bin/python")
        assert found is registry.runtimes[name]
    assert registry.by_executable("/snekbin/python/default/bin/python") is registry.runtimes["3.15"]


def test_the_image_shows_every_default_as_it_is() -> None:
    written = tomllib.loads(_IMAGE.read_text(encoding="utf-8"))
    assert set(written["server"]) == set(Server.model_fields) - {
        "state",
        "max_in_transit",
        "session_memory",
        "sessions_per_address",
    }  # the default has none
    assert set(written["defaults"]["limits"]) == set(Limits.model_fields)
    assert set(written["defaults"]["files"]) == set(Files.model_fields)
    registry = load(_IMAGE)
    assert registry.server == Server()
    for runtime in registry.runtimes.values():
        assert (runtime.limits, runtime.files, runtime.env) == (Limits(), Files(), DEFAULT_ENV)


def test_a_runtime_of_the_image_sees_no_neighbour() -> None:
    for name, runtime in load(_IMAGE).runtimes.items():
        assert not any(mount.source in {"/usr/lib", "/lib", "/usr/local/lib"} for mount in runtime.mounts)
        own = [mount.source for mount in runtime.mounts if mount.source.startswith("/snekbin")]
        assert own == [f"/snekbin/python/{name}"]


def test_every_runtime_of_the_image_has_a_build_of_its_version() -> None:
    for name, runtime in load(_IMAGE).runtimes.items():
        assert runtime.build
        assert runtime.build.version
        assert runtime.build.version.startswith(name.rstrip("tj") + ".")
    configured = {name: r.build.configure for name, r in load(_IMAGE).runtimes.items() if r.build and r.build.configure}
    assert configured == {
        "3.15t": ("--disable-gil",),
        "3.14t": ("--disable-gil",),
        "3.14j": ("--enable-experimental-jit",),
    }


def test_the_default_of_the_image_is_its_newest_python_with_the_lock() -> None:
    registry = load(_IMAGE)
    plain = [name for name in registry.runtimes if not name.endswith(("t", "j"))]
    assert registry.default == max(plain, key=lambda name: tuple(map(int, name.split("."))))
    assert next(iter(registry.runtimes)) == registry.default


def test_a_runtime_of_the_image_finds_its_libraries_on_both_machines() -> None:
    for runtime in load(_IMAGE).runtimes.values():
        folders = {mount.target: mount.mandatory for mount in runtime.mounts if "linux-gnu" in mount.target}
        for machine in ("x86_64", "aarch64"):
            wanted = {f"/usr/lib/{machine}-linux-gnu", f"/lib/{machine}-linux-gnu"}
            assert wanted <= set(folders)
        assert not any(folders.values())  # those of the other machine are not there
        assert {"/lib64", "/lib/ld-linux-aarch64.so.1"} <= {mount.target for mount in runtime.mounts}
