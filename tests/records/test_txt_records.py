"""The `_mta-sts` (RFC 8461, section 3.1) and `_smtp._tls` (RFC 8460, section 3) records as senders read them."""

from __future__ import annotations

import pytest

from mailposture.records import mta_sts, tls_rpt


@pytest.mark.parametrize(
    "record",
    [
        b"v=STSv1; id=20160831085700Z;",
        b"v=STSv1; id=20160831085700Z",
        b"v=STSv1;id=20160831085700Z;",
        b"v=STSv1 ; id=20160831085700Z ; ",
        b"v=STSv1; ext=a:b; id=20160831085700Z",
    ],
)
def test_id_is_read(record: bytes) -> None:
    assert mta_sts.read_records([b"unrelated", record]).id == "20160831085700Z"


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([], "no TXT record begins with `v=STSv1;`"),
        ([b"v=spf1 -all"], "what is there: 'v=spf1 -all'"),
        ([b"v=STSv1; id=1", b"v=STSv1; id=2"], "2 TXT records begin with"),
        ([b"v=stsv1; id=1"], "no TXT record begins"),
        ([b" v=STSv1; id=1"], "no TXT record begins"),
        ([b"v=STSv1;"], "has no `id`"),
        ([b"v=STSv1; id=2026-11-24"], "'2026-11-24' is not 1 to 32 letters and digits"),
        ([b"v=STSv1; id=" + b"a" * 33], "is not 1 to 32"),
        ([b"v=STSv1; id="], "where `name=value` belongs"),
        ([b"v=STSv1; id=1; \x1b[31m"], r"'\x1b[31m' where"),
    ],
)
def test_faulty_sts_record_means_no_mta_sts_and_the_fault_is_named(records: list[bytes], fault: str) -> None:
    reading = mta_sts.read_records(records)
    assert reading.id is None
    assert any(fault in found for found in reading.faults), reading.faults


def test_rendered_record_is_read_back() -> None:
    body = b"version: STSv1\r\nmode: none\r\nmax_age: 0\r\n"
    assert mta_sts.read_records([mta_sts.render_record(body).encode()]).id == mta_sts.policy_id(body)


@pytest.mark.parametrize(
    "destinations",
    [
        ("mailto:tlsrpt@example.com",),
        ("mailto:tlsrpt@example.com", "https://reports.example.com/tlsrpt/secret-path?x=1"),
    ],
)
def test_rendered_tlsrpt_record_is_read_back(destinations: tuple[str, ...]) -> None:
    reading = tls_rpt.read_records([tls_rpt.render_record(destinations).encode()])
    assert reading.destinations == destinations
    assert reading.faults == ()


def test_what_would_end_a_uri_is_percent_encoded() -> None:
    text = tls_rpt.render_record(["https://example.com/a,b;c!d"])
    assert text == "v=TLSRPTv1; rua=https://example.com/a%2Cb%3Bc%21d"
    assert tls_rpt.read_records([text.encode()]).destinations == ("https://example.com/a%2Cb%3Bc%21d",)


@pytest.mark.parametrize(
    "record",
    [
        b"v=TLSRPTv1;rua=mailto:a@example.com",
        b"v=TLSRPTv1; rua=mailto:a@example.com;",
        b"v=TLSRPTv1 ; ext=1 2; rua=mailto:a@example.com ;",
    ],
)
def test_destination_is_read(record: bytes) -> None:
    assert tls_rpt.read_records([record]).destinations == ("mailto:a@example.com",)


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ([], "no TXT record begins with `v=TLSRPTv1;`"),
        ([b"v=TLSRPTv1; rua=mailto:a@example.com"] * 2, "2 TXT records begin with"),
        ([b"v=TLSRPTV1; rua=mailto:a@example.com"], "no TXT record begins"),
        ([b"v=TLSRPTv1;"], "has no `rua`"),
        ([b"v=TLSRPTv1; rua="], "is not a URI"),
        ([b"v=TLSRPTv1; rua=a@example.com"], "is neither `mailto:` nor `https:`"),
        ([b"v=TLSRPTv1; rua=http://example.com/"], "is neither `mailto:` nor `https:`"),
        ([b"v=TLSRPTv1; rua=mailto:example.com"], "names no mailbox"),
        ([b"v=TLSRPTv1; rua=https:///x"], "names no host"),
        ([b"v=TLSRPTv1; rua=https://[x"], "is not a URI"),
        ([b"v=TLSRPTv1; rua=mailto:a@example.com!10m"], "is not a URI"),
        ([b"v=TLSRPTv1; rua=mailto:a@example.com,,"], "is not a URI"),
        ([b"v=TLSRPTv1; rua=mailto:a@example.com; \xff"], "where `name=value` belongs"),
    ],
)
def test_faulty_tlsrpt_record_means_no_reports_and_the_fault_is_named(records: list[bytes], fault: str) -> None:
    reading = tls_rpt.read_records(records)
    assert reading.destinations == ()
    assert any(fault in found for found in reading.faults), reading.faults
