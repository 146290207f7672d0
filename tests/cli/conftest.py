"""The real engine, where a test asks it without a process of its own."""

from __future__ import annotations

from engine import engine  # noqa: F401  a fixture
