"""Pauses grow while something keeps ending, and begin anew once it was up for long."""

from snekhouse.backoff import Backoff


def test_pauses_grow_to_the_last_one() -> None:
    backoff = Backoff(pauses=(0.1, 1.0, 5.0), stable_after=60.0)
    assert [backoff.pause(uptime=2.0) for _ in range(5)] == [0.1, 1.0, 5.0, 5.0, 5.0]


def test_a_long_uptime_makes_them_begin_anew() -> None:
    backoff = Backoff(pauses=(0.1, 1.0, 5.0), stable_after=60.0)
    assert [backoff.pause(uptime) for uptime in (0.0, 59.9, 60.0, 0.0, 3600.0)] == [0.1, 1.0, 0.1, 1.0, 0.1]
