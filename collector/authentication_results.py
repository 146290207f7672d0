"""Reads Authentication-Results (RFC 8601, section 2.2): what a mail server found out about a mail, as it says.

Anybody may write such a field. Whose it is, its authserv-id says, and only that server is believed (section 5).
Exchange Online writes its fields without one, against the RFC; its id is the empty text here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST: Final = 16 * 1024  # bytes of a field; those of large providers have one or two thousand
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|;|[^\s;"]+')
_ESCAPED: Final = re.compile(r"\\(.)")


class MethodResult(NamedTuple):
    """One method and its result, with its properties, as `header.d`; all in lower case."""

    method: str
    result: str
    properties: dict[str, str]


class AuthenticationResults(NamedTuple):
    """A field."""

    authserv_id: str  # in lower case; empty if the field has none
    results: tuple[MethodResult, ...]


def read(value: bytes) -> AuthenticationResults | None:
    """A field's value; None if it cannot be read."""
    if len(value) > _LONGEST:
        return None
    plain = _without_comments(value.decode("utf-8", "replace"))
    if plain is None:
        return None
    first, *others = _sections(plain)
    authserv_id = ""
    if first and "=" not in first[0]:
        authserv_id, first = _unquoted(first[0]).lower(), []
    results = (_result(words) for words in (first, *others) if words)
    return AuthenticationResults(authserv_id, tuple(each for each in results if each is not None))


def _sections(plain: str) -> Iterator[list[str]]:
    """The words between semicolons; `a = b` is one word, as `a=b` is."""
    words: list[str] = []
    for found in _TOKEN.finditer(re.sub(" ?= ?", "=", " ".join(plain.split()))):
        word = found[0]
        if word == ";":
            yield words
            words = []
        elif word.startswith('"') and words and words[-1].endswith("="):
            words[-1] += _unquoted(word)
        else:
            words.append(word)
    yield words


def _unquoted(word: str) -> str:
    return _ESCAPED.sub(r"\1", word[1:-1]) if word.startswith('"') else word


def _result(words: list[str]) -> MethodResult | None:
    method, equals, result = words[0].lower().partition("=")
    if not equals:  # `none`: no method was applied
        return None
    properties: dict[str, str] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if equals:
            properties.setdefault(name.lower(), value.lower())
    return MethodResult(method.partition("/")[0].strip(), result, properties)


def _without_comments(text: str) -> str | None:
    """Comments (RFC 5322, section 3.2.2) may be in comments, and are worth a blank; None if one has no end."""
    kept: list[str] = []
    depth, quoted, escaped = 0, False, False
    for letter in text:
        if escaped:
            escaped = False
        elif letter == "\\" and (depth or quoted):
            escaped = True
        elif letter == '"' and not depth:
            quoted = not quoted
        elif letter == "(" and not quoted:
            depth += 1
            kept.append(" ")
        elif letter == ")" and depth:
            depth -= 1
            continue
        if not depth:
            kept.append(letter)
    return None if depth or quoted else "".join(kept)
