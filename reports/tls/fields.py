"""How each kind of field in a report is read, whatever is in it instead.

RFC 8460 says what belongs there; senders put nulls, numbers as text, addresses with ports and worse. No reader here
gives up a report: what cannot be used reads as empty, and a remark says so. Only a limit ends the reading.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from mailposture.domain_names import normalize_pattern
from mailposture.quoting import quoted
from reports.limits import NAME_LENGTH, TERM_LENGTH, TEXT_LENGTH
from reports.rejection import Reason, RejectedError
from reports.text import clean
from reports.tls.limits import LIST_ENTRIES
from reports.values import LONGEST_NAME, NO_ADDRESS, Remarks, domain_name, packed_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import ValidationInfo

_POLICY_TYPES: Final = frozenset(("sts", "tlsa", "no-policy-found"))
# Nobody has that many sessions with one domain in a day; one absurd report must not bend every sum, nor overflow it.
_LARGEST_COUNT: Final = 10**12

# Long text stays out of the cache, where untrusted senders could fill memory with it.
_known_pattern: Final = lru_cache(maxsize=65_536)(normalize_pattern)
_LONGEST_LINES: Final = LIST_ENTRIES * TEXT_LENGTH


def _remark(info: ValidationInfo, remark: str) -> None:
    if isinstance(info.context, Remarks):
        info.context.add(remark)


def _shown(value: object) -> str:
    return quoted(str(value)) if isinstance(value, str | int | float) else f"a JSON {type(value).__name__}"


def _text_up_to(length: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        """Free text, cleaned and capped; a number as text; anything else as empty."""
        if type(value) is str:
            return value.strip() if len(value) <= length and value.isprintable() else clean(value, length)
        return str(value)[:length] if isinstance(value, int | float) else ""

    return read


text: Final = _text_up_to(TEXT_LENGTH)
name: Final = _text_up_to(NAME_LENGTH)
term: Final = _text_up_to(TERM_LENGTH)  # of the RFC, such as a result type; what the RFC does not know is kept


def policy_type(value: Any) -> str:
    """A policy-type; in lower case where it is one of the RFC's, whose rows are distinguished by it."""
    read = term(value)
    return lowered if (lowered := read.lower()) in _POLICY_TYPES else read


def first_token(value: Any) -> str:
    """The name that a server said in EHLO: Postfix reports its whole multi-line answer."""
    words = value[: 2 * NAME_LENGTH].split(maxsplit=1) if isinstance(value, str) else ()
    return clean(words[0], NAME_LENGTH) if words else ""


def count(value: Any, info: ValidationInfo) -> int:
    """A number of sessions."""
    if type(value) is int and 0 <= value <= _LARGEST_COUNT:
        return value
    if value is None:
        return 0
    number = _number(value)
    read = min(max(int(number), 0), _LARGEST_COUNT) if math.isfinite(number) else 0
    _remark(info, f"session count {_shown(value)} was read as {read}")
    return read


def _number(value: Any) -> float:
    try:
        return int(value) if isinstance(value, int) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def host(value: Any, info: ValidationInfo) -> str:
    """A host name, normalized; empty if it is none."""
    if not value:
        return ""
    found = domain_name(value)
    if found is None:
        _remark(info, f"{_shown(value)} is not a host name and was left out")
        return ""
    return found


def policy_domain(value: Any, info: ValidationInfo) -> str | None:
    """A policy domain, normalized; empty if there is none; None if there is something that is no domain name."""
    if not value:
        return ""
    found = domain_name(value)
    if found is None:
        _remark(info, f"policy-domain {_shown(value)} is not a domain name; its policy was left out")
    return found


def address(value: Any, info: ValidationInfo) -> bytes:
    """An IP address as 16 bytes, IPv4 mapped into IPv6; NO_ADDRESS if it is missing or unusable."""
    if not value:
        return NO_ADDRESS
    packed = packed_address(value) if type(value) is str else None
    if packed is None:
        _remark(info, f"{_shown(value)} is not an IP address and was left out")
        return NO_ADDRESS
    return packed


def objects(limit: int, reason: str) -> Callable[[Any, ValidationInfo], list[dict[str, Any]]]:
    """A reader for a list of JSON objects; raises RejectedError if it has more than `limit` entries."""

    def read(value: Any, info: ValidationInfo) -> list[dict[str, Any]]:
        entries = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
        if len(entries) > limit:
            raise RejectedError(Reason.TOO_MANY, f"report has {len(entries)} {reason}; {limit} are allowed")
        usable = [entry for entry in entries if isinstance(entry, dict)]
        if len(usable) < len(entries):
            _remark(info, f"{len(entries) - len(usable)} of {len(entries)} {reason} are not objects and were left out")
        return usable

    return read


def strings(value: Any) -> tuple[str, ...]:
    """The lines of policy-string. Microsoft sends TLSA records as one string that holds a JSON array."""
    if type(value) is str or (isinstance(value, list) and len(value) == 1 and type(value[0]) is str):
        single = value if type(value) is str else value[0]
        value = _unwrapped(single) if single.lstrip().startswith("[") else single[:_LONGEST_LINES].splitlines()
    if not isinstance(value, list):
        return ()
    return tuple(filter(None, map(text, value[:LIST_ENTRIES])))


def _unwrapped(single: str) -> list[Any]:
    try:
        lines = orjson.loads(single)
    except ValueError:
        return [single]
    return lines if isinstance(lines, list) else [single]


def mx_patterns(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """The mx-host patterns of a policy, normalized. One string is RFC 8460's own example; `mx: ` in front is seen."""
    written = [value] if type(value) is str else value if isinstance(value, list) else []
    patterns = []
    for entry in written[:LIST_ENTRIES]:
        usable = type(entry) is str and len(entry) <= LONGEST_NAME
        pattern = _known_pattern(entry.removeprefix("mx:")) if usable else None
        if pattern:
            patterns.append(pattern)
        elif entry:
            _remark(info, f"mx-host {_shown(entry)} is not a host name and was left out")
    return tuple(patterns)


def time(value: Any, info: ValidationInfo) -> datetime | None:
    """A point in time (RFC 3339); None if it is missing or unusable. Microsoft leaves the zone out and means UTC."""
    if type(value) is not str:
        return None
    try:
        read = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    if read.tzinfo is None:
        _remark(info, "times without zone were read as UTC")
        return read.replace(tzinfo=UTC)
    try:
        return read if read.tzinfo is UTC else read.astimezone(UTC)
    except OverflowError:
        return None
