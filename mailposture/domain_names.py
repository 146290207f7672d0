"""Names of domains and hosts, checked before anything else sees them.

Reports are untrusted input; a name that is not a name must never reach SQL, a label or a link.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING

import idna
from publicsuffixlist import PublicSuffixList

if TYPE_CHECKING:
    from collections.abc import Callable

# Letters, digits, hyphen and underscore (service labels such as `_smtp._tls`); RFC 1035 lengths.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_PATTERN = re.compile(rf"(?:\*\.)?{_NAME.pattern}")
_LONGEST_NAME = 253


def normalize(name: str) -> str | None:
    """Return the lower-case form of a host or domain name, without a trailing dot, or None if it is no name.

    For untrusted input: reports, mail and DNS carry A-labels (RFC 8460, section 4.2), and making them of U-labels costs
    a millisecond per name, of which one message may hold a hundred thousand. normalize_typed() is for typed names.
    """
    name = name.strip().rstrip(".")
    # Before its case is changed: the Kelvin sign (U+212A) would become the k of another name.
    return name.lower() if len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) else None


def normalize_typed(name: str) -> str | None:
    """Like normalize(), for a name that a person typed: `bücher.example` becomes `xn--bcher-kva.example`."""
    if len(name) > 2 * _LONGEST_NAME:
        return None
    name = name.strip().rstrip(".").lower()
    try:
        return normalize(".".join(label if label.isascii() else _a_label(label) for label in name.split(".")))
    except idna.IDNAError:
        return None


def mail_domain(text: str) -> str:
    """Return the normal form of a domain that receives mail from others, as somebody configures it.

    Reports may name what they like; a domain of ours needs a place in DNS for its records to be published under, so
    neither an address (RFC 5321, section 4.1.3) nor a name without a dot will do. Raises ValueError.
    """
    name = normalize_typed(text)
    if _is_address(text.strip().strip("[]")):
        raise ValueError(f"{text!r} is an IP address; name the domain whose mail it receives, such as example.com")
    if name is None:
        raise ValueError(f"{text!r} is not a domain name; write what stands behind the @, such as example.com")
    if "." not in name:
        raise ValueError(f"{text!r} is a name without a dot, a host or a top-level domain; write it out: example.com")
    if name.rpartition(".")[2].isdigit():
        raise ValueError(f"{text!r} ends in a number, which no top-level domain is; write what stands behind the @")
    return name


def _is_address(text: str) -> bool:
    try:
        ip_address(text.removeprefix("IPv6:"))
    except ValueError:
        return False
    return True


def _a_label(label: str) -> str:
    """By IDNA 2008 (RFC 5891), as registries do: Python's own codec is of 2003 and makes fass.de of faß.de."""
    return idna.encode(label, uts46=True).decode("ascii")


def normalize_pattern(pattern: str) -> str | None:
    """Like normalize(), for an `mx` pattern: `*.` in front stands for exactly one label (RFC 8461, section 4.1)."""
    return _pattern(pattern, normalize)


def normalize_typed_pattern(pattern: str) -> str | None:
    """Like normalize_pattern(), for a pattern that a person typed."""
    return _pattern(pattern, normalize_typed)


def _pattern(pattern: str, normal_form: Callable[[str], str | None]) -> str | None:
    pattern = pattern.strip()
    wildcard, rest = ("*.", pattern[2:]) if pattern.startswith("*.") else ("", pattern)
    name = normal_form(rest)
    return wildcard + name if name is not None else None


def matches(host: str, pattern: str) -> bool:
    """Whether a normalized host is covered by a normalized `mx` pattern (RFC 8461, section 4.1)."""
    if pattern.startswith("*."):
        return host.partition(".")[2] == pattern[2:]
    return host == pattern


@lru_cache(maxsize=10_000)
def organizational_domain(domain: str) -> str:
    """The registered domain of a normalized name (RFC 7489, section 3.2), or "" for a public suffix such as co.uk."""
    return public_suffixes().privatesuffix(domain) or ""


@cache
def public_suffixes() -> PublicSuffixList:
    """The Public Suffix List, read when it is first needed."""
    return PublicSuffixList()
