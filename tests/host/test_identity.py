"""Who runs are on the host."""

from pathlib import Path

import pytest

from snekhouse.host.identity import Identity, identity_for
from snekhouse.host.ids import HostIdPool, HostIds
from snekhouse.registry.server import Server


def test_no_two_runs_have_the_same_id_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    ids = HostIdPool.of((5000, 5002))
    with ids.lease() as one, ids.lease() as two:
        assert (one, two) == (HostIds(5000, 5000, 65534), HostIds(5001, 5001, 65535))
        with pytest.raises(OSError, match="in use"), ids.lease():
            pass
    with ids.lease() as again:
        assert again == one  # the lowest


def test_a_fork_server_maps_all_ids_and_has_one_that_no_run_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    ids = HostIdPool.of((5000, 5009))
    assert ids.users == ids.groups == ("65533:5009:1", "65534:5000:9")


def test_an_ordinary_user_has_but_one_id_and_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1234)
    monkeypatch.setattr("os.getegid", lambda: 1235)
    ids = HostIdPool.of(Server().uids)
    assert "start the server as root" in ids.shared
    assert (ids.users, ids.groups) == (("65534:1234:1",), ("65534:1235:1",))
    with ids.lease() as one, ids.lease() as two:
        assert one == two == HostIds(1234, 1235)
    assert identity_for([Path("/root")]) == Identity()


def test_a_range_that_does_not_exist_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    ids = HostIdPool.of((4_294_967_295, 4_294_967_300))  # above all that a map can hold
    assert "[server] uids" in ids.shared
    with ids.lease() as one:
        assert one == HostIds(65534, 65534)
