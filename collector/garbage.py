"""Python's search for cyclic garbage, for processes that make rows of reports."""

from __future__ import annotations

import gc


def look_for_garbage_rarely() -> None:
    """Call it when the process is up: rows are many, short-lived and free of cycles."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)  # looking for garbage among rows took a fourth of the time
