"""snekhouse: run untrusted Python in many Python versions, safely and fast."""

__version__ = "0.1.0"
