"""Whatever is no report ends as a rejection whose reason names the fault."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
import zlib
from datetime import UTC, datetime

import pytest

from collector.documents.limits import Limits
from collector.documents.message import open_message
from reports.document import Document
from reports.reading import read_reports
from reports.rejection import Fault, Reason, RejectedError
from reports.tls.decode import read
from reports.tls.header import named_domains


def rejection(body: bytes, **limits) -> Fault:
    with pytest.raises(RejectedError) as caught:
        read_reports(open_message(body, limits=Limits(**limits)))
    return caught.value.fault


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", method) as writer:
        for name, content in members:
            writer.writestr(name, content)
    return archive.getvalue()


def mail(*parts: tuple[str, bytes]) -> bytes:
    lines = [b'Subject: reports\nContent-Type: multipart/mixed; boundary="frontier"\n']
    for media_type, content in parts:
        lines.append(b"--frontier\nContent-Type: %s\nContent-Transfer-Encoding: base64\n" % media_type.encode())
        lines.append(base64.encodebytes(content))
    return b"\n".join([*lines, b"--frontier--\n"])


@pytest.fixture
def plain(sample):
    """The JSON of a good report."""
    return json.loads(open_message(sample("plain_report.eml")).documents[0].content)


def parsed(content):
    return read(Document(kind="tls", content=content))


def changed(plain, **fields) -> bytes:
    return json.dumps({**plain, **{name.replace("_", "-"): value for name, value in fields.items()}}).encode()


@pytest.mark.parametrize("body", [b"", b"\n \r\n"])
def test_nothing_is_empty(body):
    assert rejection(body).reason is Reason.EMPTY


@pytest.mark.parametrize(
    "body",
    [
        bytes(range(256)) * 16,
        b"hello",
        b"\x00" * 1000,
        b"Subject: hello\n\nsee you tomorrow\n",
        b"\x1b\x8b not gzip",
        b"<html><body>login</body></html>",
        b"[1, 2, 3]",
    ],
)
def test_noise_and_letters_hold_no_report(body):
    assert rejection(body).reason is Reason.NO_REPORT


def test_a_mail_without_report_says_how_many_parts_were_looked_at():
    fault = rejection(mail(("text/plain", b"hello"), ("image/png", b"\x89PNG\r\n")))
    assert (fault.reason, fault.detail) == (
        Reason.NO_REPORT,
        "none of its 2 parts is JSON, XML, gzip or zip that could be a report",
    )


DMARC = b'<?xml version="1.0"?>\n<feedback><report_metadata><org_name>x</org_name></report_metadata></feedback>'


def test_a_mail_with_much_text_behind_a_boundary_says_that_this_was_counted():
    body = mail(("application/tlsrpt+json", b"{}")) + b"text of a gateway\r\n" * 16_000
    fault = rejection(body)
    assert fault.reason == Reason.TOO_LARGE
    assert "what follows each line that looks like a boundary" in fault.detail


@pytest.mark.parametrize(
    "body",
    [DMARC, gzip.compress(DMARC), zipped(("a.xml", DMARC)), mail(("application/gzip", gzip.compress(DMARC)))],
    ids=["bare", "gzip", "zip", "mail"],
)
def test_a_dmarc_report_is_recognized(body):
    assert [document.kind for document in open_message(body).documents] == ["dmarc"]


def test_truncated_and_damaged_gzip_is_bad_compression(sample):
    packed = gzip.compress(b'{"policies": []}' * 100)
    assert rejection(packed[:-12]).reason is Reason.BAD_COMPRESSION
    assert rejection(packed[:20] + b"\xff" * 20 + packed[40:]).reason is Reason.BAD_COMPRESSION
    assert rejection(packed[:5]).reason is Reason.BAD_COMPRESSION


def test_truncated_damaged_and_unusual_zip_is_bad_compression():
    packed = zipped(("report.json", b'{"policies": []}' * 100))
    assert rejection(packed[:-30]).reason is Reason.BAD_COMPRESSION
    assert rejection(packed[:50] + b"\xff" * 8 + packed[58:]).reason is Reason.BAD_COMPRESSION
    assert "method 14" in rejection(zipped(("report.json", b"{}"), method=zipfile.ZIP_LZMA)).detail


def test_an_encrypted_zip_is_called_so():
    packed = bytearray(zipped(("report.json", b"{}")))
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in rejection(bytes(packed)).detail


def test_a_zip_that_understates_its_sizes_is_not_believed():
    packed = bytearray(zipped(("report.json", b'{"a": "' + b"x" * 5000 + b'"}')))
    at = packed.index(b"PK\x01\x02") + 24
    packed[at : at + 4] = (100).to_bytes(4, "little")
    assert rejection(bytes(packed)).reason in (Reason.BAD_COMPRESSION, Reason.NOT_JSON)


@pytest.mark.parametrize("levels", [3, 20])
def test_archives_in_archives_are_too_nested(levels):
    body = b"{}"
    for level in range(levels):
        body = gzip.compress(body) if level % 2 else zipped(("report.json.gz", body))
    assert rejection(body).reason is Reason.TOO_NESTED


def test_a_gzip_in_a_zip_is_opened(sample, plain):
    packed = zipped(("report.json.gz", gzip.compress(json.dumps(plain).encode())))
    ((_, report),) = read_reports(open_message(packed)).reports
    assert report.organization == "Sender Example"


def test_a_zip_of_many_members_is_too_many():
    assert rejection(zipped(*((f"{number}.json", b"{}") for number in range(101)))).reason is Reason.TOO_MANY


def test_a_zip_of_several_reports_gives_each(plain):
    contents = [("first.json", changed(plain, report_id="1")), ("second.json", changed(plain, report_id="2"))]
    assert [report.report_id for _, report in read_reports(open_message(zipped(*contents))).reports] == ["1", "2"]


def test_limits_on_size_name_the_limit():
    assert "1000 are allowed" in rejection(b"{" + b" " * 1000, message_bytes=1000).detail
    assert "1000 are allowed" in rejection(b"{" + b" " * 1000, document_bytes=1000).detail
    assert rejection(gzip.compress(b"{" + b" " * 2000), document_bytes=1000).reason is Reason.TOO_LARGE


def test_many_attachments_share_one_allowance():
    fault = rejection(mail(*[("application/gzip", gzip.compress(b"x" * 900))] * 3), unpacked_bytes=2000)
    assert fault.reason is Reason.TOO_LARGE


def test_bytes_after_the_gzip_become_a_warning(plain):
    opened = open_message(gzip.compress(json.dumps(plain).encode()) + b"garbage")
    assert opened.warnings == ("bytes after the end of the gzip were ignored",)


def test_gzip_in_several_members_is_one_document(plain):
    document = json.dumps(plain).encode()
    assert open_message(gzip.compress(document[:50]) + gzip.compress(document[50:])).documents[0].content == document


def test_a_broken_attachment_beside_a_good_one_is_a_fault_of_its_own(plain):
    good = gzip.compress(json.dumps(plain).encode())
    opened = open_message(mail(("application/gzip", good[:-20]), ("application/gzip", good)))
    assert len(opened.documents) == 1
    assert [fault.detail for fault in opened.faults] == [f"gzip of {len(good) - 20} bytes is truncated"]


def test_broken_json_beside_a_good_report_is_a_fault_of_its_own(plain):
    reports, faults = read_reports(
        open_message(mail(("application/json", b'{"a":'), ("a/b", json.dumps(plain).encode())))
    )
    assert (len(reports), [fault.reason for fault in faults]) == (1, [Reason.NOT_JSON])


@pytest.mark.parametrize("body", [b'{"policies": [', b"{policies: []}", b"{'policies': []}", b'{"a": 1,}', b"{"])
def test_broken_json_is_not_json(body):
    assert rejection(body).reason is Reason.NOT_JSON


def test_json_of_something_else_is_not_a_tls_report():
    assert rejection(b'{"event": "delivered", "count": 3}').reason is Reason.OTHER_DOCUMENT


@pytest.mark.parametrize(
    "body",
    [
        '{"organization-name": "Müller", "policies": []}'.encode("latin-1"),
        b"\xff\xfe{\x00\x00\xd8",
        "{}".encode("utf-16-le") + b"\x00",
    ],
)
def test_wrong_encodings_are_bad_encoding(body):
    assert rejection(body).reason is Reason.BAD_ENCODING


def test_a_truncated_base64_attachment_is_bad_encoding(sample):
    assert rejection(sample("plain_report.eml")[:-60]).reason in (Reason.BAD_ENCODING, Reason.BAD_COMPRESSION)


@pytest.mark.parametrize("depth", [300, 5_000, 100_000])
def test_deeply_nested_json_is_too_nested(plain, depth):
    nested = b'{"policies": [], "date-range": ' + b"[" * depth + b"]" * depth + b"}"
    assert rejection(nested).reason is Reason.TOO_NESTED
    deep = json.dumps(plain).encode()[:-1] + b', "x": ' + b'{"x":' * depth + b"1" + b"}" * depth + b"}"
    assert rejection(deep).reason is Reason.TOO_NESTED


@pytest.mark.parametrize("depth", [30, 255, 1000])
def test_deeply_nested_mail_is_too_nested(depth):
    levels = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%04d"\n\n--b%04d\n' % (level, level) for level in range(depth)
    )
    assert rejection(levels + b"Content-Type: application/json\n\n{}\n").reason in (Reason.TOO_NESTED, Reason.TOO_MANY)


@pytest.mark.parametrize(("outer", "inner"), [("frontier", "frontier-1"), ("frontier-1", "frontier"), ("a", "b")])
def test_a_report_in_a_nested_multipart_is_found(plain, outer, inner):
    nested = mail(("text/plain", b"hello"), ("application/gzip", gzip.compress(json.dumps(plain).encode())))
    within = nested.replace(b"frontier", inner.encode())
    body = (
        b'Content-Type: multipart/mixed; boundary="%b"\n\n--%b\n%b\n--%b\nContent-Type: text/plain\n\nfooter\n--%b--\n'
    )
    border = outer.encode()
    opened = open_message(body % (border, border, within, border, border))
    assert [json.loads(document.content) for document in opened.documents] == [plain]


def test_a_forwarded_mail_is_opened(sample):
    forwarded = b"Subject: Fwd: report\nContent-Type: message/rfc822\n\n" + sample("plain_report.eml")
    ((_, report),) = read_reports(open_message(forwarded)).reports
    assert report.organization == "Sender Example"


def test_a_mail_out_of_a_mailbox_file_is_opened(sample):
    opened = open_message(b"From sender@sender.example Mon Mar  2 09:58:12 2026\n" + sample("plain_report.eml"))
    assert (named_domains(opened), len(opened.documents)) == (("example.com",), 1)


def test_too_many_policies_and_details_name_the_limit(plain):
    policy = plain["policies"][0]
    fault = rejection(changed(plain, policies=[{}] * 1_001))
    assert (fault.reason, fault.detail) == (Reason.TOO_MANY, "report has 1001 policies; 1000 are allowed")
    fault = rejection(changed(plain, policies=[{**policy, "failure-details": [{}] * 30_000}] * 2))
    assert (fault.reason, fault.detail) == (Reason.TOO_MANY, "report has 60000 failure details; 50000 are allowed")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("date_range", None),
        ("date_range", {"start-datetime": "yesterday", "end-datetime": "today"}),
        ("date_range", {"start-datetime": 17}),
        ("date_range", {"start-datetime": "1970-01-01T00:00:00Z"}),
        ("date_range", {"start-datetime": "2015-12-31T00:00:00Z"}),
        ("date_range", {"start-datetime": "9999-12-31T23:59:59-23:59"}),
        ("policies", None),
        ("policies", "none"),
        ("organization_name", None),
    ],
)
def test_what_a_report_cannot_do_without_is_named(plain, field, value):
    with pytest.raises(RejectedError) as caught:
        parsed(changed({**plain, "contact-info": None}, **{field: value}))
    assert caught.value.fault.reason is Reason.INVALID_FIELD
    assert caught.value.fault.detail.startswith(field.replace("_", "-"))


def test_the_contact_stands_in_for_a_missing_organization(plain):
    assert parsed(changed(plain, organization_name=None)).organization == "tls-reports@sender.example"


def test_an_unusable_end_is_a_day_after_the_start_with_a_warning(plain):
    report = parsed(changed(plain, date_range={"start-datetime": "2026-03-01T00:00:00Z", "end-datetime": "x"}))
    assert (report.end - report.start).days == 1
    assert report.warnings == ("end-datetime is missing or unusable; a period of one day was assumed",)


def test_times_with_an_offset_are_turned_into_utc(plain):
    report = parsed(changed(plain, date_range={"start-datetime": "2026-03-01T01:00:00+02:00"}))
    assert report.start == datetime(2026, 2, 28, 23, tzinfo=UTC)


@pytest.mark.parametrize("count", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[[1]]", '{"a": 1}', "true"])
def test_counts_that_are_no_numbers_do_not_lose_the_report(plain, count):
    written = json.dumps(plain).replace(
        '"total-successful-session-count": 100', f'"total-successful-session-count": {count}'
    )
    assert parsed(written.encode()).policies[0].successful_sessions in (0, 1, 10**12)


def test_entries_that_are_no_objects_are_left_out_with_a_warning(plain):
    report = parsed(changed(plain, policies=[None, 7, "x", *plain["policies"]]))
    assert len(report.policies) == 1
    assert report.warnings == ("3 of 4 policies are not objects and were left out",)


def test_lone_surrogates_do_not_reach_text(plain):
    written = json.dumps(plain).replace("Sender Example", "Sender \\ud800 Example")
    assert parsed(written.encode()).organization == "Sender Example"


def test_warnings_are_few(plain):
    detail = plain["policies"][0]["failure-details"][0]
    details = [{**detail, "sending-mta-ip": f"no address {number}"} for number in range(1_000)]
    report = parsed(changed(plain, policies=[{**plain["policies"][0], "failure-details": details}]))
    assert len(report.policies[0].failures) == 1_000
    assert len(report.warnings) <= 21


def test_a_zlib_stream_without_gzip_header_is_no_report():
    assert rejection(zlib.compress(b"{}")).reason is Reason.NO_REPORT
