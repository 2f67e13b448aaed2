"""Growing pauses between the starts of a process that ends again and again."""

from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """The pauses between the starts of one process.

    Attributes:
        pauses: Seconds before the first restart, the second, ...; the last one repeats.
        stable_after: Uptime in seconds that resets the pauses.
    """

    pauses: tuple[float, ...]
    stable_after: float = 60.0
    _failures: int = 0

    def pause(self, uptime: float) -> float:
        """Note that the process has ended; return the seconds to wait before the next start.

        Args:
            uptime: Seconds since the last start.
        """
        if uptime >= self.stable_after:
            self._failures = 0
        pause = self.pauses[min(self._failures, len(self.pauses) - 1)]
        self._failures += 1
        return pause
