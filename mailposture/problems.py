"""Faults that a user can fix."""

from __future__ import annotations


class ProblemError(Exception):
    """Something outside this program is not as it must be; the message names it, the reason and the next step."""


class ConfigError(Exception):
    """The configuration cannot be used; the message names file, line, key, reason and next step."""
