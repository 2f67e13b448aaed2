"""What the tests of the registry share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[[str], Registry]:
    """Load a registry from TOML text, written to ``runtimes.toml`` in the test's own folder."""

    def load_it(text: str) -> Registry:
        path = tmp_path / "runtimes.toml"
        path.write_text(text, encoding="utf-8", newline="")
        return load(path)

    return load_it
