"""A number for each worker process, in memory that the workers share."""

import mmap


class PerWorkerNumber:
    """A number of this process, beside those of the other workers. It begins with 0.

    A worker writes only its own number, in one store of 8 bytes, so no lock is needed.
    """

    def __init__(self, workers: int = 1) -> None:
        """Share memory with the processes that this one forks.

        Args:
            workers: How many there are; this process has the number of worker 0 until `belong_to`.
        """
        self._numbers = memoryview(mmap.mmap(-1, workers * 8)).cast("d")
        self._worker = 0

    def belong_to(self, worker: int) -> None:
        """Make this the number of a worker that begins.

        Args:
            worker: Its number, from 0. The worker that replaces a killed one has the same number.
        """
        self._worker = worker
        self.own = 0

    @property
    def own(self) -> float:
        """The number of this worker."""
        return self._numbers[self._worker]

    @own.setter
    def own(self, value: float) -> None:
        self._numbers[self._worker] = value

    @property
    def worker_with_largest(self) -> int:
        """Which worker has the largest number, from 0."""
        return max(range(len(self._numbers)), key=self._numbers.__getitem__)

    @property
    def others(self) -> list[float]:
        """The numbers of the other workers."""
        return [value for worker, value in enumerate(self._numbers) if worker != self._worker]
