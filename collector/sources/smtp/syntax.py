"""What clients write after MAIL and RCPT (RFC 5321, section 4.1), and how addresses compare."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import idna

_ATOM = r'[^\x00-\x20\x7f<>"@]+'
_QUOTED = r'"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*"'
# A source route (`@relay.example:`) is accepted and ignored (RFC 5321, appendix C); brackets may be missing and
# blanks may follow the colon, as old reporters have it.
_PATH = re.compile(
    rf'(?P<keyword>FROM|TO):[ \t]*(?:<(?:@[^\x00-\x20"<>:]+:)?(?P<path>(?:(?:{_QUOTED}|{_ATOM})(?:@{_ATOM})?)?)>'
    rf"|(?P<bare>{_ATOM}@{_ATOM}))(?:[ \t]+(?P<parameters>[^\x00-\x1f]*))?",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^\x00-\x20=\x7f]+))?")


@dataclass(frozen=True, slots=True)
class Path:
    """An address in an envelope; empty for the null sender."""

    address: str
    parameters: dict[str, str]  # names in upper case; empty text for a parameter without a value


def parse_path(keyword: str, argument: str) -> Path | None:
    """Read `FROM:<address> parameters` or `TO:<address> parameters`; None if it is no such thing."""
    match = _PATH.fullmatch(argument.strip(" \t"))
    if match is None or match["keyword"].upper() != keyword:
        return None
    parameters: dict[str, str] = {}
    for word in (match["parameters"] or "").split():
        parameter = _PARAMETER.fullmatch(word)
        if parameter is None:
            return None
        parameters[parameter[1].upper()] = parameter[2] or ""
    return Path(match["path"] if match["bare"] is None else match["bare"], parameters)


def comparable(address: str) -> str:
    """The form in which two spellings of an address are equal: case and Unicode composition.

    RFC 5321 lets a host distinguish `Tlsrpt` from `tlsrpt`; no reporter means two mailboxes by that.
    """
    local, at, domain = address.rpartition("@")
    if not at:
        return address.lower()
    if len(local) > 1 and local[0] == local[-1] == '"':
        local = re.sub(r"\\(.)", r"\1", local[1:-1])
    domain = domain.lower() if domain.isascii() else unicodedata.normalize("NFC", domain.lower())
    return f"{unicodedata.normalize('NFC', local).casefold()}@{domain.rstrip('.')}"


def spellings(address: str) -> frozenset[str]:
    """The comparable forms of an address of ours, with its domain in A-labels and in U-labels (RFC 6531).

    Made once, of what is configured: made of each recipient that a client names, they would take a millisecond each.
    """
    local, _, domain = address.rpartition("@")
    unicode_domain = ".".join(map(_u_label, domain.split(".")))
    return frozenset((comparable(address), comparable(f"{local}@{unicode_domain}")))


def _u_label(label: str) -> str:
    try:
        return idna.decode(label) if label.startswith("xn--") else label
    except idna.IDNAError:  # nothing that a registry would take, but ours
        return label
