"""Errors of a host that is out of resources."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from snekhouse.errors import BusyError

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOSPC}


@contextmanager
def exhaustion_reported() -> Iterator[None]:
    """Translate errors of a host that is out of resources, after which a client may try again.

    Raises:
        BusyError: The host is out of descriptors, memory, processes, threads or space.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _EXHAUSTED:
            raise
        raise BusyError(f"the host is out of resources: {os.strerror(error.errno)}") from error
    except RuntimeError as error:
        if str(error) != "can't start new thread":  # how threading reports EAGAIN
            raise
        raise BusyError(f"the host is out of resources: {error}") from error
