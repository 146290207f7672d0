"""Untrusted text, made safe to quote in messages."""

from __future__ import annotations

_LONGEST = 80


def quoted(text: str) -> str:
    """The text in quotes, shortened, with everything but printable ASCII escaped: nothing in it acts on a terminal."""
    return ascii(text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...")


def printable(text: str) -> str:
    """The text with its line breaks and tabs, and each other character that a terminal would act on as one �."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
