"""How a file becomes a registry: its tables merge, and its paths name runtimes."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snekhouse.registry.environment import DEFAULT_ENV
from snekhouse.registry.models import Files, Limits, Mount, Registry
from snekhouse.registry.user_base import user_base

Load = Callable[[str], Registry]

_ONE = """
[runtimes."3.12"]
executable = "/py/3.12"
"""


_MERGING = """
default = "b"
[defaults.limits]
memory = "100MiB"
processes = 7
[defaults.files]
limit = 3
[defaults.env]
LANG = "C"
A = "defaults"
[[defaults.mounts]]
source = "/usr/lib"
[[defaults.mounts]]
source = "/opt"
[runtimes.a]
executable = "/a"
mounts = [{ source = "/a" }, { source = "/other", target = "/opt/", writable = true }]
[runtimes.a.limits]
memory = "1GiB"
[runtimes.a.env]
A = "a"
[runtimes.b]
executable = "/b"
"""


def test_limits_merge_key_by_key(load_text: Load) -> None:
    registry = load_text(_MERGING)
    above, plain = registry.runtimes["a"].limits, registry.runtimes["b"].limits
    assert (above.memory, above.processes, above.cpus) == (1 << 30, 7, 1.0)
    assert (plain.memory, plain.processes) == (100 << 20, 7)


def test_files_come_from_the_defaults(load_text: Load) -> None:
    assert load_text(_MERGING).runtimes["a"].files == Files(limit=3)


def test_the_environment_merges_over_the_usual_one(load_text: Load) -> None:
    registry = load_text(_MERGING)
    assert registry.runtimes["a"].env == {**DEFAULT_ENV, "LANG": "C", "A": "a"}
    assert registry.runtimes["b"].env == {**DEFAULT_ENV, "LANG": "C", "A": "defaults"}


def test_mounts_append_and_an_equal_target_replaces(load_text: Load) -> None:
    registry = load_text(_MERGING)
    replaced = Mount(source="/other", target="/opt", writable=True)
    assert registry.runtimes["a"].mounts == (Mount(source="/usr/lib"), replaced, Mount(source="/a"))
    assert registry.runtimes["b"].mounts == (Mount(source="/usr/lib"), Mount(source="/opt"))


TMPFS = """
default = "a"
[defaults]
mounts = [{ source = "/opt" }, { target = "/tmp", tmpfs = "1MiB" }, { target = "/usr/tmp", tmpfs = "1MiB" }]
[runtimes.a]
executable = "/a"
mounts = [{ target = "/scratch/", tmpfs = 4096 }]
[runtimes.b]
executable = "/b"
mounts = [{ source = "/var/tmp", target = "/tmp" }, { target = "/opt", tmpfs = "2MiB" }]
[runtimes.c]
executable = "/c"
root = "/srv/sid"
"""


def test_tmpfs_append_and_an_equal_target_replaces_whatever_is_there(load_text: Load) -> None:
    runtimes = load_text(TMPFS).runtimes
    mib = 1 << 20
    assert {name: [(each.target, each.size) for each in runtime.tmpfs] for name, runtime in runtimes.items()} == {
        "a": [("/tmp", mib), ("/usr/tmp", mib), ("/scratch", 4096)],
        "b": [("/opt", 2 * mib), ("/usr/tmp", mib)],
        "c": [("/tmp", mib)],  # what is at /usr comes from its root
    }
    assert runtimes["a"].mounts == (Mount(source="/opt"),)
    assert runtimes["b"].mounts == (Mount(source="/var/tmp", target="/tmp"),)


def test_a_tmpfs_may_be_as_large_as_the_memory_and_lie_where_the_packages_would(load_text: Load) -> None:
    text = '[runtimes.a]\nexecutable = "/a"\nmounts = [{ target = "/snekbox/user_base", tmpfs = "70MiB" }]'
    runtime = load_text(text).runtimes["a"]
    assert (runtime.tmpfs[0].size, user_base(runtime)) == (70 << 20, None)


def test_loopback_is_off_and_a_runtime_may_differ_from_the_defaults(load_text: Load) -> None:
    assert not load_text(_ONE).runtimes["3.12"].loopback
    assert load_text("[defaults]\nloopback = true" + _ONE).runtimes["3.12"].loopback
    assert not load_text("[defaults]\nloopback = true" + _ONE + "loopback = false").runtimes["3.12"].loopback


def test_what_a_runtime_writes_wins_even_where_it_is_the_model_s_default(load_text: Load) -> None:
    text = "[defaults.limits]\nprocesses = 7" + _ONE + f"limits = {{ processes = {Limits().processes} }}"
    assert load_text(text).runtimes["3.12"].limits.processes == Limits().processes


@given(
    below=st.dictionaries(st.sampled_from(sorted(Limits.model_fields)), st.integers(1, 1000)),
    above=st.dictionaries(st.sampled_from(sorted(Limits.model_fields)), st.integers(1, 1000)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_limits_merge_as_dictionaries_do(load_text: Load, below: dict[str, int], above: dict[str, int]) -> None:
    tables = {"defaults": {"limits": below}, "runtimes": {"a": {"executable": "/a", "limits": above}}}
    loaded = load_text(tomli_w.dumps(tables))
    merged = {**Limits().model_dump(), **below, **above}
    limits = Limits().model_dump()
    for table in (below, above):
        raised = [key for key in ("memory", "processes") if table.get(key, 0) > limits[key]]
        limits |= table
        if raised and "address_space" not in table:
            needed = limits["memory"] + (630 << 20) + max(0, limits["processes"] - 15) * (72 << 20)
            limits["address_space"] = max(limits["address_space"], needed)
    merged["address_space"] = limits["address_space"]
    assert loaded.runtimes["a"].limits.model_dump() == merged


def test_the_default_may_be_left_out_where_there_is_one_runtime(load_text: Load) -> None:
    assert load_text(_ONE).default == "3.12"


def test_the_default_may_be_an_alias(load_text: Load) -> None:
    assert load_text('default = "3"' + _ONE + 'aliases = ["3"]').default == "3.12"


def test_runtimes_keep_the_order_of_the_file(load_text: Load) -> None:
    text = 'default = "b"\n' + "".join(f'[runtimes.{name}]\nexecutable = "/{name}"\n' for name in "cab")
    assert list(load_text(text).runtimes) == ["c", "a", "b"]


def test_a_registry_knows_its_file_and_the_digest_of_its_bytes(tmp_path: Path, load_text: Load) -> None:
    registry = load_text(_ONE)
    assert registry.source == str(tmp_path / "runtimes.toml")
    assert registry.digest == hashlib.sha256(_ONE.encode()).hexdigest()


def test_what_an_executable_links_to_names_its_runtime(tmp_path: Path, load_text: Load) -> None:
    link, real = tmp_path / "python", tmp_path.resolve() / "python3.12"
    real.touch()
    link.symlink_to(real)
    registry = load_text(f'[runtimes.a]\nexecutable = "{link}"')
    found = registry.by_executable(str(real))
    assert found is not None
    assert found.name == "a"


def test_a_link_made_after_loading_names_nothing(tmp_path: Path, load_text: Load) -> None:
    real, link = tmp_path / "python3.12", tmp_path / "python"
    real.touch()
    registry = load_text(f'[runtimes.a]\nexecutable = "{real}"')
    link.symlink_to(real)
    assert os.path.realpath(link) == os.path.realpath(real)
    assert registry.by_executable(str(link)) is None


def test_a_listed_executable_comes_before_one_that_a_link_leads_to(tmp_path: Path, load_text: Load) -> None:
    link, real = tmp_path / "python", tmp_path.resolve() / "python3.12"
    real.touch()
    link.symlink_to(real)
    text = f'default = "a"\n[runtimes.a]\nexecutable = "{link}"\n[runtimes.b]\nexecutable = "{real}"'
    found = load_text(text).by_executable(str(real))
    assert found is not None
    assert found.name == "b"


def test_of_runtimes_that_share_an_executable_the_first_is_meant(load_text: Load) -> None:
    text = 'default = "b"\n[runtimes.a]\nexecutable = "/py"\n[runtimes.b]\nexecutable = "/py"'
    found = load_text(text).by_executable("/py")
    assert found is not None
    assert found.name == "a"


def test_a_byte_order_mark_is_passed_over(load_text: Load) -> None:
    assert load_text('\ufeff[runtimes.one]\nexecutable = "/one"\n').default == "one"


@pytest.mark.parametrize(
    ("defaults", "own", "space"),
    [
        ("", "", 700),
        ("", 'memory = "2GiB"', 2048 + 630),
        ('memory = "1GiB"', "", 1024 + 630),
        ('memory = "1GiB"', 'memory = "2GiB"', 2048 + 630),
        ('memory = "70MiB"\naddress_space = "700MiB"', 'memory = "2GiB"', 2048 + 630),
        ('memory = "1GiB"', 'memory = "50MiB"', 1024 + 630),
        ("", 'memory = "50MiB"', 700),
        ('address_space = "100MiB"', 'memory = "50MiB"', 100),
        ("", 'memory = "2GiB"\naddress_space = "800MiB"', 800),
        ('address_space = "4GiB"', 'memory = "2GiB"', 4096),
        ("", "processes = 25", 700 + 10 * 72),
        ("processes = 25", 'memory = "2GiB"', 2048 + 630 + 10 * 72),
        ("", "processes = 5", 700),
        ("", 'processes = 25\naddress_space = "800MiB"', 800),
    ],
)
def test_the_address_space_follows_memory_and_processes_that_are_raised(
    load_text: Load, defaults: str, own: str, space: int
) -> None:
    text = f"[defaults.limits]\n{defaults}\n{_ONE}[runtimes.'3.12'.limits]\n{own}\n"
    assert load_text(text).runtimes["3.12"].limits.address_space == space << 20
