"""A container as the Kubernetes manifests ask for it, made by runc on this host: every wall must stand in it.

    sudo .venv/bin/python tests/deploy/pod.py

The host has cgroup v2, systemd and runc; where it has AppArmor, deploy/apparmor/snekhouse is loaded. The container sees the
host's files, read-only, and runs the snekhouse of this environment. Its user, its capabilities and its cgroup are those of
`base/` and of the component `user-namespaces`.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w
import yaml

_KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
_POD = yaml.safe_load((_KUBERNETES / "base" / "deployment.yaml").read_text())["spec"]["template"]["spec"]
_IDS = {"containerID": 0, "hostID": 131072, "size": 65536}
"""What kubelet maps: 65536 ids of the node that no other pod has."""

_SNEKHOUSE = (sys.executable, "-m", "snekhouse")
_OUT_OF_MEMORY = "x = bytearray(200 << 20)"

Spec = dict[str, Any]


def main() -> None:
    """Try both kinds of pods; end with 1 where one is not as it should be."""
    with tempfile.TemporaryDirectory() as name, _root() as root:
        folder = Path(name)
        folder.chmod(0o755)  # root of a user namespace is anybody here
        found = folder / "runtimes.toml"
        subprocess.run([*_SNEKHOUSE, "runtimes", "discover", "--output", found], check=True, capture_output=True)
        for kind in ("cgroup-writable", "user-namespaces"):
            registry = _registry(found, user_namespaces=kind == "user-namespaces")
            doctor = _run(folder, root, kind, ("doctor", "--json", "--registry", str(registry)))
            missing = [wall["name"] for wall in json.loads(doctor.stdout) if not wall["stands"]]
            killed = _run(folder, root, kind, ("eval", "--registry", str(registry), _OUT_OF_MEMORY))
            print(f"{kind}: missing walls: {missing or 'none'}; a run that is too large: {killed.stderr.strip()}")
            if missing or killed.returncode != 137:
                sys.exit(1)


@contextmanager
def _root() -> Iterator[Path]:
    """Bind the host's files to a folder: runc does not take `/` itself."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(["mount", "--bind", "/", name], check=True)
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def _registry(found: Path, *, user_namespaces: bool) -> Path:
    """Write a registry that demands every wall, with the ids of the component where it counts."""
    declared = tomllib.loads(found.read_text())
    declared["server"].pop("allow_degraded", None)
    if user_namespaces:
        component = tomllib.loads((_KUBERNETES / "components" / "user-namespaces" / "runtimes.toml").read_text())
        declared["server"]["uids"] = component["server"]["uids"]
    path = found.with_name("pod.toml")
    path.write_text(tomli_w.dumps(declared))
    return path


def _run(folder: Path, root: Path, kind: str, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    bundle = folder / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / "config.json").unlink(missing_ok=True)
    subprocess.run(["runc", "spec", "--bundle", bundle], check=True)
    spec = json.loads((bundle / "config.json").read_text())
    _change(spec, root, folder, (*_SNEKHOUSE, *command), user_namespaces=kind == "user-namespaces")
    name = f"snekhouse-{kind}-{command[0]}"
    spec["linux"]["cgroupsPath"] = f"system.slice:pod:{name}"
    (bundle / "config.json").write_text(json.dumps(spec))
    run = ["runc", "--systemd-cgroup", "run", "--bundle", str(bundle), name]
    return subprocess.run(run, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _change(spec: Spec, root: Path, folder: Path, command: Sequence[str], *, user_namespaces: bool) -> None:
    """Make of runc's own example what kubelet would ask for."""
    capabilities = [f"CAP_{name}" for name in _POD["containers"][0]["securityContext"]["capabilities"]["add"]]
    spec["process"] |= {
        "terminal": False,
        "args": list(command),
        "cwd": "/",
        "env": ["PATH=/usr/bin:/usr/sbin", "XDG_RUNTIME_DIR=/run/house", "TMPDIR=/run/house"],
        "user": {"uid": _POD["securityContext"]["runAsUser"], "gid": _POD["securityContext"]["runAsGroup"]},
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        "noNewPrivileges": True,
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 65536, "soft": 65536}],
    }
    if Path("/sys/module/apparmor/parameters/enabled").exists():
        spec["process"]["apparmorProfile"] = "snekhouse"
    spec["root"] = {"path": str(root), "readonly": True}
    (cgroup,) = (mount for mount in spec["mounts"] if mount["destination"] == "/sys/fs/cgroup")
    cgroup["options"] = ["nosuid", "noexec", "nodev", "relatime", "rw"]  # what a writable cgroup is to runc
    private = {"destination": "/run/house", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}
    spec["mounts"] += [private, _bound(folder)]
    namespaces = {each["type"] for each in spec["linux"]["namespaces"]} | {"cgroup"}
    spec["linux"]["namespaces"] = [
        {"type": kind} for kind in sorted(namespaces | ({"user"} if user_namespaces else set()))
    ]
    if user_namespaces:
        spec["linux"]["uidMappings"] = spec["linux"]["gidMappings"] = [_IDS]


def _bound(folder: Path) -> dict[str, Any]:
    return {"destination": str(folder), "type": "bind", "source": str(folder), "options": ["rbind", "ro"]}


if __name__ == "__main__":
    main()
