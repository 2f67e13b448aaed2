"""What settings.toml says."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FILE = Path(__file__).with_name("settings.toml")
_COMMANDS = ("start", "stop", "kill", "doctor", "log", "clear")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a host; the file explains its keys."""

    title: str
    start: str
    doctor: str
    log: str
    stop: str
    kill: str
    kernel: str = ""
    clear: str = ""
    serves: bool = True
    missing: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    measured: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)


def settings() -> dict[str, Setting]:
    """Read all settings, by name and in their order. One that is `like` another has its commands, and no more of it."""
    read: dict[str, Setting] = {}
    for name, table in tomllib.loads(_FILE.read_text()).items():
        other = read.get(table.pop("like", ""))
        inherited = {key: getattr(other, key) for key in _COMMANDS} if other else {}
        read[name] = Setting(**{**inherited, **table})
    return read
