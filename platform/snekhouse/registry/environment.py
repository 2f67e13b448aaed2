"""The default environment of programs."""

from collections.abc import Mapping

from snekhouse.registry.models import HOME

_THREADS = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "NUMEXPR_NUM")

DEFAULT_ENV: Mapping[str, str] = {
    "HOME": HOME,
    "LANG": "en_US.UTF-8",
    **{f"{pool}_THREADS": "15" for pool in _THREADS},
    "PYTHONDONTWRITEBYTECODE": "true",
    "PYTHONIOENCODING": "utf-8:strict",
    "PYTHONUNBUFFERED": "true",
    "PYTHONUSERBASE": "/snekbox/user_base",
    "PYTHON_COLORS": "1",
}
"""The environment that snekbox sets."""
