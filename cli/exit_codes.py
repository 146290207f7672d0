"""How commands end."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1  # something was rejected or failed
WRONG_USAGE: Final = 2  # or a wrong configuration
