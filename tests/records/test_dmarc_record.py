"""The `_dmarc` record (RFC 9989, section 4.7) as receivers read it, and where they look for it."""

from __future__ import annotations

import pytest
from checkdmarc.dmarc import parse_dmarc_record

from mailposture.records import dmarc
from mailposture.records.dmarc import DmarcRecord, Policy


def read(text: str) -> DmarcRecord:
    (record,) = dmarc.records_among([text.encode()])
    return record


@pytest.mark.parametrize(
    ("text", "requested", "applied"),
    [
        ("v=DMARC1; p=reject", Policy.REJECT, Policy.REJECT),
        ("v=DMARC1;p=Quarantine;", Policy.QUARANTINE, Policy.QUARANTINE),
        ("V = DMARC1 ; p = none ; ", Policy.NONE, Policy.NONE),
        ("v=DMARC1; p=reject; t=y", Policy.REJECT, Policy.QUARANTINE),
        ("v=DMARC1; p=quarantine; t=Y", Policy.QUARANTINE, Policy.NONE),
        ("v=DMARC1; p=none; t=y", Policy.NONE, Policy.NONE),
        ("v=DMARC1; p=reject; t=n", Policy.REJECT, Policy.REJECT),
        ("v=DMARC1; p=reject; pct=0", Policy.REJECT, Policy.QUARANTINE),
        ("v=DMARC1; p=quarantine; pct=99", Policy.QUARANTINE, Policy.NONE),
        ("v=DMARC1; p=reject; pct=20; t=y", Policy.REJECT, Policy.QUARANTINE),
        ("v=DMARC1; p=reject; pct=100", Policy.REJECT, Policy.REJECT),
        ("v=DMARC1; p=reject; pct=all", Policy.REJECT, Policy.REJECT),
        ("v=DMARC1; p=reject; pct=-1", Policy.REJECT, Policy.REJECT),
        ("v=DMARC1; rua=mailto:a@example.com", Policy.NONE, Policy.NONE),
        ("v=DMARC1; p=monitor; rua=mailto:a@example.com", Policy.NONE, Policy.NONE),
        ("v=DMARC1; p=monitor", None, None),
        ("v=DMARC1", None, None),
        ("v=DMARC1; p=; rua=dmarc@example.com", None, None),  # no URI, so nobody is asked for reports
    ],
)
def test_policy(text: str, requested: Policy | None, applied: Policy | None) -> None:
    record = read(text)
    assert (record.requested("p"), record.applied("p")) == (requested, applied)


def test_subdomains_have_the_policy_of_sp_or_else_of_p() -> None:
    assert read("v=DMARC1; p=none; sp=reject").requested("sp") is Policy.REJECT
    assert read("v=DMARC1; p=quarantine").requested("sp") is Policy.QUARANTINE


def test_names_that_do_not_exist_have_the_policy_of_np_or_else_of_sp() -> None:
    assert read("v=DMARC1; p=none; sp=reject; np=quarantine").requested("np") is Policy.QUARANTINE
    assert read("v=DMARC1; p=none; sp=reject").requested("np") is Policy.REJECT
    assert read("v=DMARC1; p=quarantine").requested("np") is Policy.QUARANTINE


@pytest.mark.parametrize(
    "text", ["v=DMARC2; p=none", "v=dmarc1; p=none", "p=none; v=DMARC1", " v=DMARC1; p=none", "v=DMARC1 p=none", ""]
)
def test_what_is_no_dmarc_record_is_not_read(text: str) -> None:
    assert dmarc.records_among([b"v=spf1 -all", text.encode()]) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("v=DMARC1; p=block", "p='block' is neither none, quarantine nor reject"),
        ("v=DMARC1; p=none; sp=no", "sp='no'"),
        ("v=DMARC1; p=none; rua=dmarc@example.com", "rua 'dmarc@example.com' is not `mailto:`"),
        ("v=DMARC1; p=none; rua=mailto:example.com", "names no mailbox"),
        ("v=DMARC1; p=none; rua=https://example.com/x", "is not `mailto:`"),
        ("v=DMARC1; p=none, rua=mailto:a@example.com", "is neither none"),
        ("v=DMARC1; p none", "'p none' is no `tag=value`"),
        ("v=DMARC1", "neither `p` nor a `rua`"),
        ("v=DMARC1; p=none; sp=\x1b[31m", r"sp='\x1b[31m'"),
    ],
)
def test_fault_is_named(text: str, fault: str) -> None:
    assert any(fault in one for one in read(text).faults), read(text).faults


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("v=DMARC1; p=none; pct=50", "`pct` is gone"),
        ("v=DMARC1; p=none; rue=mailto:a@b.example", "do not know the tag 'rue'"),
        ("v=DMARC1; p=none; p=reject", "`p` stands there more than once"),
        ("v=DMARC1; rua=mailto:a@b.example", "counts as p=none"),
    ],
)
def test_what_receivers_ignore_is_a_remark_and_no_fault(text: str, remark: str) -> None:
    record = read(text)
    assert record.faults == ()
    assert any(remark in one for one in record.remarks), record.remarks


def test_size_limit_of_an_address_is_void() -> None:
    record = read("v=DMARC1; p=none; rua=mailto:a@b.example!10m, mailto:c%21d@b.example")
    assert record.rua == ("mailto:a@b.example", "mailto:c%21d@b.example")


@pytest.mark.parametrize(
    ("domain", "walked"),
    [
        ("example.com", ["example.com", "com"]),
        ("a.mail.example.com", ["a.mail.example.com", "mail.example.com", "example.com", "com"]),
        (
            "a.b.c.d.e.f.g.h.i.j.mail.example.com",  # RFC 9989, section 4.10
            [
                "a.b.c.d.e.f.g.h.i.j.mail.example.com",
                *("g.h.i.j.mail.example.com", "h.i.j.mail.example.com", "i.j.mail.example.com"),
                *("j.mail.example.com", "mail.example.com", "example.com", "com"),
            ],
        ),
        (".".join("abcdefgh"), [".".join("abcdefgh"[start:]) for start in range(8)]),
    ],
)
def test_walk_asks_eight_times_at_most(domain: str, walked: list[str]) -> None:
    assert list(dmarc.places(domain)) == walked
    assert len(walked) <= 8


def test_published_record_is_kept_and_our_address_comes_first() -> None:
    text = "v=DMARC1;p=quarantine;sp=reject;pct=100;ri=3600;adkim=s;rua=mailto:a@vendor.example!1m;fo=1;x=y"
    kept = dmarc.with_destinations(read(text), ["mailto:dmarc@example.com"])
    assert kept == (
        "v=DMARC1; p=quarantine; sp=reject; adkim=s; fo=1; x=y; rua=mailto:dmarc@example.com,mailto:a@vendor.example"
    )
    assert read(kept).applied("p") is Policy.QUARANTINE


@pytest.mark.parametrize("reservation", ["pct=0", "pct=20", "t=y"])
def test_published_record_is_not_made_stricter_by_the_way(reservation: str) -> None:
    kept = dmarc.with_destinations(read(f"v=DMARC1; p=reject; {reservation}"), ["mailto:dmarc@example.com"])
    assert kept == f"v=DMARC1; p=reject; {reservation}; rua=mailto:dmarc@example.com"


@pytest.mark.parametrize(
    ("text", "policy", "following"),
    [
        (
            "v=DMARC1; p=none; rua=mailto:a@b.example",
            "quarantine",
            "v=DMARC1; p=quarantine; rua=mailto:a@b.example; t=y",
        ),
        ("v=DMARC1; p=none; t=y", "quarantine", "v=DMARC1; p=quarantine; t=y"),
        ("v=DMARC1; p=quarantine; t=y; sp=none", "quarantine", "v=DMARC1; p=quarantine; sp=none"),
        ("v=DMARC1; p=quarantine; pct=50", "quarantine", "v=DMARC1; p=quarantine"),
        ("v=DMARC1; p=reject; pct=0; t=y", "reject", "v=DMARC1; p=reject"),
        ("v=DMARC1; p=none; pct=50", "quarantine", "v=DMARC1; p=quarantine; t=y"),
        ("v=DMARC1; p=reject; t=y", "reject", "v=DMARC1; p=reject"),
        ("v=DMARC1; rua=mailto:a@b.example", "quarantine", "v=DMARC1; rua=mailto:a@b.example; p=quarantine; t=y"),
    ],
)
def test_next_step_is_a_test_first(text: str, policy: str, following: str) -> None:
    assert dmarc.next_step(read(text)) == (policy, following)


@pytest.mark.parametrize("text", ["v=DMARC1; p=reject", "v=DMARC1; p=monitor; rua=mailto:a@b.example", "v=DMARC1"])
def test_nothing_is_stricter_than_reject_nor_than_what_cannot_be_read(text: str) -> None:
    assert dmarc.next_step(read(text)) is None


def test_what_we_write_is_read_back_by_us_and_by_checkdmarc() -> None:
    text = dmarc.render_record(policy=Policy.REJECT, destinations=["mailto:a!b,c@example.com"])
    assert read(text).rua == ("mailto:a%21b%2Cc@example.com",)
    parsed = parse_dmarc_record(text, "example.com")
    assert parsed["tags"]["p"]["value"] == "reject"
