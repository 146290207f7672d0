"""How a reporter is shown: the name that it gives itself, and its domain."""

from __future__ import annotations

from typing import Final

_LENGTH: Final = 60  # characters of the name: the domain behind it, which decides, must stay in sight


def caption(organization: str = "any(organization)") -> str:
    """SQL for the caption of a reporter, from its columns: `Google Inc. (google.com)`.

    Anybody can call himself anything, so the name never stands alone; a domain that is not proven is marked.
    """
    name = f"if({organization} IN ('', reporter), '', concat(substringUTF8({organization}, 1, {_LENGTH}), ' '))"
    domain = "multiIf(reporter_proven, reporter, reporter = '', 'unproven', concat(reporter, ', unproven'))"
    return f"concat({name}, '(', {domain}, ')')"
