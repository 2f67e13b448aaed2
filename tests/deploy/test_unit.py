"""The unit of systemd agrees with the rest of the project; `make host-test` starts it."""

import re
from pathlib import Path

import yaml

from snekhouse.registry.server import Server

_ROOT = Path(__file__).parents[2]
_UNIT = (_ROOT / "deploy" / "systemd" / "snekhouse.service").read_text()
_HOW_TO = (_ROOT / "docs" / "how-to" / "run-under-systemd.md").read_text()


def _values(setting: str) -> list[str]:
    return [word for value in re.findall(rf"^{setting}=(.*)", _UNIT, re.MULTILINE) for word in value.split()]


def test_a_server_has_more_time_to_stop_than_it_takes_to_drain() -> None:
    assert int(_values("TimeoutStopSec")[0]) > Server().drain


def test_it_has_the_capabilities_of_the_container() -> None:
    service = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())["services"]["snekhouse"]
    assert [f"CAP_{each}" for each in service["cap_add"]] == _values("CapabilityBoundingSet")


def test_guests_out_of_memory_do_not_end_it() -> None:
    assert _values("OOMPolicy") == ["continue"]
    assert set(_values("Delegate")) == {"cpu", "memory", "pids"}


def test_the_how_to_explains_only_what_it_has() -> None:
    explained = re.findall(r"`([A-Z]\w+)=", _HOW_TO.partition("## What each")[2].partition("## In a unit")[0])
    assert explained
    for setting in explained:
        assert _values(setting) or setting == "ReadWritePaths", setting
