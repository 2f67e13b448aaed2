"""Which registry a command uses when none is named."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from command import SNEKHOUSE, refused, snekhouse

_INSTALLED = Path("/etc/snekhouse/runtimes.toml")


@pytest.fixture
def folder(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with this machine's registry as `runtimes.local.toml`, beside the image's, as in a clone."""
    monkeypatch.delenv("SNEKHOUSE_REGISTRY", raising=False)
    clone = tmp_path / "clone"
    clone.mkdir()
    shutil.copy(small, clone / "runtimes.local.toml")
    shutil.copy(Path(__file__).parents[2] / "runtimes.toml", clone)
    return clone


def test_the_registry_of_this_machine_comes_first_and_is_named_on_standard_error(folder: Path) -> None:
    done = snekhouse("eval", "print(6 * 7)", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "42\n")
    assert "snekhouse: using the registry runtimes.local.toml; name another with --registry\n" in done.stderr


def test_without_it_the_registry_of_the_image_is_used(folder: Path) -> None:
    (folder / "runtimes.local.toml").unlink()
    done = snekhouse("runtimes", "show", "3.14", cwd=folder)
    assert "/snekbin/python/3.14/bin/python" in done.stdout
    assert "using the registry runtimes.toml;" in done.stderr


def test_a_registry_that_is_named_is_not_told(folder: Path, small: Path) -> None:
    given = snekhouse("runtimes", "show", "only", "-r", small, cwd=folder)
    by_environment = snekhouse("runtimes", "show", "only", cwd=folder, env={"SNEKHOUSE_REGISTRY": str(small)})
    assert (given.returncode, given.stderr) == (by_environment.returncode, by_environment.stderr) == (0, "")


@pytest.mark.skipif(_INSTALLED.exists(), reason="a registry is installed on this machine")
def test_where_there_is_none_the_places_and_the_remedy_are_named(tmp_path: Path) -> None:
    message = refused(snekhouse("runtimes", "list", cwd=tmp_path))
    assert message.startswith("snekhouse: no registry found (looked for runtimes.local.toml, runtimes.toml, /etc/")
    assert "snekhouse runtimes discover" in message


def test_the_server_logs_the_registry_that_it_found(folder: Path) -> None:
    command = [*SNEKHOUSE, "serve", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder) as server:
        assert server.stderr is not None
        before = []
        for line in server.stderr:
            before.append(line)
            if "Running on" in line:
                break
        server.send_signal(signal.SIGTERM)
        server.stderr.read()
    assert "using the registry runtimes.local.toml; name another with --registry" in before[0]


def test_the_found_registry_is_an_event_of_a_log_in_json(folder: Path, small: Path) -> None:
    text = (
        small.read_text()
        .replace("[server]\n", '[server]\nlog = "json"\n')
        .replace('executable = "', 'executable = "/no')
    )
    (folder / "runtimes.local.toml").write_text(text)
    done = snekhouse("serve", "--bind", "127.0.0.1:0", cwd=folder)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert events[0]["event"].startswith("using the registry runtimes.local.toml")


def test_a_server_without_any_available_runtime_ends_with_the_remedy(folder: Path) -> None:
    (folder / "runtimes.local.toml").unlink()
    message = refused(snekhouse("serve", "--bind", "127.0.0.1:0", cwd=folder))
    last = message.splitlines()[-1]
    assert last.startswith("snekhouse: no runtime of runtimes.toml is available")
    assert "snekhouse runtimes discover" in last
    assert "Running on" not in message


def test_a_server_with_several_workers_ends_as_well(folder: Path) -> None:
    text = Path(folder / "runtimes.toml").read_text().replace("workers = 1 ", "workers = 2 ")
    (folder / "runtimes.local.toml").write_text(text.replace("concurrency = 0 ", "concurrency = 2 "))
    message = refused(snekhouse("serve", "--bind", "127.0.0.1:0", cwd=folder))
    assert "no runtime of runtimes.local.toml is available" in message
