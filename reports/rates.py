"""Rates in words, the same in every command and in the digest."""

from __future__ import annotations


def percent(rate: float) -> str:
    """Two decimals, and never 100 % where anything failed."""
    return "100 %" if rate == 1 else f"{min(rate * 100, 99.99):.2f} %"
