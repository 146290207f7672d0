"""Names of domains and hosts, checked before anything else sees them.

Reports are written by strangers; a name that is not a name must never reach SQL, a label or a link.
"""

from __future__ import annotations

import re

import idna

# Letters, digits, hyphen and underscore (service labels such as `_smtp._tls`); RFC 1035 lengths; A-labels only.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_PATTERN = re.compile(rf"(?:\*\.)?{_NAME.pattern}")
_LONGEST_NAME = 253


def normalize(name: str) -> str | None:
    """Return the lower-case A-label form of a host or domain name, without a trailing dot, or None if it is no name."""
    name = name.strip().rstrip(".").lower()
    if len(name) > _LONGEST_NAME:
        return None  # before IDNA, which takes seconds for what only an attacker sends
    if not name.isascii():
        try:
            name = ".".join(label if label.isascii() else _a_label(label) for label in name.split("."))
        except idna.IDNAError:
            return None
    return name if len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) else None


def _a_label(label: str) -> str:
    """By IDNA 2008 (RFC 5891), as registries do: Python's own codec is of 2003 and makes fass.de of faß.de."""
    return idna.encode(label, uts46=True).decode("ascii")


def normalize_pattern(pattern: str) -> str | None:
    """Like normalize(), for an `mx` pattern: `*.` in front stands for exactly one label (RFC 8461, section 4.1)."""
    pattern = pattern.strip().rstrip(".").lower()
    wildcard, rest = ("*.", pattern[2:]) if pattern.startswith("*.") else ("", pattern)
    name = normalize(rest)
    return wildcard + name if name is not None else None


def matches(host: str, pattern: str) -> bool:
    """Whether a normalized host is covered by a normalized `mx` pattern (RFC 8461, section 4.1)."""
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:]
    return host == pattern
