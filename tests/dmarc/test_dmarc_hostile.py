"""Hostile XML ends as a rejection that names the fault, or as a right reading, and costs what its size allows."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from itertools import count, takewhile
from typing import TYPE_CHECKING

import pytest
from dmarc_samples import AUTH, IDENTIFIERS, METADATA, decoded, evaluated, feedback, record, row

from reports.dmarc.limits import LONGEST_TAG, REASONS, RECORDS, RESULTS, RESULTS_IN_ALL
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

EMPTY = ' a%x=""'
SIZE = 1024 * 1024  # above what is read without looking for anything first


def many(unit: str) -> str:
    """A megabyte of it; `%x` in it is another number each time."""
    if "%" not in unit:
        return unit * (SIZE // len(unit))
    return "".join(unit % number for number in takewhile(lambda n: n * len(unit % n) < SIZE, count()))


def beside(text: str) -> bytes:
    return feedback(record(), text)


def peak(content: bytes) -> int:
    """Bytes of memory that reading takes at most, whether it ends as a report or as a rejection."""
    tracemalloc.start()
    try:
        with suppress(RejectedError):
            decoded(content)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "text between elements": lambda: beside(many("<x/>ab")),
    "text between groups": lambda: beside(f"<record>{many('<row/>ab')}</record>"),
    "text in a foreign element": lambda: beside(f"<x>{many('<y/>ab')}</x>"),
    "text in what an element of ours should not have": lambda: beside(f"<version>{many('<y/>ab')}</version>"),
    "signatures": lambda: beside(f"<record><auth_results>{many('<dkim/>')}</auth_results></record>"),
    "reasons": lambda: beside(record(row(evaluated=evaluated(reason=many("<reason/>"))))),
    "names": lambda: beside(many("<a%x/>")),
    "names in a foreign element": lambda: beside(f"<x>{many('<a%x/>')}</x>"),
    "prefixes": lambda: beside(f"<record>{many('<a%x:row/>')}</record>"),
    "attributes of one element": lambda: beside(f"<x {many(EMPTY)}/>"),
    "attributes of one element in UTF-16": lambda: (
        beside(f"<x {many(EMPTY)}/>").replace(b'"1.0"', b'"1.0" encoding="utf-16"').decode().encode("utf-16")
    ),
    "attributes of elements of ours": lambda: beside(f"<record>{many(f'<row{EMPTY}/>')}</record>"),
    "a name": lambda: beside(f"<{'a' * SIZE}/>"),
    "a number": lambda: beside(record(row(count="1" * SIZE))),
    "an attribute": lambda: beside(f'<x a="{"a" * SIZE}"/>'),
    "processing instructions": lambda: beside(many("<?a%x ?>")),
    "comments": lambda: beside(many("<!---->")),
    "depth": lambda: beside(many("<x>")),
    "character data in pieces": lambda: feedback(metadata=METADATA.replace("Receiver", many("&#65;<![CDATA[a]]>"))),
    "what must be repaired": lambda: feedback(metadata=METADATA.replace("Receiver", many("<&"))),
    "what looks like an end": lambda: beside("&" + many("</feedback ")),
    "what looks like a declaration": lambda: beside("&" + many("<?xml")),
    "tags that nothing ends": lambda: feedback(metadata=METADATA.replace("Receiver", many("<a:b%x c>"))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_memory_stays_within_some_times_the_size(name: str) -> None:
    content = HOSTILE[name]()
    assert peak(content) < 10 * SIZE


def test_results_and_reasons_of_a_record_are_limited() -> None:
    results = AUTH.replace("<dkim>", "<dkim/>" * 2 * RESULTS + "<dkim>").replace(
        "<spf>", "<spf/>" * 2 * RESULTS + "<spf>"
    )
    reasons = evaluated(reason="<reason/>" * 2 * REASONS)
    (only,) = decoded(feedback(record(row(evaluated=reasons), auth=results))).records
    assert (len(only.dkim), len(only.spf), len(only.reasons)) == (RESULTS, RESULTS, REASONS)


@pytest.mark.slow
def test_results_of_all_records_are_limited_and_weigh_as_much_as_records() -> None:
    some = record(auth=f"<auth_results>{'<dkim/>' * RESULTS}</auth_results>")
    assert decoded(feedback(some)).entries == RESULTS * RECORDS // RESULTS_IN_ALL
    with pytest.raises(RejectedError, match=f"more than {RESULTS_IN_ALL} results"):
        decoded(feedback(*[some] * (RESULTS_IN_ALL // RESULTS + 1)))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"<x{''.join(EMPTY % number for number in range(60_000))}/>", "1000 attributes"),
        ("".join(f"<a{number}/>" for number in range(1_100)), "1000 different names"),
        (f"<{'a' * 300_000}/>", "a name of more than 1000 bytes"),
        ("<x>" * 60, "nests more than 50 deep"),
    ],
)
def test_a_rejection_names_the_fault(text: str, fault: str) -> None:
    with pytest.raises(RejectedError, match=fault):
        decoded(beside(text))


@pytest.mark.parametrize("shift", [0, 1, 499, 998, 999, 1000])
def test_a_name_that_is_too_long_is_found_wherever_it_stands(shift: int) -> None:
    padding = f"<!--{' ' * (SIZE + shift)}-->"
    with pytest.raises(RejectedError, match=f"a name of more than {LONGEST_TAG} bytes"):
        decoded(beside(f"{padding}<{'a' * (LONGEST_TAG + 1)}/>"))
    assert decoded(beside(f"{padding}<{'a' * (LONGEST_TAG - 1)}/>")).records


DOCTYPE = '<!DOCTYPE feedback [<!ENTITY a "7">]>'
DECLARED = '<?xml version="1.0"{}?>\n'
REST = feedback().decode().partition("\n")[2]


@pytest.mark.parametrize(
    "content",
    [
        (DECLARED.format("") + DOCTYPE + REST).encode(),
        (DOCTYPE + REST).encode(),
        b"\xef\xbb\xbf" + (DOCTYPE + REST).encode(),
        (DECLARED.format(' encoding="utf-16"') + DOCTYPE + REST).encode("utf-16"),
        (DOCTYPE + REST).encode("utf-16-be"),
        (DOCTYPE + REST).encode("utf-32"),
        (DECLARED.format("") + "<!-- -->" + DOCTYPE + REST).encode(),
        (DECLARED.format(' encoding="utf-7"') + DOCTYPE + REST).encode(),
        (DECLARED.format(' encoding="utf-7"') + (DOCTYPE + REST).replace("<!", "+ADwAIQ-")).encode(),
        (DECLARED.format(' encoding="cp037"') + "<!--feedback-->").encode() + (DOCTYPE + REST).encode("cp037"),
        (DOCTYPE.lower() + REST).encode(),
        (REST[: -len("</feedback>")] + DOCTYPE + "</feedback>").encode(),
        (REST + DOCTYPE).encode(),
        feedback(record(row(count="&a;"))).replace(b"\n", DOCTYPE.encode()),
    ],
)
def test_a_doctype_is_refused_wherever_it_stands_and_however_it_is_encoded(content: bytes) -> None:
    with pytest.raises(RejectedError) as rejection:
        decoded(content)
    assert rejection.value.fault.reason is Reason.NOT_XML


@pytest.mark.parametrize(
    "encoding",
    [
        *("utf-7", "utf-32", "ucs-4", "utf-8-sig", "utf8", "iso-2022-jp", "shift_jis", "gb18030", "big5", "hz"),
        *("idna", "punycode", "unicode_escape", "undefined", "rot13", "zlib", "bz2", "mbcs", "cp037", "charmap"),
        *("aliases", "nonsense", "a" * 100, "__init__", "..", "a" * 39 + "é"),
    ],
)
def test_an_encoding_that_is_none_of_text_is_not_obeyed(encoding: str) -> None:
    report = decoded(feedback(declared=f' encoding="{encoding}"'))
    assert [each.messages for each in report.records] == [3]
    assert any(warning.startswith("the XML was repaired") for warning in report.warnings)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16", "us-ascii", "iso-8859-15", "latin1", "windows-1251", "KOI8-R"])
def test_encodings_of_text_are_obeyed(encoding: str) -> None:
    content = feedback(declared=f' encoding="{encoding}"').decode().encode(encoding)
    assert decoded(content).warnings == ()


@pytest.mark.parametrize("encoding", ["shift_jis", "euc-jp", "gb18030", "big5"])
def test_names_in_pairs_of_bytes_are_read(encoding: str) -> None:
    metadata = METADATA.replace("Receiver Example", "日本")
    content = feedback(metadata=metadata, declared=f' encoding="{encoding}"').decode().encode(encoding)
    assert decoded(content).organization == "日本"


def test_a_stray_byte_changes_no_other_character() -> None:
    metadata = METADATA.replace("Receiver Example", "Empfänger €")
    content = feedback(metadata=metadata).replace(b"id-1", b"id-\xe4")
    report = decoded(content)
    assert (report.organization, report.report_id) == ("Empfänger €", "id-ä")


@pytest.mark.parametrize("length", range(1, len(feedback()), 7))
def test_what_is_cut_off_is_rejected(length: int) -> None:
    with pytest.raises(RejectedError):
        decoded(feedback()[:length])


OF_OTHERS = "<x:ext xmlns:x='urn:x'><record><row><count>99</count></row></record><count>98</count></x:ext>"


@pytest.mark.parametrize("fault", ["&", "\x07", "<a@b>", "< "])
@pytest.mark.parametrize("other", [OF_OTHERS, OF_OTHERS.replace("x:ext", "extension")])
def test_repair_makes_nothing_ours_that_was_of_others(fault: str, other: str) -> None:
    metadata = METADATA.replace("Receiver", f"Receiver {fault}")
    content = feedback(record(), f"<record>{other}{row()}{IDENTIFIERS}</record>", other, metadata=metadata)
    assert [each.messages for each in decoded(content).records] == [3, 3]


BROKEN = {
    "a second report": feedback() + feedback(record(row(count="5"))),
    "a record behind the end": feedback() + record().encode(),
    "a record in broken tags": feedback(record(), record().replace("record>", " record>")),
    "a count in broken tags": feedback(record(row().replace("count>", " count>"))),
    "a verdict in broken tags": feedback(record(row().replace("dkim>", "1dkim>"))),
    "a verdict in tags with a character that XML forbids": feedback(record(row().replace("dkim>", "d\x07kim>"))),
    "a row in tags of Latin-1": feedback(record(row())).replace(b"row>", b"r\xffow>"),
    "a tag in two pieces": feedback(record(row().replace("count>", "c ount>"))),
    "a count in a text": feedback(metadata=METADATA.replace("Receiver", "& <count>7</count>")),
    "a row beside its record": feedback(f"& {row()}"),
    "text between elements": feedback(record(), "5 & 7"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_could_mean_something_else_once_repaired_is_rejected(name: str) -> None:
    with pytest.raises(RejectedError) as rejection:
        decoded(BROKEN[name])
    assert rejection.value.fault.reason is Reason.NOT_XML


@pytest.mark.parametrize("forbidden", ["\x07", "&#7;", "&#x0;", "&#55357;", "&#9999999;"])
def test_a_character_that_xml_forbids_joins_no_digits(forbidden: str) -> None:
    report = decoded(feedback(record(row(count=f"1{forbidden}2"))))
    assert report.records[0].messages == 0
    assert any("count" in warning for warning in report.warnings)


def test_a_value_is_its_own_text_only() -> None:
    assert decoded(feedback(record(row(count="3<x>4</x>")))).records[0].messages == 3
    assert decoded(feedback(record(row(count="<!-- 1 -->3<![CDATA[4]]>")))).records[0].messages == 34


def test_what_stands_twice_is_read_once_and_is_remarked_on() -> None:
    twice = f"<record>{row()}{row(count='9')}{IDENTIFIERS}{AUTH}{AUTH}</record>"
    report = decoded(feedback(twice))
    assert [each.messages for each in report.records] == [3]
    assert report.warnings == ("only the first was read where there are several: auth_results, row",)
