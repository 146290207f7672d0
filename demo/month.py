"""How long the demo's month is."""

from typing import Final

DAYS: Final = 31
