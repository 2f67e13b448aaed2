"""The profile is what the registry says, and nothing that a value says can add to it."""

import re
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snekhouse.host.identity import Identity, identity_for
from snekhouse.profile.rendering import quote, render_profile
from snekhouse.registry.models import Mount, Runtime

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\[0-7]{3})*"|#[^\n]*|[A-Za-z_0-9-]+|[{}:]|\s+')


def runtime(**fields: object) -> Runtime:
    values: dict[str, object] = {"name": "x", "executable": "/x", "env": {}, "mounts": ()}
    return Runtime.model_validate(values | fields)


LIMITED = frozenset({"memory", "pids", "cpu"})


def render(some: Runtime, **options: object) -> str:
    values: dict[str, object] = {"identity": Identity(), "bootstrap": Path("/b.py"), "limited": LIMITED}
    return render_profile(some, **(values | options))  # type: ignore[arg-type]


def skeleton(profile: str) -> list[str]:
    """A profile's tokens without its comments and with every string emptied: its fields and nesting."""
    tokens, end = [], 0
    for match in _TOKEN.finditer(profile):
        assert match.start() == end, f"no token at {profile[end : end + 40]!r}"
        end = match.end()
        if not match[0].isspace() and not match[0].startswith("#"):
            tokens.append('""' if match[0].startswith('"') else match[0])
    assert end == len(profile)
    return tokens


ATTACK = 'x"\nmount { src: "/" dst: "/" is_bind: true rw: true }\n#'
text = st.one_of(st.just(ATTACK), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
path = text.map(lambda value: "/" + value).filter(lambda value: ".." not in value.split("/"))


@given(executable=path, key=text.filter(lambda key: key and "=" not in key), value=text, source=path, target=path)
@settings(deadline=None)  # the first of a process compiles the template
def test_no_value_adds_a_field(executable: str, key: str, value: str, source: str, target: str) -> None:
    assume(target not in {"/etc", "/etc/passwd", "/etc/group"})  # a mount there replaces fields of the profile
    mount, tmpfs = {"source": "/s", "target": "/t"}, {"target": "/t", "size": 1}
    plain = runtime(executable="/x", env={"k": "v"}, mounts=[mount], tmpfs=[tmpfs])
    hostile = runtime(
        executable=executable,
        env={key: value},
        mounts=[Mount(source=source, target=target).model_dump()],
        tmpfs=[{**tmpfs, "target": target}],
    )
    assert skeleton(render(hostile)) == skeleton(render(plain))


@given(text)
@settings(deadline=None)  # the first of a process compiles the template
def test_a_hostile_name_adds_no_field(name: str) -> None:
    hostile = runtime().model_copy(update={"name": name})
    assert skeleton(render(hostile)) == skeleton(render(runtime()))


@given(text)
@settings(deadline=None)  # the first of a process compiles the template
def test_a_hostile_bootstrap_adds_no_field(value: str) -> None:
    hostile = render(runtime(), bootstrap=Path("/" + value))
    assert skeleton(hostile) == skeleton(render(runtime()))


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)  # the first of a process compiles the template
def test_quoting_keeps_the_value(value: str) -> None:
    quoted = quote(value)
    assert quoted.startswith('"')
    raw = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), quoted[1:-1].encode())
    assert raw.decode() == value


def test_numbers_and_booleans_stand_unquoted() -> None:
    assert (quote(3), quote(value=True), quote(value=False)) == ("3", "true", "false")


@pytest.mark.parametrize("value", [None, 1.5, ["x"], b"x"])
def test_what_the_format_has_no_use_for_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        quote(value)


def test_limits_are_rendered_in_the_units_of_nsjail() -> None:
    profile = render(runtime(limits={"address_space": "512MiB", "open_files": 64, "wall_time": 2.5, "home": "1MiB"}))
    assert "rlimit_as: 512\n" in profile
    assert "rlimit_nofile: 64\n" in profile
    assert 'options: "size=1048576,nr_inodes=256,mode=0755"\n' in profile
    assert "time_limit: 18\n" in profile


def test_mounts_are_read_only_without_setuid_or_devices_unless_said_otherwise() -> None:
    profile = render(runtime(mounts=[{"source": "/s"}, {"source": "/w", "writable": True, "mandatory": False}]))
    mounts = re.findall(r'mount \{\n  src: "(/s|/w)"\n(.*?)\}', profile, re.DOTALL)
    fields = {source: re.findall(r"(\w+): (\S+)", rest) for source, rest in mounts}
    common = [("nosuid", "true"), ("nodev", "true")]
    assert fields["/s"] == [("dst", '"/s"'), ("is_bind", "true"), ("rw", "false"), ("mandatory", "true"), *common]
    assert fields["/w"] == [("dst", '"/w"'), ("is_bind", "true"), ("rw", "true"), ("mandatory", "false"), *common]


def test_a_tmpfs_is_mounted_after_the_home_and_nothing_in_it_can_be_executed() -> None:
    profile = render(runtime(tmpfs=[{"target": "/tmp", "size": "1MiB"}, {"target": "/t", "size": 1}]))
    mounts = re.findall(r'mount \{\n  dst: "(\S+)"\n  fstype: "tmpfs"\n  options: "(\S+)"\n(.*?)\}', profile, re.DOTALL)
    assert [(target, options) for target, options, _ in mounts[2:]] == [
        ("/tmp", "size=1048576,nr_inodes=256,mode=1777"),
        ("/t", "size=1,nr_inodes=2,mode=1777"),  # 0 would be any number
    ]
    flags = [re.findall(r"(\w+): true", rest) for *_, rest in mounts]
    assert flags == [["rw", "nosuid", "nodev"]] * 2 + [["rw", "nosuid", "nodev", "noexec"]] * 2


def test_the_only_accounts_are_those_of_the_runs() -> None:
    assert 'src_content: "nobody:x:65534:65534:nobody:/home:/bin/false\\012" dst: "/etc/passwd"' in render(runtime())
    assert 'src_content: "nobody:x:65534:\\012nobody:x:65535:\\012" dst: "/etc/group"' in render(runtime(), ids=2)


@pytest.mark.parametrize("target", ["/etc", "/etc/passwd"])
def test_a_mount_of_the_registry_takes_the_place_of_the_accounts(target: str) -> None:
    assert 'dst: "/etc/passwd"' not in render(runtime(mounts=[{"source": "/s", "target": target}])).replace("  dst", "")


def test_processes_are_limited_by_rlimit_only_where_no_cgroup_does() -> None:
    assert "rlimit_nproc" not in render(runtime())
    assert "rlimit_nproc" not in render(runtime(), limited=LIMITED - {"memory"})
    assert "rlimit_nproc: 15\n" in render(runtime(), limited=LIMITED - {"pids"})


def test_memory_that_only_a_cgroup_counts_is_refused_where_none_limits_it() -> None:
    assert "/*memfd_create*/" in render(runtime())
    assert "/*memfd_create*/" in render(runtime(), limited=LIMITED - {"pids"})
    assert "/*memfd_create*/" not in render(runtime(), limited=LIMITED - {"memory"})


def test_only_jails_that_install_packages_have_the_network() -> None:
    assert "\nclone_newnet: true\n" in render(runtime())
    assert render(runtime(), network=True) == render(runtime()).replace("clone_newnet: true", "clone_newnet: false")


def test_loopback_is_down_unless_the_registry_says_otherwise() -> None:
    assert "\niface_no_lo: true\n" in render(runtime())
    assert "\niface_no_lo: false\n" in render(runtime(loopback=True))
    assert "\niface_no_lo: true\n" in render(runtime(loopback=True), network=True)


def test_only_fork_servers_that_raise_loopback_may_do_so() -> None:
    plain, raising = (render(runtime(loopback=loopback), fork_server=[Path("/t.py")]) for loopback in (False, True))
    added = set(raising.splitlines()) - set(plain.splitlines())
    assert 'cap: "CAP_NET_ADMIN"' in added
    assert [line for line in added if "ioctl" in line] == ['seccomp_string: "  ALLOW { ioctl { cmd == 0x8914 } }"']
    assert "NET_ADMIN" not in render(runtime(loopback=True))


def test_roots_id_is_mapped_only_for_what_only_root_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    closed = tmp_path / "closed" / "inside"
    closed.mkdir(parents=True)
    closed.parent.chmod(0o700)
    identity = identity_for([closed])
    assert closed.parent in identity.closed
    assert 'outside_id: "0"' in render(runtime(), identity=identity)
    assert "outside_id" not in render(runtime(), identity=identity_for([Path("/usr/lib")]))
