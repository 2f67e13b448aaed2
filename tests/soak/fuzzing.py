"""Property-based tests that go on for minutes."""

import random
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, seed, settings

MINUTES = 10.0

ROUND = settings(
    max_examples=200,
    phases=[Phase.generate],
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


def fuzz(test: Callable[[], None], minutes: float) -> int:
    """Run a property-based test again and again, each time with a seed of its own; tell how many rounds it were."""
    rounds, end = 0, time.monotonic() + 60 * minutes
    while rounds == 0 or time.monotonic() < end:
        seed(random.getrandbits(32))(test)()
        rounds += 1
    return rounds
