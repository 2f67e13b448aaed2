"""The workflow that publishes the image: of the right form, with the least rights, and of pinned parts."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

_ROOT = Path(__file__).parents[2]
_IMAGE = _ROOT / ".github/workflows/image.yml"
_TEXT = _IMAGE.read_text()
_WORKFLOW = yaml.load(_TEXT, yaml.BaseLoader)  # which leaves `on` a text: YAML 1.1 has it for true


def test_it_has_the_form_that_github_publishes_a_schema_of() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(_IMAGE)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_an_audit_of_its_security_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [str(zizmor), "--offline", "--no-progress", "--persona", "pedantic", str(_IMAGE)]
    audited = subprocess.run(command, capture_output=True, text=True, check=False)
    assert audited.returncode == 0, audited.stdout


def test_it_runs_on_tags_and_main_alone() -> None:
    assert _WORKFLOW["on"] == {"push": {"branches": ["main"], "tags": ["v[0-9]+.[0-9]+.[0-9]+*"]}}


def test_its_jobs_have_no_right_but_to_read_the_source_and_to_push_the_image() -> None:
    assert _WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in _WORKFLOW["jobs"].items()} == {
        "build": {"contents": "read", "packages": "write"},
        "publish": {"packages": "write"},
    }


def test_each_action_is_pinned_by_a_commit_beside_its_release() -> None:
    used = re.findall(r"uses: (.*)", _TEXT)
    assert used
    assert [each for each in used if not re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_one_action_has_one_commit() -> None:
    pins = set(re.findall(r"uses: (.*?)@([0-9a-f]{40})", _TEXT))
    assert len({name for name, _ in pins}) == len(pins)


def test_both_architectures_are_built_with_a_list_of_contents_and_where_they_come_from() -> None:
    build = _WORKFLOW["jobs"]["build"]
    assert {each["architecture"] for each in build["strategy"]["matrix"]["include"]} == {"amd64", "arm64"}
    (step,) = (step["with"] for step in build["steps"] if step.get("id") == "build")
    assert (step["sbom"], step["provenance"]) == ("true", "mode=max")
    assert step["cache-to"].endswith(",mode=max")  # of every stage, not of the last alone
