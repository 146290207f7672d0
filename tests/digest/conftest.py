"""The real engine with two domains."""

from __future__ import annotations

from two_domains import attention, reports, two_domains  # noqa: F401  fixtures
