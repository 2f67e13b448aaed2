"""The pages are what their source builds, small enough, quick, and work in Firefox as well."""

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from serving import Server

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "platform/snekhouse/web/playground"
BUILT = ROOT / "platform/snekhouse/web/page"
HERE = Path(__file__).parent
MAX_SIZE = 250_000
"""Bytes of the page at ``/``, compressed."""


def call(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command in the folder of the source; return what it prints."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=SOURCE,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_committed_files_are_what_the_source_builds(tmp_path: Path) -> None:
    call("node", "build.mjs", tmp_path / "page")
    built = {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()}
    committed = {path.name: path.read_bytes() for path in BUILT.iterdir()}
    assert built.keys() == committed.keys()
    assert [name for name in built if built[name] != committed[name]] == [], "run make page, and commit its files"


def test_the_source_has_no_mistakes_and_its_own_tests_pass() -> None:
    call("npm", "run", "--silent", "check")
    call("npm", "run", "--silent", "test")


def test_the_page_is_small() -> None:
    sizes = {
        path.name: len(gzip.compress(path.read_bytes())) for path in BUILT.iterdir() if path.stem in {"app", "index"}
    }
    assert sum(sizes.values()) <= MAX_SIZE, sizes


def audited(url: str, chromium: str, report: Path, *options: str) -> dict[str, int]:
    """Ask Lighthouse for its scores; it sometimes asks to be run again, because it could not record the page."""
    command = [str(HERE / "node_modules/.bin/lighthouse"), url, *options]
    fixed = ["--output=json", f"--output-path={report}", "--chrome-flags=--headless --no-sandbox", "--quiet"]
    only = "--only-categories=performance,accessibility"
    for is_last in (False, False, True):
        done = subprocess.run(
            [*command, *fixed, only],
            capture_output=True,
            text=True,
            env={**os.environ, "CHROME_PATH": chromium},
            check=False,
        )
        if done.returncode == 0:
            break
        assert not is_last, done.stdout + done.stderr
        assert "Please run Lighthouse again" in done.stdout + done.stderr, done.stdout + done.stderr
    found = json.loads(report.read_text())["categories"]
    return {name: round(100 * category["score"]) for name, category in found.items()}


@pytest.mark.alone
@pytest.mark.parametrize("options", [("--preset=desktop",), ()], ids=["desktop", "mobile"])
def test_lighthouse_scores_performance_and_accessibility_at_95_or_more(
    house: Server, chromium: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    scores = audited(str(house.client.base_url), chromium, tmp_path / "report.json", *options)
    assert scores.keys() == {"performance", "accessibility"}
    assert min(scores.values()) >= 95, scores


@pytest.mark.alone
def test_the_first_paint_comes_within_300_ms_and_the_editor_soon_after(house: Server, chromium: str) -> None:
    found = json.loads(call("node", HERE / "painting.mjs", chromium, str(house.client.base_url)))
    assert min(painted for painted, _ in found) <= 300, found
    assert min(editor for _, editor in found) <= 600, found


def test_firefox_runs_compares_and_keeps_state(house: Server) -> None:
    firefox = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
    assert firefox, "no Firefox here; on Debian: apt install firefox-esr; or name one in FIREFOX"
    assert call("node", HERE / "firefox.mjs", firefox, str(house.client.base_url)).strip() == "all done"
