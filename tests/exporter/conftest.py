"""The real engine with two domains, and what the exporter would serve about them."""

from __future__ import annotations

from two_domains import attention, gauges, reports, two_domains  # noqa: F401  fixtures
