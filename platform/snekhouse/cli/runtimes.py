"""``snekhouse runtimes``: list, check, add, remove, show, diff, discover and outdated."""

import dataclasses
import logging
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import anyio
import tomli_w
import typer

from snekhouse.cli.admin_client import ask_server
from snekhouse.cli.options import DEFAULT_REGISTRY, JsonOption, RegistryOption
from snekhouse.cli.output import command, print_json, print_lines, print_text, say
from snekhouse.cli.probing import find_in_root, probed
from snekhouse.cli.releases import RELEASES, newer_release, newest_releases
from snekhouse.cli.tables import print_table
from snekhouse.errors import InterpreterError, Problem, RegistryError, RemoteError
from snekhouse.host.identity import identity_for
from snekhouse.host.survey import survey
from snekhouse.registry.discovery.interpreters import Interpreter, find_interpreter, find_interpreters
from snekhouse.registry.discovery.writing import render_registry, render_runtime, write_registry
from snekhouse.registry.edits import appended, differences, remove, settings
from snekhouse.registry.hints import hints
from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry, Runtime
from snekhouse.registry.server import Server
from snekhouse.registry.user_base import user_base
from snekhouse.service import RuntimeState, open_service
from snekhouse.web.schemas import RuntimesOut

app = typer.Typer(help="The runtimes of a registry.", no_args_is_help=True)


async def _as_served(registry: Registry) -> RuntimesOut:
    async with open_service(registry, require_runtime=False) as service:
        await service.settled()
        return RuntimesOut.of(service)


@app.command("list")
def list_runtimes(registry: RegistryOption = DEFAULT_REGISTRY, json: JsonOption = False) -> None:
    """List the runtimes, each probed in its own jail."""
    logging.getLogger("snekhouse").setLevel(logging.CRITICAL)  # the table has the errors
    loaded = load(registry)
    if json:
        print_json(anyio.run(_as_served, loaded).model_dump(mode="json")["runtimes"])
        return
    ready = anyio.run(probed, loaded)
    columns = ("NAME", "STATUS", "VERSION", "DEFAULT", "ALIASES", "EXECUTABLE")
    print_table(columns, [_row(each, loaded) for each in ready])


@app.command()
def check(registry: RegistryOption = DEFAULT_REGISTRY, json: JsonOption = False) -> None:
    """Check a registry before a deploy: schema, rendering and probing; exit 1 if anything is wrong."""
    logging.getLogger("snekhouse").setLevel(logging.CRITICAL)  # the list has the errors
    problems = _problems(registry)
    if json:
        print_json(problems)
    elif problems:
        print_lines(problems)
    else:
        print_lines([f"{registry}: every runtime is available"])
    if problems:
        raise typer.Exit(1)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Name of the runtime in URLs.")],
    executable: Annotated[Path, typer.Option(help="Path of the interpreter on this host, or inside the root.")],
    alias: Annotated[
        list[str] | None, typer.Option("--alias", metavar="NAME", help="Another name in URLs; may be repeated.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the root file system with the interpreter.")] = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Append a runtime to a registry if it works in a jail; a running server picks it up within a second."""
    logging.getLogger("snekhouse").setLevel(logging.CRITICAL)
    known = load(registry)
    if name in known.names():
        raise RegistryError([Problem(str(registry), f'runtimes."{name}"', "already exists", "choose another name")])
    (found,) = find_in_root(root, str(executable)) if root else (find_interpreter(executable),)
    table = render_runtime(name, found, aliases=alias or (), taken=known.executables)
    draft = appended(registry, table)
    only = {"default": name, "runtimes": {name: draft.registry.runtimes[name]}}
    (ready,) = anyio.run(probed, draft.registry.model_copy(update=only))
    if wrong := _wrong(ready):
        raise InterpreterError(f"{executable} does not work in a jail; {registry} is unchanged: {wrong}")
    draft.write()
    print_lines([f"{registry}: added {name}, {_version(ready)}"])


@app.command("remove")
def remove_runtime(
    name: Annotated[str, typer.Argument(help="Name or alias of a runtime.")],
    default: Annotated[str, typer.Option(help="The new default, if this removes the default runtime.")] = "",
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Remove a runtime's tables from a registry; a running server stops serving it within a second."""
    runtime = load(registry).resolve(name)
    remove(registry, runtime.name, default=default)
    print_lines([f"{registry}: removed {runtime.name}"])
    if (packages := user_base(runtime)) and any(Path(packages.source).glob("*")):
        say(f"its packages stay in {packages.source}; delete this folder if no other runtime uses it")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name or alias of a runtime.")],
    effective: Annotated[
        bool, typer.Option("--effective", help="Print all settings, merged with the defaults.")
    ] = False,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Print a runtime's table as TOML, as the registry has it or merged with the defaults."""
    runtime = load(registry).resolve(name)
    written = tomllib.loads(registry.read_text(encoding="utf-8-sig"))["runtimes"].get(runtime.name, {})
    print_text(tomli_w.dumps({"runtimes": {runtime.name: _effective(runtime) if effective else written}}))


def _effective(runtime: Runtime) -> dict[str, Any]:
    """Return the settings of a runtime, with the folder of its packages on this host."""
    packages = user_base(runtime)
    return settings(runtime) | ({"packages": packages.source} if packages else {})


@app.command()
def diff(
    registry: RegistryOption = DEFAULT_REGISTRY,
    url: Annotated[str, typer.Option(help="URL of the server; by default the registry's port on this host.")] = "",
    json: JsonOption = False,
) -> None:
    """Compare a registry with what a server serves, through its admin API; exit 1 if they differ."""
    loaded = load(registry)
    served = _served(url or f"http://127.0.0.1:{loaded.server.bind.rpartition(':')[2]}")
    written = {each.name: settings(each) for each in loaded.runtimes.values()}
    found = tuple(differences(served, {"default": loaded.default, "runtimes": written}))
    if json:
        print_json([dataclasses.asdict(change) for change in found])
    else:
        print_lines(map(str, found) if found else [f"{registry}: the server serves the same"])
    if found:
        raise typer.Exit(1)


def _served(url: str) -> dict[str, Any]:
    """Ask a server for its default runtime, and the settings of its runtimes."""
    answer = ask_server(url, "runtimes")
    try:
        runtimes = {each["name"]: _without_null(each["settings"], but="name") for each in answer["runtimes"]}
        return {"default": answer["registry"]["default"], "runtimes": runtimes}
    except (KeyError, TypeError) as error:
        raise RemoteError(f"{url} is not a server of this version; name the right one with --url") from error


def _without_null(sent: Any, *, but: str = "") -> Any:
    """Return a runtime's settings, as a server sends them, without nulls and without the key `but`."""
    if isinstance(sent, list):
        return [_without_null(each) for each in sent]
    if isinstance(sent, dict):
        return {key: _without_null(value) for key, value in sent.items() if value is not None and key != but}
    return sent


@app.command()
def discover(
    output: Annotated[Path, typer.Option("--output", "-o", help="The registry to write.")] = Path(
        "runtimes.local.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    root: Annotated[
        Path | None, typer.Option(help="Folder of a root file system; find its interpreters instead, each in a jail.")
    ] = None,
) -> None:
    """Find the interpreters of this machine and write a registry that serves them."""
    if root:
        logging.getLogger("snekhouse").setLevel(logging.CRITICAL)  # interpreters that do not work are left out
    found = find_in_root(root) if root else find_interpreters()
    write_registry(output, render_registry(found, allow_degraded_reason=_degraded(found)), force=force)
    newest_first = sorted(found, key=lambda each: each.release, reverse=True)
    print_table(("VERSION", "EXECUTABLE"), [(each.version, str(each.source)) for each in newest_first])
    print_lines([f"wrote {output}; serve it with: {command()} serve --registry {output}"])


@app.command()
def outdated(
    registry: RegistryOption = DEFAULT_REGISTRY,
    url: Annotated[str, typer.Option(help="URL of the list of releases.")] = RELEASES,
    json: JsonOption = False,
) -> None:
    """List the runtimes for which python.org has a newer CPython; exit 1 if there are any."""
    logging.getLogger("snekhouse").setLevel(logging.CRITICAL)
    newest = newest_releases(url)
    probes = [(each.runtime.name, each.probe) for each in anyio.run(probed, load(registry))]
    found = [
        (name, probe.version, newer)
        for name, probe in probes
        if probe and probe.implementation == "CPython" and (newer := newer_release(probe.version, newest))
    ]
    if json:
        print_json([{"name": name, "version": version, "newest": newer} for name, version, newer in found])
    elif found:
        print_table(("NAME", "VERSION", "NEWEST"), found)
    else:
        print_lines([f"{registry}: no runtime is outdated"])
    if found:
        raise typer.Exit(1)


def _degraded(found: Sequence[Interpreter]) -> str | None:
    """Return the walls that this host cannot build for these interpreters; None if it can build all."""
    sources = [source for each in found for source in each.sources]
    walls = survey({"all": identity_for(sources)}, Server().uids).walls()
    return "; ".join(f"{wall.name}: {wall.detail}" for wall in walls if not wall.stands) or None


def _problems(path: Path) -> list[str]:
    try:
        loaded = load(path)
    except RegistryError as error:
        return [str(problem) for problem in error.problems]
    for hint in hints(loaded):
        say(f"{path}: {hint}")
    ready = anyio.run(probed, loaded)
    return [f'{path}: runtimes."{each.runtime.name}": {wrong}' for each in ready if (wrong := _wrong(each))]


def _wrong(ready: RuntimeState) -> str:
    """Return what is wrong with a runtime; empty if it works."""
    if ready.reason or not ready.cold_reason:
        return ready.reason
    return f'evaluations start cold: {ready.cold_reason}; correct that, or write start = "cold"'


def _row(ready: RuntimeState, registry: Registry) -> tuple[str, ...]:
    runtime, found = ready.runtime, ready.probe
    version = _version(ready) if found else ready.reason
    status = "available" if found else "unavailable"
    default = "yes" if runtime.name == registry.default else ""
    return runtime.name, status, version, default, ", ".join(runtime.aliases), runtime.executable


def _version(ready: RuntimeState) -> str:
    found = ready.probe
    return f"{found.implementation} {found.version}" if found else ""
