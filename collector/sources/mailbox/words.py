"""What a server says, fit for a log or a terminal: one short line, without any secret that it repeats.

A server may repeat what it was sent, and spells it as it likes: in base64, as in SASL (RFC 4422), in the escapes of
IMAP, JSON, HTML or forms, in hexadecimal digits, or some of these in turn.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST: Final = 300  # characters
_READ: Final = 4096  # characters of an explanation that are looked at; nothing after them is shown
_MOST_SECRETS: Final = 16  # the oldest token is valid no more
_DEPTH: Final = 3  # of spellings within spellings
_SHOWN: Final = "[secret]"
_PART: Final = re.compile(r"[^\s\"'(){}\[\]<>,;]+")
_AFTER_A_NAME: Final = re.compile(r"\w+[=:](?=.)")
_OF_PYTHON: Final = re.compile(r"""\bb(['"])(.*)\1\Z""", re.DOTALL)  # bytes, as imaplib puts them into errors
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{4,}")
_HEXADECIMAL: Final = re.compile(r"(?:[0-9A-Fa-f]{2}[: ]?){4,}")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(.))")


class Secrets:
    """Of one mailbox: what must not be shown."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def add(self, secret: str) -> None:
        if secret:
            self._known[secret] = None
            self._known.move_to_end(secret)
            if len(self._known) > _MOST_SECRETS:
                self._known.popitem(last=False)

    def words(self, said: object) -> str:
        """What a server says, as it may be shown."""
        text = _OF_PYTHON.sub(lambda found: found[2], str(said))[:_READ]
        for spelling in (each for secret in self._known for each in _usual_spellings(secret)):
            text = text.replace(spelling, _SHOWN)
        text = _PART.sub(lambda part: self._part(part[0]), text)
        if self._in(text):  # over several words, or in several pieces
            text = "its words are not shown: they repeat a secret"
        return shown(text)

    def _part(self, part: str) -> str:
        if not self._in(part):
            return part
        name = _AFTER_A_NAME.match(part)
        return name[0] + self._part(part[name.end() :]) if name else _SHOWN

    def _in(self, text: str) -> bool:
        return any(secret in spelled for spelled in _meanings(text) for secret in self._known)


def shown(text: str) -> str:
    """A line of printable characters, not too long."""
    line = "".join(letter if letter.isprintable() else " " for letter in text[:_READ])
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _usual_spellings(secret: str) -> tuple[str, ...]:
    """Those that may have spaces or quotes in them."""
    quoted = secret.replace("\\", "\\\\").replace('"', '\\"')
    return repr(quoted.encode())[2:-1], quoted, secret  # imaplib quotes an answer as Python does


def _meanings(text: str) -> set[str]:
    """What a text may stand for."""
    found, new = {text}, {text}
    for _ in range(_DEPTH):
        new = {meaning for each in new for decode in _DECODERS for meaning in decode(each)} - found
        found |= new
    return found


def _unescaped(text: str) -> Iterator[str]:
    yield unquote(text)
    yield unquote_plus(text)
    yield html.unescape(text)
    yield _ESCAPE.sub(lambda found: chr(int(found[1] or found[2], 16)) if found[1] or found[2] else found[3], text)


def _from_base64(text: str) -> Iterator[str]:
    """Of each run of its letters, from each of four places: where it begins is not known."""
    for run in _BASE64.findall(text):
        for start in range(4):
            letters = run[start:].replace("-", "+").replace("_", "/")
            letters = letters[: len(letters) - (len(letters) % 4 == 1)]
            yield base64.b64decode(letters + "=" * (-len(letters) % 4)).decode("utf-8", "replace")


def _from_hexadecimal(text: str) -> Iterator[str]:
    for run in _HEXADECIMAL.findall(text):
        yield binascii.unhexlify(re.sub("[: ]", "", run)).decode("utf-8", "replace")


_DECODERS: Final[tuple[Callable[[str], Iterator[str]], ...]] = (_unescaped, _from_base64, _from_hexadecimal)
