"""Growing pauses before something that keeps ending is started again."""

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """The pauses between the starts of one thing.

    Attributes:
        pauses: Seconds before the first start again, the second, ...; the last counts for all that follow.
        stable_after: Uptime in seconds that makes the pauses begin anew.
    """

    pauses: tuple[float, ...]
    stable_after: float
    _failures: int = 0

    def pause(self, uptime: float) -> float:
        """Count an end, and return the seconds to wait before the next start.

        Args:
            uptime: Seconds for which the thing was up.
        """
        if uptime >= self.stable_after:
            self._failures = 0
        pause = self.pauses[min(self._failures, len(self.pauses) - 1)]
        self._failures += 1
        return pause
