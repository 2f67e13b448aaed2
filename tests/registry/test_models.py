"""What the tables of a registry accept, and that nothing changes them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from snekhouse.errors import RuntimeUnknownError
from snekhouse.registry.build import Build
from snekhouse.registry.environment import DEFAULT_ENV
from snekhouse.registry.models import Files, Limits, Mount, Registry, Runtime
from snekhouse.registry.server import Server

_SIZES = ("memory", "address_space", "output", "home", "shm")
_COUNTS = ("processes", "open_files")
_NUMBERS = ("wall_time", "cpus")


def _registry() -> Registry:
    runtimes = [
        Runtime(name="3.14", executable="/py/3.14", aliases=("3", "latest"), executable_names=("/usual/python",)),
        Runtime(name="3.12", executable="/py/3.12"),
    ]
    return Registry(
        source="runtimes.toml",
        digest="0" * 64,
        default="3.14",
        server=Server(),
        runtimes={runtime.name: runtime for runtime in runtimes},
        executables={"/py/3.14": "3.14", "/usual/python": "3.14", "/py/3.12": "3.12"},
    )


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (1, 1),
        ("1", 1),
        ("64MiB", 64 << 20),
        ("64 MiB", 64 << 20),
        ("1GiB", 1 << 30),
        ("500kB", 500_000),
        ("1.5KiB", 1536),
    ],
)
@pytest.mark.parametrize("key", _SIZES)
def test_a_size_is_a_number_or_a_text_with_a_unit(key: str, written: int | str, size: int) -> None:
    assert getattr(Limits.model_validate({key: written}), key) == size


@pytest.mark.parametrize("value", [0, -1, "0MiB", "-1MiB", "0.1B", True, 1.0, float("nan"), float("inf"), 1 << 63, ""])
@pytest.mark.parametrize("key", _SIZES)
def test_a_size_is_positive_and_whole_and_fits_a_file(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate({key: value})


@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan"), float("inf"), True, "1"])
@pytest.mark.parametrize("key", _NUMBERS)
def test_seconds_and_cpus_are_positive_and_finite(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate({key: value})


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", 1 << 31])
@pytest.mark.parametrize("key", _COUNTS)
def test_a_count_is_positive_and_whole(key: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate({key: value})


@given(st.integers(max_value=0))
def test_no_limit_is_zero_or_negative(value: int) -> None:
    for key in Limits.model_fields:
        with pytest.raises(ValidationError):
            Limits.model_validate({key: value})


def test_no_files_at_all_is_a_limit() -> None:
    assert Files(limit=0).limit == 0


def test_a_mount_is_read_only_mandatory_and_at_its_source_unless_it_says_otherwise() -> None:
    mount = Mount(source="/usr/lib")
    assert (mount.target, mount.writable, mount.mandatory) == ("/usr/lib", False, True)
    assert Mount(source="/usr/lib", target="/lib").target == "/lib"


@pytest.mark.parametrize("path", ["//usr//lib/", "/usr/./lib", "/usr/lib/."])
def test_paths_of_mounts_have_one_spelling(path: str) -> None:
    assert Mount(source=path).source == Mount(source="/x", target=path).target == "/usr/lib"


@pytest.mark.parametrize("path", ["", "usr/lib", "/usr/../lib", "/usr/..", "..", "/usr\0/lib"])
@pytest.mark.parametrize("key", ["source", "target"])
def test_a_path_of_a_mount_is_absolute_and_plain(key: str, path: str) -> None:
    with pytest.raises(ValidationError):
        Mount.model_validate({"source": "/x", key: path})


@pytest.mark.parametrize("name", ["3", "3.14t", "pypy3.10", "3.14.0rc1+debug", "a_b-c"])
def test_a_name_may_stand_in_an_address_and_a_file_name(name: str) -> None:
    assert Runtime(name=name, executable="/x", aliases=(name,)).name == name


@pytest.mark.parametrize("name", ["", ".", "..", "-x", "a/b", "a b", "a\n", "é", "a?b", "%2e"])
def test_a_name_with_anything_else_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Runtime(name=name, executable="/x")
    with pytest.raises(ValidationError):
        Runtime(name="x", executable="/x", aliases=(name,))


@pytest.mark.parametrize("env", [{"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "\0"}, {"A": 1}])
def test_an_environment_that_no_program_can_have_is_refused(env: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Runtime.model_validate({"name": "x", "executable": "/x", "env": env})


@pytest.mark.parametrize("address", ["127.0.0.1:8060", "localhost:0", "[::1]:65535", "my-host.example:80"])
def test_a_server_binds_to_a_host_and_a_port(address: str) -> None:
    assert Server(bind=address).bind == address


@pytest.mark.parametrize(
    "address", ["8060", ":8060", "host", "host:", "host:65536", "::1:80", "a b:80", "h:٣", "h:80\n"]
)
def test_a_server_binds_to_nothing_else(address: str) -> None:
    with pytest.raises(ValidationError):
        Server(bind=address)


@pytest.mark.parametrize("version", ["3.14", "3", "3.14.6-1", "3.14.6/..", "3.14.6\n", "v3.14.6"])
def test_a_build_names_a_whole_release(version: str) -> None:
    assert Build(version="3.15.0rc1", sha256="0" * 64).configure == ()
    with pytest.raises(ValidationError):
        Build(version=version, sha256="0" * 64)


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"])
def test_a_build_has_a_sha256(digest: str) -> None:
    with pytest.raises(ValidationError):
        Build(version="3.14.6", sha256=digest)


@pytest.mark.parametrize("model", [Limits(), Files(), Server(), Mount(source="/x"), Runtime(name="x", executable="/x")])
def test_nothing_changes_a_table(model: BaseModel) -> None:
    for key in type(model).model_fields:
        with pytest.raises(ValidationError):
            setattr(model, key, getattr(model, key))


def test_nothing_changes_a_mapping_of_a_registry() -> None:
    registry = _registry()
    for mapping in (registry.runtimes, registry.executables):
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]


def test_a_registry_travels_as_json() -> None:
    assert Registry.model_validate_json(_registry().model_dump_json()) == _registry()


@pytest.mark.parametrize("name", ["3.14", "3", "latest"])
def test_a_runtime_is_found_by_name_and_alias(name: str) -> None:
    assert _registry().resolve(name).name == "3.14"


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RuntimeUnknownError, match=r"no runtime '3\.1'; known: 3\.14, 3, latest, 3\.12$"):
        _registry().resolve("3.1")


@pytest.mark.parametrize(("path", "name"), [("/py/3.14", "3.14"), ("/usual/python", "3.14"), ("/py/3.12", "3.12")])
def test_a_runtime_is_found_by_a_listed_executable(path: str, name: str) -> None:
    found = _registry().by_executable(path)
    assert found is not None
    assert found.name == name


@given(st.text())
def test_no_other_path_finds_a_runtime(path: str) -> None:
    registry = _registry()
    assert path in registry.executables or registry.by_executable(path) is None


@pytest.mark.parametrize("path", ["/py/./3.12", "//py/3.12", "/py/3.12/", "/py/x/../3.12", "py/3.12"])
def test_a_path_is_compared_as_it_is_written(path: str) -> None:
    assert _registry().by_executable(path) is None


def test_the_environment_is_the_one_that_clients_of_the_peer_expect() -> None:
    pools = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "NUMEXPR_NUM")
    assert {
        "HOME": "/home",
        "LANG": "en_US.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "true",
        "PYTHONIOENCODING": "utf-8:strict",
        "PYTHONUNBUFFERED": "true",
        "PYTHONUSERBASE": "/snekbox/user_base",
        "PYTHON_COLORS": "1",
    } | {f"{pool}_THREADS": "15" for pool in pools} == DEFAULT_ENV
