"""What is in deploy/: kustomize renders it, it fits the schemas of Kubernetes, and says the same as its README."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from snekhouse.registry.loading import load
from snekhouse.registry.models import Registry
from snekhouse.registry.server import Server
from snekhouse.registry.sizing import advice

_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "deploy"
_KUBERNETES = _DEPLOY / "kubernetes"
_README = (_DEPLOY / "README.md").read_text()
_SECCOMP = json.loads((_DEPLOY / "seccomp.json").read_text())
_OVERLAYS = sorted(path.name for path in (_KUBERNETES / "overlays").iterdir())
_EVERY_WALL = sorted({*_OVERLAYS} - {"degraded"})
_APPARMOR = "deploy/kubernetes/components/apparmor"

Manifest = dict[str, Any]


@cache
def rendered(folder: Path) -> tuple[Manifest, ...]:
    """Render a kustomization with the kustomize of kubectl, which applies it too."""
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def manifest(overlay: str, kind: str) -> Manifest:
    (found,) = (each for each in rendered(_KUBERNETES / "overlays" / overlay) if each["kind"] == kind)
    return found


def pod(overlay: str) -> Manifest:
    found: Manifest = manifest(overlay, "Deployment")["spec"]["template"]
    return found


def registry(overlay: str, folder: Path) -> Registry:
    """Load the registry of an overlay's pods."""
    data = manifest(overlay, "ConfigMap")["data"]
    assert data.keys() == {"runtimes.toml"}
    path = folder / "runtimes.toml"
    path.write_text(data["runtimes.toml"])
    return load(path)


@pytest.mark.parametrize("version", ["1.29", "latest"])
@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_every_manifest_fits_the_schema_of_its_kind(overlay: str, version: str) -> None:
    wanted = kubernetes_validate.latest_version() if version == "latest" else version
    manifests = rendered(_KUBERNETES / "overlays" / overlay)
    for each in manifests:
        kubernetes_validate.validate(each, wanted, strict=True)
    kinds = {"Namespace", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    assert kinds < {each["kind"] for each in manifests}


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_everything_is_in_one_namespace_and_selects_the_pods(overlay: str) -> None:
    wanted = "app.kubernetes.io/name"
    labels = pod(overlay)["metadata"]["labels"]
    text = json.dumps(rendered(_KUBERNETES / "overlays" / overlay))
    assert set(re.findall(rf'"{wanted}": "([^"]+)"', text)) == {labels[wanted]}
    assert manifest(overlay, "Service")["spec"]["selector"] == labels
    assert manifest(overlay, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "snekhouse"
    namespaced = [
        each
        for each in rendered(_KUBERNETES / "overlays" / overlay)
        if each["kind"] not in {"Namespace", "RuntimeClass"}
    ]
    assert {each["metadata"]["namespace"] for each in namespaced} == {"snekhouse"}
    volumes = pod(overlay)["spec"]["volumes"]
    assert {"name": "registry", "configMap": {"name": manifest(overlay, "ConfigMap")["metadata"]["name"]}} in volumes


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_nothing_may_leave_the_pods(overlay: str) -> None:
    spec = manifest(overlay, "NetworkPolicy")["spec"]
    assert "Egress" in spec["policyTypes"]
    assert spec["egress"] == []


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_no_pod_is_privileged_and_all_are_confined(overlay: str) -> None:
    spec = pod(overlay)["spec"]
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"]["drop"] == ["ALL"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "Localhost", "localhostProfile": "snekhouse.json"}
    assert spec["automountServiceAccountToken"] is False
    assert container["resources"].keys() == {"requests", "limits"}


@pytest.mark.parametrize("overlay", _EVERY_WALL)
def test_pods_with_every_wall_have_the_user_and_capabilities_of_docker(overlay: str) -> None:
    spec = pod(overlay)["spec"]
    assert spec["securityContext"]["runAsUser"] == 0
    shown = flags("writable-cgroups")
    assert spec["containers"][0]["securityContext"]["capabilities"]["add"] == shown["cap-add"]
    assert manifest(overlay, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"


def test_the_degraded_pod_is_an_ordinary_user_without_capabilities() -> None:
    spec = pod("degraded")["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    labels = manifest("degraded", "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_each_overlay_asks_its_cluster_for_a_writable_cgroup() -> None:
    assert pod("cgroup-writable")["spec"]["runtimeClassName"] == "cgroup-writable"
    assert manifest("cgroup-writable", "RuntimeClass")["handler"] == "cgroup-writable"
    crio = pod("crio")["metadata"]["annotations"]
    assert (
        crio["cgroup2-mount-hierarchy-rw.crio.io"] == crio["io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw"] == "true"
    )
    (container,) = pod("gke")["spec"]["containers"]
    annotation = f"node.gke.io/enable-writable-cgroups.{container['name']}"
    assert pod("gke")["metadata"]["annotations"][annotation] == "true"
    assert pod("gke")["spec"]["nodeSelector"] == {"node.gke.io/enable-writable-cgroups": "true"}
    assert container["resources"]["requests"] == container["resources"]["limits"]  # QoS class Guaranteed


def test_pods_in_user_namespaces_use_ids_that_exist_there(tmp_path: Path) -> None:
    assert pod("user-namespaces")["spec"]["hostUsers"] is False
    assert pod("user-namespaces")["spec"]["runtimeClassName"] == "cgroup-writable"
    first, last = registry("user-namespaces", tmp_path).server.uids
    assert 0 < first < last < 65534  # kubelet maps 65536 ids; the last but one is nobody


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_pods_that_have_the_same_ids_are_on_different_nodes(overlay: str) -> None:
    deployment = manifest(overlay, "Deployment")["spec"]
    rolling = deployment["strategy"]["rollingUpdate"]
    affinity = pod(overlay)["spec"].get("affinity", {}).get("podAntiAffinity", {})
    if overlay in {"cgroup-writable", "crio", "gke"}:
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert term["labelSelector"]["matchLabels"] == pod(overlay)["metadata"]["labels"]
        assert rolling == {"maxUnavailable": 1, "maxSurge": 0}
    else:
        assert affinity == {}
        assert rolling == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_only_the_autoscaler_says_how_many_pods_there_are(overlay: str) -> None:
    assert "replicas" not in manifest(overlay, "Deployment")["spec"]
    assert manifest(overlay, "HorizontalPodAutoscaler")["spec"]["minReplicas"] == 2


def test_the_profile_of_apparmor_is_added_by_a_component(tmp_path: Path) -> None:
    kustomization = {"resources": ["base"], "components": ["apparmor"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (tmp_path / "base").symlink_to(_KUBERNETES / "base")
    (tmp_path / "apparmor").symlink_to(_ROOT / _APPARMOR)
    manifests = rendered(tmp_path)
    (deployment,) = (each for each in manifests if each["kind"] == "Deployment")
    kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)
    security = deployment["spec"]["template"]["spec"]["securityContext"]
    assert security["appArmorProfile"] == {"type": "Localhost", "localhostProfile": "snekhouse"}


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_a_pod_has_time_to_drain(overlay: str, tmp_path: Path) -> None:
    drain = registry(overlay, tmp_path).server.drain
    before = 5  # preStop, see below
    spec = pod(overlay)["spec"]
    assert ["sleep", str(before)] == spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert spec["terminationGracePeriodSeconds"] > drain + before + 2 * 5  # answers have to be read as well


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_the_registry_of_the_pods_is_the_images_but_for_what_the_overlay_says(overlay: str, tmp_path: Path) -> None:
    ours, theirs = load(_ROOT / "runtimes.toml"), registry(overlay, tmp_path)
    differences: dict[str, dict[str, Any]] = {
        "degraded": {"allow_degraded": True},
        "user-namespaces": {"uids": (60000, 61023)},
    }
    assert theirs.runtimes == ours.runtimes
    cpus = int(pod(overlay)["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert theirs.server == Server(concurrency=cpus, **differences.get(overlay, {}))


@pytest.mark.parametrize("overlay", _OVERLAYS)
def test_all_runs_at_once_fit_the_memory_of_a_pod(overlay: str, tmp_path: Path) -> None:
    limits = pod(overlay)["spec"]["containers"][0]["resources"]["limits"]
    assert limits["memory"].endswith("Gi")
    told = list(advice(registry(overlay, tmp_path), float(limits["cpu"]), int(limits["memory"][:-2]) << 30))
    assert len(told) == 2
    assert "memory alone allows" in told[-1]


def test_every_overlay_and_component_has_its_paragraph() -> None:
    readme = (_KUBERNETES / "README.md").read_text()
    parts = [*_OVERLAYS, *(path.name for path in (_KUBERNETES / "components").iterdir())]
    assert all(f"`{name}`" in readme for name in parts)


def added() -> set[str]:
    """Name what the profile allows beside Docker's."""
    (group,) = (each for each in _SECCOMP["syscalls"] if "What builds jails" in each.get("comment", ""))
    return set(group["names"])


def test_the_readme_tells_why_each_call_is_allowed() -> None:
    table = _README.partition("| call | who needs it |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", re.sub(r"(?m)^(\|[^|]*\|).*$", r"\1", table))) == added()


def test_the_profile_allows_nothing_that_reaches_beyond_a_namespace() -> None:
    allowed = {name for each in _SECCOMP["syscalls"] if each["action"] == "SCMP_ACT_ALLOW" for name in each["names"]}
    assert _SECCOMP["defaultAction"] == "SCMP_ACT_ERRNO"
    beyond = (
        "acct bpf chroot delete_module finit_module fsopen fsmount init_module ioperm iopl io_uring_setup kexec_load "
        "keyctl add_key request_key mount_setattr move_mount open_by_handle_at open_tree perf_event_open ptrace "
        "process_vm_readv process_vm_writev quotactl reboot settimeofday swapon swapoff syslog userfaultfd vhangup"
    )
    assert not allowed & set(beyond.split())
    assert added() <= allowed


def test_the_profile_is_for_both_machines() -> None:
    machines = {each["architecture"] for each in _SECCOMP["archMap"]}
    assert machines == {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"}


def flags(command: str) -> dict[str, list[str]]:
    """Read the options of the README's `docker run` that names something."""
    shown = next(each for each in re.findall(r"(?s)    docker run .*?\n\n", _README) if command in each)
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"(?<= )--?([a-z-]+)(?:[ =]([^\s\\-]\S*))?", shown):
        found.setdefault(name, []).append(value)
    return found


def test_compose_has_the_flags_of_the_readme() -> None:
    service = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())["services"]["snekhouse"]
    shown = flags("writable-cgroups")
    assert service["user"] == shown["user"][0]
    assert service["cap_drop"] == shown["cap-drop"]
    assert service["cap_add"] == shown["cap-add"]
    assert service["security_opt"] == shown["security-opt"]
    assert (service["read_only"], service["tmpfs"]) == (True, shown["tmpfs"])
    assert [each.replace("snekhouse-", "", 1) for each in shown["v"]] == service["volumes"]


@pytest.mark.parametrize("way", ["writable-cgroups", "snekhouse.slice", "/cgroup/memory"])
def test_every_way_to_have_every_wall_differs_only_in_how_it_gets_a_cgroup(way: str) -> None:
    first, shown = flags("writable-cgroups"), flags(way)
    for cgroup in ("cgroupns", "cgroup-parent"):
        shown.pop(cgroup, None)
    for each in (first, shown):
        each["security-opt"] = [option for option in each["security-opt"] if option != "writable-cgroups=true"]
        each["v"] = [volume for volume in each["v"] if not volume.startswith("/sys/fs/cgroup")]
    assert shown == first


def test_no_way_gives_up_a_profile_or_is_privileged() -> None:
    commands = re.findall(r"(?s)    docker run .*?\n\n", _README)
    assert len(commands) == 4
    for command in commands:
        assert "unconfined" not in command
        assert "--privileged" not in command
        assert "--security-opt seccomp=deploy/seccomp.json --security-opt apparmor=snekhouse" in command
