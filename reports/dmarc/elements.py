"""XML of untrusted reporters to values, by the schema of DMARC reports and nothing else (RFC 9990, appendix A).

The standard library's expat, streaming: as fast as anything else, and of what the schema does not name nothing is kept.
A DOCTYPE is refused where it begins, so there are no entities. Namespaces and prefixes are ignored, as reporters use
many and mostly none. Elements of extensions may be named like ours, so only the place decides: an element counts as a
direct child of the one that the schema has it in, and the first of several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from xml.parsers import expat

from reports.dmarc.limits import DEPTH, MARKS, RECORDS
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Values = dict[str, Any]
"""Name of an element → its text, or Values of what it holds; of those that may be repeated a list of these."""

_Schema = dict[str, Any]
"""Name of an element → the _Schema of what it holds, or None where that is text."""


def _texts(names: str) -> _Schema:
    return dict.fromkeys(names.split())


_REASON: Final = _texts("type comment")
_RESULT: Final = _texts("domain selector scope result human_result")
_EVALUATED: Final[_Schema] = {**_texts("disposition dkim spf"), "reason": _REASON}
_RECORD: Final[_Schema] = {
    "row": {**_texts("source_ip count"), "policy_evaluated": _EVALUATED},
    "identifiers": _texts("header_from envelope_from envelope_to"),
    "auth_results": {"dkim": _RESULT, "spf": _RESULT},
}
_METADATA: Final[_Schema] = {
    **_texts("org_name email extra_contact_info report_id error generator"),
    "date_range": _texts("begin end"),
}
_FEEDBACK: Final[_Schema] = {
    "version": None,
    "report_metadata": _METADATA,
    "policy_published": _texts("domain adkim aspf p sp np pct fo testing discovery_method"),
    "record": _RECORD,
}
_DOCUMENT: Final[_Schema] = {"feedback": _FEEDBACK}


def _names(schema: _Schema) -> Iterator[str]:
    for name, inside in schema.items():
        yield name
        yield from _names(inside or {})


NAMES: Final = frozenset(_names(_DOCUMENT))
"""All names of elements of the schema."""


def read_elements(content: bytes | str, record: Callable[[Values], None]) -> Values:
    """What a report says apart from its records; each of those goes to `record` at its end.

    Raises RejectedError for what is refused, and expat.ExpatError if it is not well-formed.
    """
    if (content.count("<") if isinstance(content, str) else content.count(b"<")) > MARKS:
        raise RejectedError(Reason.TOO_MANY, f"the XML has more than {MARKS} tags")
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    reader = _Reader(record)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.texts.append
    parser.Parse(content, True)  # in one piece: expat before 2.6 is quadratic on long tokens in several
    if "feedback" not in reader.values:
        raise RejectedError(Reason.NOT_A_DMARC_REPORT, "XML without `feedback`, so not a report by RFC 9990")
    feedback: Values = reader.values["feedback"]
    return feedback


def _refuse_doctype(*_: object) -> None:
    raise RejectedError(Reason.NOT_XML, "the XML has a DOCTYPE, which no report needs and attacks use")


class _Reader:
    """Handlers of expat, called for every tag; for text it is a list's own append, which costs least."""

    __slots__ = ("_around", "_foreign", "_here", "_leaf", "_record", "_records", "texts", "values")

    def __init__(self, record: Callable[[Values], None]) -> None:
        self.values: Values = {}  # what was read of the element around so far
        self.texts: list[str] = []  # what stands between elements too: dropped where one of ours begins
        self._record = record
        self._here: Mapping[str, Any] = _DOCUMENT  # the schema of the element around
        self._around: list[tuple[Mapping[str, Any], Values, str]] = []  # with the name of what began there
        self._leaf = ""  # the element whose text is being read, if any
        self._foreign = 0  # depth within an element that the schema does not have here
        self._records = 0

    def start(self, name: str, _attributes: object) -> None:
        if self._foreign or self._leaf:
            self._foreign += 1
            if self._foreign > DEPTH:
                raise RejectedError(Reason.TOO_NESTED, f"the XML nests more than {DEPTH} deep")
            return
        here = self._here
        inside = here.get(name, here)
        if inside is here:  # not of the schema, or with a prefix
            name = name.rpartition(":")[2]
            inside = here.get(name, here)
        if inside is here:
            self._foreign = 1
        elif inside is None:
            self._leaf = name
            self.texts.clear()
        else:
            self._around.append((here, self.values, name))
            self._here, self.values = inside, {}

    def end(self, _name: str) -> None:
        if self._foreign:
            self._foreign -= 1
        elif self._leaf:
            if self._leaf not in self.values:
                texts = self.texts
                self.values[self._leaf] = texts[0] if len(texts) == 1 else "".join(texts)
            self._leaf = ""
        else:
            self._end_group()

    def _end_group(self) -> None:
        ended, read = self._here, self.values
        self._here, self.values, name = self._around.pop()
        if ended is _RECORD:
            self._records += 1
            if self._records > RECORDS:
                raise RejectedError(Reason.TOO_MANY, f"report has more than {RECORDS} records")
            self._record(read)
            return
        if ended is _RESULT or ended is _REASON:  # these stand several times side by side
            self.values.setdefault(name, []).append(read)
        elif name not in self.values:
            self.values[name] = read
