"""The measure of fidelity: the same program through NsJail alone, on the same profile, without us."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from snekhouse.assets import asset
from snekhouse.host.survey import survey_for
from snekhouse.jail.nsjail import options
from snekhouse.profile.rendering import render_profile
from snekhouse.registry.models import Registry


@dataclass(frozen=True)
class Outcome:
    """What a client sees of a program."""

    output: bytes
    returncode: int | None

    @property
    def steady(self) -> tuple[bytes, int | None]:
        """The outcome without addresses in memory, which differ from run to run of the same program."""
        return re.sub(rb"0x[0-9a-f]{6,}", b"0x", self.output), self.returncode


class Plain:
    """Plain NsJail for every runtime of a registry.

    Args:
        registry: The runtimes.
        folder: For profiles and files; everybody must be able to pass through it.
    """

    def __init__(self, registry: Registry, folder: Path) -> None:
        host = survey_for(registry)
        self._registry = registry
        self._folder = folder
        self._known: dict[object, Outcome] = {}
        self._nsjail, self._ids = host.nsjail, host.ids
        for runtime in registry.runtimes.values():
            identity = host.identities[runtime.name]
            bootstrap = folder / "bootstrap.py"
            bootstrap.write_bytes(asset("runtimes/bootstrap.py").read_bytes())
            profile = render_profile(
                runtime, identity=identity, bootstrap=bootstrap, limited=frozenset({"memory", "pids", "cpu"})
            )
            self.profile(runtime.name).write_text(profile)

    def profile(self, name: str) -> Path:
        """Where the profile of a runtime is."""
        return self._folder / f"{name}.cfg"

    def run(self, name: str, args: Sequence[str], files: Mapping[str, bytes], stdin: bytes) -> Outcome:
        """Run `python ARGS` in a jail with these files in its home, or remember how that went."""
        key = (name, tuple(args), tuple(files.items()), stdin)
        if key not in self._known:
            self._known[key] = self.run_again(name, args, files, stdin)
        return self._known[key]

    def run_again(self, name: str, args: Sequence[str], files: Mapping[str, bytes], stdin: bytes) -> Outcome:
        """Run `python ARGS` in a jail with these files in its home."""
        command = ["--log", "/dev/null"]
        for number, (path, content) in enumerate(files.items()):
            source = self._folder / f"file-{number}"
            source.write_bytes(content)
            source.chmod(0o777)
            command += ["--bindmount_ro", f"{source}:/home/{path}"]
        command += ["--", self._registry.runtimes[name].executable, *args]
        given = self._folder / "stdin"
        given.write_bytes(stdin)
        with given.open("rb") as source_of_stdin, self._ids.lease() as host_ids:
            done = subprocess.run(
                [self._nsjail, *options(self.profile(name), host_ids), *command],
                stdin=source_of_stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return Outcome(done.stdout, done.returncode)
