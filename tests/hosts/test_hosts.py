"""The service on hosts of today, each a setting of a virtual machine: `make host-test`."""

import json
import os
import re
import subprocess
from collections import Counter

import pytest

from hosts.disk import CACHE, ROOT
from hosts.found import Found
from hosts.machine import Job, run
from hosts.matrix import merged
from hosts.settings import settings

pytestmark = [pytest.mark.host, pytest.mark.timeout(0)]

SETTINGS = settings()
PAGE = ROOT / "docs" / "reference" / "hosts.md"
_HOGS = 1000
"""How many guests run out of memory in each setting."""

_BOOTS = 3
"""Maximum number of boots of a machine. Emulated by several threads, its kernel may panic when it changes its own code."""

_ENDED = re.compile(r"^exit \d+\r?$", re.MULTILINE)
"""The last line of a machine that did not panic."""


class Lab:
    """Settings to try, those of one kernel in one boot; what is found goes into the documentation after each."""

    def __init__(self, wanted: set[str]) -> None:
        self._wanted = wanted
        self._boots = Counter[str]()
        self.found: dict[str, Found] = {}

    def try_setting(self, name: str) -> Found:
        kernel = SETTINGS[name].kernel
        wanted = [each for each in SETTINGS if each in {name, *self._wanted} and SETTINGS[each].kernel == kernel]
        while name not in self.found and self._boots[kernel] < _BOOTS:
            self._boots[kernel] += 1
            if self._boot([each for each in wanted if each not in self.found], self._boots[kernel]):
                self._boots[kernel] = _BOOTS
        assert name in self.found, "the machine did not get to this setting; its console and log say why"
        return self.found[name]

    def _boot(self, names: list[str], number: int) -> bool:
        """Boot a machine that tries settings; return whether it ended by itself, and did not panic."""
        out = CACHE / "results" / f"{names[0]}-{os.getpid()}-{number}"  # others may run these tests at the same time
        hogs = os.environ.get("SNEKHOUSE_TEST_HOGS", str(_HOGS))
        command = (
            f"SNEKHOUSE_TEST_HOGS={hogs} PYTHONPATH=tests /opt/snekhouse/bin/python -m hosts.inside {' '.join(names)}"
        )
        print(f"\na machine tries {', '.join(names)}; its output comes to {out}/log")
        try:
            run(Job(command, SETTINGS[names[0]].kernel), out)
        except subprocess.TimeoutExpired as error:
            print(f"turned off after {error.timeout:.0f} s; what it found until then counts")
        log = (out / "log").read_text(errors="replace")
        self._read(log)
        return bool(_ENDED.search(log))

    def _read(self, log: str) -> None:
        """Read the lines with what was found, and put it into the documentation."""
        told = {}
        for line in log.splitlines():
            name, _, text = line.partition(": ")
            if name in SETTINGS and text.startswith("{"):
                self.found[name] = told[SETTINGS[name].title] = Found(**json.loads(text))
        PAGE.write_text(merged(PAGE.read_text(), told, [each.title for each in SETTINGS.values()]))


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Lab:
    """All that this run is to try."""
    items = (item for item in request.session.items if isinstance(item, pytest.Function))
    return Lab({str(item.callspec.params["name"]) for item in items if item.get_closest_marker("host")})


@pytest.mark.parametrize("name", SETTINGS)
def test_setting(lab: Lab, name: str) -> None:
    found = lab.try_setting(name)
    assert not found.failure, f"{found.failure}\n{found.log}"
    assert sorted(wall for wall, (stands, _) in found.walls.items() if not stands) == SETTINGS[name].missing
    if not SETTINGS[name].serves:
        assert found.refused
        return
    assert set(found.evaluations) == {"ok"}
    assert found.survived
    assert found.drained
    assert (found.left_by_stop, found.left_by_kill) == ([], [])
    assert bool(found.tests) == bool(SETTINGS[name].tests)
    for line in found.tests.values():
        assert "passed" in line
        assert "failed" not in line
        assert "error" not in line
