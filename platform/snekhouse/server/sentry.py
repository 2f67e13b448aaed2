"""Error reports to Sentry: off unless ``SNEKHOUSE_SENTRY_DSN`` is set."""

import os
from importlib.metadata import version

from snekhouse.errors import UsageError

VARIABLE = "SNEKHOUSE_SENTRY_DSN"


def set_up_sentry() -> None:
    """Report logged errors, without bodies and local variables, which may contain clients' programs.

    Raises:
        UsageError: Sentry is switched on, but its package is missing or the DSN is wrong.
    """
    dsn = os.environ.get(VARIABLE)
    if not dsn:
        return
    try:
        import sentry_sdk  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise UsageError(f"{VARIABLE} is set, but sentry_sdk is not installed; install snekhouse[sentry]") from error
    try:
        sentry_sdk.init(
            dsn,
            release=f"snekhouse@{version('snekhouse')}",
            send_default_pii=False,
            max_request_body_size="never",
            include_local_variables=False,
        )
    except sentry_sdk.utils.BadDsn as error:
        raise UsageError(
            f"{VARIABLE} is not a Sentry DSN: {error}; write one of the form https://KEY@HOST/NUMBER"
        ) from error
