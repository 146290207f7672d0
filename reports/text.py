"""Untrusted free text, made safe to store and to show."""

from __future__ import annotations


def clean(text: str, length: int) -> str:
    """One line of at most `length` printable characters: no controls, nothing invisible or turning direction."""
    if len(text) <= length and text.isprintable():
        return text.strip()
    visible = "".join(char if char.isprintable() else " " for char in text[: length * 4])
    return " ".join(visible.split())[:length]
