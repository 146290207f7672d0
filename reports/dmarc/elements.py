"""XML of untrusted reporters to values, by the schema of DMARC reports and nothing else (RFC 9990, appendix A).

The standard library's expat, streaming: as fast as anything else, and of what the schema does not name nothing is kept.
A DOCTYPE is refused where it begins, so there are no entities. Namespaces, prefixes and capitals are ignored, as
reporters use many and mostly none. Elements of extensions may be named like ours, so only the place decides: an
element counts as a direct child of the one that the schema has it in, and the first of several.

What is hostile is refused before it costs: expat and Python keep every name that occurs, and all attributes of a tag.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.parsers import expat

from mailposture.quoting import quoted
from reports.dmarc.encoding import can_be_obeyed
from reports.dmarc.limits import (
    ATTRIBUTES,
    DEPTH,
    DIFFERENT_NAMES,
    LONGEST_TAG,
    MARKS,
    PIECES,
    REASONS,
    RECORDS,
    RESULTS,
    RESULTS_IN_ALL,
)
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

Values = dict[str, Any]
"""Name of an element → its text, or Values of what it holds; of those that may be repeated a list of these."""


@dataclass(frozen=True, slots=True, eq=False)
class _Schema:
    """What an element holds that is read: by name the _Schema of what lies in it, or None where that is text."""

    elements: Mapping[str, _Schema | None]
    most: int = 0  # that are kept, where there may be several side by side; else the first


def _texts(names: str) -> dict[str, _Schema | None]:
    return dict.fromkeys(names.split())


_REASON: Final = _Schema(_texts("type comment"), most=REASONS)
_RESULT: Final = _Schema(_texts("domain selector scope result human_result"), most=RESULTS)
_EVALUATED: Final = _Schema({**_texts("disposition dkim spf"), "reason": _REASON})
_RECORD: Final = _Schema(
    {
        "row": _Schema({**_texts("source_ip count"), "policy_evaluated": _EVALUATED}),
        "identifiers": _Schema(_texts("header_from envelope_from envelope_to")),
        "auth_results": _Schema({"dkim": _RESULT, "spf": _RESULT}),
    }
)
_METADATA: Final = _Schema(
    {
        **_texts("org_name email extra_contact_info report_id error generator"),
        "date_range": _Schema(_texts("begin end")),
    }
)
_FEEDBACK: Final = _Schema(
    {
        "version": None,
        "report_metadata": _METADATA,
        "policy_published": _Schema(_texts("domain adkim aspf p sp np pct fo testing discovery_method")),
        "record": _RECORD,
    }
)
_DOCUMENT: Final = _Schema({"feedback": _FEEDBACK})


def _names(schema: _Schema) -> Iterator[str]:
    for name, inside in schema.elements.items():
        yield name
        if inside is not None:
            yield from _names(inside)


NAMES: Final = frozenset(_names(_DOCUMENT))
"""All names of elements of the schema."""


_HARMLESS_BYTES: Final = 256 * 1024  # of XML in which nothing is looked for before it is parsed
# No `<` can stand in a tag (XML 1.0, section 2.3), so each begins one. A repetition gives nothing back for an `=`.
_MANY_ATTRIBUTES: Final = re.compile(rb"<(?:[^<=]*=){%d}" % ATTRIBUTES)
_LONG_NAME: Final = re.compile(rb"<[^!?<>\s][^<>\s]{%d}" % LONGEST_TAG)


class MalformedError(Exception):
    """It is not well-formed XML; the text says what is wrong."""


class Elements(NamedTuple):
    """What a report says apart from its records."""

    values: Values
    repeated: frozenset[str]  # names of elements of which there were several, where the schema has one
    surplus: frozenset[str]  # names of those of which a record had more than are kept
    in_capitals: frozenset[str]  # names as they were written, where that was not in lower case


def read_elements(content: bytes, record: Callable[[Values], None], *, repaired: bool = False) -> Elements:
    """Read a report; each of its records goes to `record` at its end.

    A `repaired` one is UTF-8, must have every element in its place, and no text between them.

    Raises RejectedError for what is refused, and MalformedError.
    """
    _refuse_hostile(content)
    parser = expat.ParserCreate("utf-8" if repaired else None)
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.XmlDeclHandler = _check_declaration
    reader = (_StrictReader if repaired else _Reader)(record, parser.intern)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.texts.append
    try:
        parser.Parse(content, True)  # in one piece: expat before 2.6 is quadratic on long tokens in several
    except expat.ExpatError as error:
        fault = f"{expat.ErrorString(error.code)} in line {error.lineno}, column {error.offset}"
        raise MalformedError(fault) from None
    if "feedback" not in reader.values:
        raise RejectedError(Reason.OTHER_DOCUMENT, "XML without `feedback`, so not a report by RFC 9990")
    return Elements(
        reader.values["feedback"], frozenset(reader.repeated), frozenset(reader.surplus), frozenset(reader.in_capitals)
    )


def _refuse_hostile(content: bytes) -> None:
    if len(content) <= _HARMLESS_BYTES:
        return
    if content.count(b"<") > MARKS:
        raise RejectedError(Reason.TOO_MANY, f"the XML has more than {MARKS} tags")
    if content.count(b"=") >= ATTRIBUTES and _MANY_ATTRIBUTES.search(content):
        raise RejectedError(Reason.TOO_MANY, f"an element of the XML has more than {ATTRIBUTES} attributes")
    if _has_long_name(content):
        raise RejectedError(Reason.TOO_LARGE, f"an element of the XML has a name of more than {LONGEST_TAG} bytes")


def _has_long_name(content: bytes) -> bool:
    """Each long name lies across one of the places that are so far apart: a search takes as long as all the rest."""
    return any(
        _LONG_NAME.match(content, content.rfind(b"<", place - LONGEST_TAG, place)) is not None
        for place in range(LONGEST_TAG, len(content), LONGEST_TAG)
    )


def _refuse_doctype(*_: object) -> None:
    raise RejectedError(Reason.NOT_XML, "the XML has a DOCTYPE, which no report needs and attacks use")


def _check_declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and not can_be_obeyed(encoding):
        raise MalformedError(f"its encoding is said to be {quoted(encoding)}")


def _too_many_names() -> RejectedError:
    return RejectedError(Reason.TOO_MANY, f"the XML has more than {DIFFERENT_NAMES} different names in its tags")


class _Reader:
    """Handlers of expat, called for every tag; for text it is a list's own append, which costs least."""

    __slots__ = (
        *("_around", "_foreign", "_here", "_kept", "_leaf", "_names", "_record", "_records", "_results"),
        *("in_capitals", "repeated", "surplus", "texts", "values"),
    )

    def __init__(self, record: Callable[[Values], None], names: Collection[str]) -> None:
        self.values: Values = {}  # what was read of the element around so far
        self.texts: list[str] = []  # what stands between elements too: dropped where one begins or ends
        self.repeated: set[str] = set()
        self.surplus: set[str] = set()
        self.in_capitals: set[str] = set()
        self._names = names  # of all elements and attributes so far, which the parser keeps
        self._record = record
        self._here = _DOCUMENT  # the schema of the element around
        self._around: list[tuple[_Schema, Values, str]] = []  # with the name of what began there
        self._leaf = ""  # the element whose text is being read, if any
        self._foreign = 0  # depth within an element that the schema does not have here
        self._kept = 0  # of the texts, those that came before that element
        self._records = 0
        self._results = 0  # and reasons, that were kept

    def start(self, name: str, attributes: object) -> None:
        if attributes and len(self._names) > DIFFERENT_NAMES:
            raise _too_many_names()
        if self._foreign or self._leaf:
            self._start_foreign()
            return
        self.texts.clear()
        known = self._here.elements
        if name not in known:  # not of the schema, or with a prefix
            if len(self._names) > DIFFERENT_NAMES:
                raise _too_many_names()
            written = name.rpartition(":")[2]
            name = written.lower()
            if name not in known:
                self._foreign, self._kept = 1, 0
                return
            if name != written:
                self.in_capitals.add(written)
        inside = known[name]
        if inside is None:
            self._leaf = name
        else:
            self._around.append((self._here, self.values, name))
            self._here, self.values = inside, {}

    def _start_foreign(self) -> None:
        if len(self._names) > DIFFERENT_NAMES:
            raise _too_many_names()
        if not self._foreign:
            self._kept = len(self.texts)
            if self._kept > PIECES:
                raise RejectedError(Reason.TOO_MANY, f"a text of the XML has more than {PIECES} pieces")
        self._foreign += 1
        if self._foreign > DEPTH:
            raise RejectedError(Reason.TOO_NESTED, f"the XML nests more than {DEPTH} deep")
        del self.texts[self._kept :]

    def end(self, _name: str) -> None:
        if self._foreign:
            self._foreign -= 1
            del self.texts[self._kept :]
        elif leaf := self._leaf:
            self._leaf = ""
            if leaf not in self.values:
                texts = self.texts
                self.values[leaf] = texts[0] if len(texts) == 1 else "".join(texts)
            elif leaf != "error":  # RFC 7489 has several
                self.repeated.add(leaf)
        else:
            ended, read = self._here, self.values
            self._here, self.values, name = self._around.pop()
            self.texts.clear()
            if ended.most:
                self._keep_several(name, read, ended.most)
            elif ended is _RECORD:
                self._end_record(read)
            elif name not in self.values:
                self.values[name] = read
            else:
                self.repeated.add(name)

    def _keep_several(self, name: str, read: Values, most: int) -> None:
        several = self.values.setdefault(name, [])
        if len(several) >= most:
            self.surplus.add(name)
        else:
            several.append(read)
            self._results += 1
            if self._results > RESULTS_IN_ALL:
                raise RejectedError(
                    Reason.TOO_MANY, f"report has more than {RESULTS_IN_ALL} results and reasons in its records"
                )

    def _end_record(self, read: Values) -> None:
        self._records += 1
        if self._records > RECORDS:
            raise RejectedError(Reason.TOO_MANY, f"report has more than {RECORDS} records")
        self._record(read)


class _StrictReader(_Reader):
    """Where tags were broken, nothing may lie where one of ours could have begun or ended."""

    __slots__ = ()

    def start(self, name: str, attributes: object) -> None:
        if not self._foreign:
            self._check_between()
            local = name.rpartition(":")[2].lower()
            if self._leaf or (local in NAMES and local not in self._here.elements):
                raise MalformedError(f"{quoted(name)} is out of place")
        super().start(name, attributes)

    def end(self, name: str) -> None:
        if not self._foreign:
            self._check_between()
        super().end(name)
        if not self._leaf:
            self.texts.clear()

    def _check_between(self) -> None:
        if not self._leaf and any(text and not text.isspace() for text in self.texts):
            raise MalformedError("text stands between elements")
