"""Several documents one after the other in a file: each is stored, or is named with what is wrong with it."""

from __future__ import annotations

import codecs
import gzip
import json
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from importing import dmarc, imported, mail, tls

from collector.documents import in_a_row
from collector.documents.limits import LIMITS
from collector.documents.message import open_message
from collector.importing.files import find
from reports.document import Form
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = tls("a"), tls("b"), tls("c")
X, Y = dmarc("x"), dmarc("y")
PRETTY = json.dumps(json.loads(A), indent=2).encode()

ROWS = {
    "as cat prints them": (A + B + C, "abc"),
    "JSON lines": (b"\n".join((A, B, C, b"")), "abc"),
    "JSON lines of Windows": (b"\r\n".join((A, B)), "ab"),
    "pretty ones": (PRETTY + b"\n" + PRETTY.replace(b'"a"', b'"b"'), "ab"),
    "an array": (b"[" + b",\n ".join((A, B, C)) + b"]\n", "abc"),
    "an array of one": (b"[" + A + b"]", "a"),
    "arrays in arrays": (b"[\n [" + A + b"], [[" + B + b"," + C + b"]]]", "abc"),
    "arrays in a row": (b"[" + A + b"]\n[" + B + b"," + C + b"]", "abc"),
    "JSON text sequences (RFC 7464)": (b"\x1e" + A + b"\n\x1e" + B + b"\n", "ab"),
    "each with a byte order mark": (codecs.BOM_UTF8 + A + codecs.BOM_UTF8 + B, "ab"),
    "padded with NULs": (A + b"\0" * 700 + B, "ab"),
    "XML": (X + Y, "xy"),
    "XML with prefixes": (X + b"\n" + X.replace(b"feedback", b"ns1:feedback").replace(b">x<", b">y<"), "xy"),
    "XML without declarations": (b"".join(each.split(b"?>")[1] for each in (X, Y)), "xy"),
    "both kinds": (A + X + b"\n" + B + b"\n" + Y, "axby"),
    "UTF-16, as PowerShell writes it": ((A + B).decode().encode("utf-16"), "ab"),
    "brackets in texts": (tls("a", note='}{"\\"}{[') + B, "ab"),
    "mails": (mail(A) + mail(B) + mail(C), "abc"),
    "mails without a last line break": (mail(A).rstrip() + b"\n" + mail(X, name="x.xml"), "ax"),
    "mails, one cut off": (mail(A)[:-60] + b"\n" + b"Received: by x; Thu, 26 Nov 2026 10:00:00 +0000\n" + mail(B), "b"),
    "mails with headers in their text": (mail(A, text="Hello,\n\nFrom: x\nDate: y\n\nbye\n") + mail(B), "ab"),
}


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["", "in gzip"])
@pytest.mark.parametrize("name", ROWS)
def test_each_of_a_row_is_stored(tmp_path: Path, name: str, packed: type) -> None:
    content, reports = ROWS[name]
    (tmp_path / "row").write_bytes(packed(content))
    result = imported(tmp_path)
    assert result.reports == list(reports)
    assert not result.faults or name == "mails, one cut off"


def test_gzip_files_in_a_row(tmp_path: Path) -> None:
    (tmp_path / "row.gz").write_bytes(b"".join(map(gzip.compress, (A, X, B))))
    assert imported(tmp_path).reports == ["a", "x", "b"]


BROKEN = {
    "cut off, then a line": (A[:100] + b"\n" + B + b"\n" + C, "bc", {"!#1": "not JSON: "}),
    "cut off in a string": (A[:30] + b"\n" + B, "b", {"!#1": "not JSON: "}),
    "cut off at the end": (A + B[:-20], "a", {"!#2": "not JSON: "}),
    "another text after it": (A + b"\nconfidential!\n", "a", {"!#2": "it is not JSON, XML, gzip or zip"}),
    "something else among them": (A + b"\nOops\n" + B, "ab", {"!#2": "it is not JSON, XML, gzip or zip"}),
    "cut off amid an object": (A[:1] + b'"x": {"y": 1' + B + b"\n" + C, "c", {"!#1": "not JSON: "}),
    "cut off after a comma": (b'{"a": 1,\n' + B + b"\n" + C, "bc", {"!#1": "not JSON: "}),
    "no report among them": (A + b'{"event": 1}' + B, "ab", {"!#2": "JSON without `policies`"}),
    "another domain's": (A + C.replace(b"shop.example", b"other.example"), "a", {"!#2": "about 'other.example'"}),
    "XML, one cut off": (X[:200] + Y, "y", {"!#1": "not well-formed XML"}),
    "a text after XML": (X + b"-- sent by a gateway", "x", {"!#2": "it is not JSON, XML, gzip or zip"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_in_a_row_costs_only_itself(tmp_path: Path, name: str) -> None:
    content, reports, faults = BROKEN[name]
    (tmp_path / "row").write_bytes(content)
    result = imported(tmp_path / "row")
    assert result.reports == list(reports)
    assert [each.removeprefix(str(tmp_path / "row")) for each in result.faults] == list(faults)
    for said, expected in zip(result.faults.values(), faults.values(), strict=True):
        assert said.startswith(expected)


def test_what_follows_a_gzip_file_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "row").write_bytes(gzip.compress(A) + b"\0\0" + B)
    assert imported(tmp_path).reports == ["a", "b"]
    (tmp_path / "row").write_bytes(gzip.compress(A) + b"garbage")
    result = imported(tmp_path)
    assert result.reports == ["a"]
    assert list(result.faults) == [f"{tmp_path / 'row'}!rest"]


def test_a_row_in_a_cut_off_gzip_file_is_stored_up_to_there(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(tls(str(number)) for number in range(2_000)))
    (tmp_path / "row.gz").write_bytes(packed[: len(packed) // 2])
    result = imported(tmp_path)
    assert len(result.reports) > 500
    assert result.reports == [str(number) for number in range(len(result.reports))]
    (fault,) = result.faults.values()
    assert fault.startswith("gzip is damaged or truncated: ")


def test_a_row_may_be_larger_than_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.importing.archives.LIMITS", replace(LIMITS, message_bytes=200_000))
    (tmp_path / "row.json").write_bytes(b"".join(tls(str(number), note="x" * 100_000) for number in range(20)))
    (tmp_path / "row.eml").write_bytes(b"".join(mail(tls(str(number), note="x" * 100_000)) for number in range(20)))
    assert [len(found.body) > 100_000 for found in find([tmp_path])] == [True] * 40


def test_what_is_too_large_in_a_row_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.importing.archives.LIMITS", replace(LIMITS, message_bytes=50_000))
    for name, form in (("json", bytes), ("eml", mail)):
        (tmp_path / f"row.{name}").write_bytes(form(A) + form(tls("large", note="x" * 300_000)) + b"\n" + form(B))
        result = imported(tmp_path / f"row.{name}")
        assert (result.reports, [fault[:15] for fault in result.faults.values()]) == (["a", "b"], ["more than 50000"])


def test_a_row_in_an_attachment_is_read_as_well() -> None:
    found = open_message(mail(A + B + b"\n" + X))
    assert [document.kind for document in found.documents] == ["tls", "tls", "dmarc"]
    assert [document.kind for document in open_message(mail(gzip.compress(A) + gzip.compress(B))).documents] == [
        "tls",
        "tls",
    ]


def test_what_is_no_document_in_a_row_is_named_beside_the_others() -> None:
    opened = open_message(mail(A + b"\nOops\n" + B))
    assert len(opened.documents) == 2
    assert [fault.reason for fault in opened.faults] == [Reason.NO_REPORT]
    assert "5 bytes beside its documents" in opened.faults[0].detail


def test_too_many_in_a_row_in_a_message_are_refused_before_they_are_read() -> None:
    with pytest.raises(RejectedError) as refused:
        open_message(mail(b"{}" * 1_000 + A))
    assert refused.value.fault.reason is Reason.TOO_MANY


@pytest.mark.parametrize("reports", [b"", A, PRETTY, X, b'{"a": "} x"'])
def test_one_document_is_left_as_it_is(reports: bytes) -> None:
    assert b"".join(in_a_row.pieces(reports)) == reports.rstrip()
    form = Form.XML if reports is X else Form.JSON
    assert not in_a_row.may_be_several(form, reports) or b"} x" in reports


HOSTILE = {
    "objects in objects": b'{"a":\n' * 300_000,
    "lists in lists": b"[{" * 500_000,
    "objects in lists": b'{"a":[{},\n' * 100_000,
    "cut off strings": b'\n{"a' * 300_000,
    "tags": b"<a\n" * 300_000,
    "declarations": b"<?xml " * 200_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_looking_for_ends_that_are_not_there_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look goes to the end of what there is: their number must not grow with the length."""
    content, looked_at = HOSTILE[name], 0
    whole = in_a_row._end

    def end(text: bytes, at: int) -> int | None:
        nonlocal looked_at
        found = whole(text, at)
        looked_at += (len(text) if found is None else max(found, at)) - at
        return found

    monkeypatch.setattr(in_a_row, "_end", end)
    assert sum(map(len, islice(in_a_row.pieces(content), 1_000))) <= len(content)
    assert looked_at < 8 * len(content)


def test_header_fields_in_a_text_are_looked_at_once(tmp_path: Path) -> None:
    text = b"From: a\nDate: b\n\n" + b"a: b\n" * 300_000 + b"From: x\n"
    (tmp_path / "log.eml").write_bytes(text)
    (found,) = find([tmp_path])
    assert found.body == text
