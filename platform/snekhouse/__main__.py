"""``python -m snekhouse``."""

from snekhouse.cli import main

main()
