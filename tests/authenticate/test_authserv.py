"""Mail that the server of its mailbox has rebuilt: what that server verified counts, and nobody else's word for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from court import EVERYTHING, GOOGLE, VICTIM, Court, court_of, field_lines, mail, report

from collector import authentication_results
from collector.ingest.judge import Accepted, Quarantined
from collector.spool import envelope_text
from reports.envelope import Envelope, Source, Trust

if TYPE_CHECKING:
    from collector.dkim.verifier import DkimVerifier

SERVER = "mx.shop.example"
MICROSOFT = (  # as Exchange Online writes it: without an authserv-id
    "spf=pass (sender IP is 192.0.2.1)\r\n smtp.mailfrom=reporter.example; dkim=pass (signature was verified)\r\n"
    " header.d=reporter.example;dmarc=pass action=none header.from=reporter.example;compauth=pass reason=100"
)


@pytest.fixture
def court(verifier: DkimVerifier, name_server: Any, rsa_key: Any) -> Court:
    return court_of(verifier, name_server, rsa_key)


def results(*methods: str, server: str = SERVER) -> bytes:
    """A field of a server."""
    return field_lines(Authentication_Results=";\r\n ".join([server, *methods]))


PASS = results("dkim=pass header.d=reporter.example")


def rebuilt(court: Court, fields: tuple[bytes, ...] = EVERYTHING, **more: Any) -> bytes:
    """A signed report as Exchange hands it out: with another boundary, and so another body and Content-Type."""
    signed = court.sign(mail("tls@reporter.example", report(), **more), "reporter.example", fields)
    return with_other_boundary(signed).replace(b"report-type=tlsrpt", b'report-type="tlsrpt"')


def with_other_boundary(signed: bytes) -> bytes:
    return signed.replace(b'"b0"', b'"_004_AM0PR01_"').replace(b"--b0", b"--_004_AM0PR01_")


def judged(court: Court, message: bytes, authserv_id: str | None = SERVER, **known: Any) -> Any:
    return court(message, **{"source": Source.IMAP, "authserv_id": authserv_id, **known})


@pytest.mark.parametrize("fields", [EVERYTHING, GOOGLE])
@pytest.mark.parametrize(
    ("field", "authserv_id"),
    [
        (PASS, SERVER),
        (
            results("spf=fail smtp.mailfrom=a@reporter.example", "dkim=pass header.d=reporter.example"),
            "MX.Shop.Example",
        ),
        (results("dkim=fail header.d=other.example", "dkim=pass header.i=@mail.reporter.example"), SERVER),
        (results('dkim=pass reason="a; b" header.d=Reporter.Example header.s=s1', server=f"{SERVER} 1"), SERVER),
        (field_lines(Authentication_Results=MICROSOFT), ""),
    ],
)
def test_what_the_server_verified_counts_as_if_we_had(
    court: Court, fields: tuple[bytes, ...], field: bytes, authserv_id: str
) -> None:
    row = court.accepted(field + rebuilt(court, fields), source=Source.IMAP, authserv_id=authserv_id)
    assert (row.trust, row.reporter, row.reporter_proven) == ("authserv", "reporter.example", True)
    assert row.policy_domains == (VICTIM,)
    assert Trust.AUTHSERV.rank > Trust.OPERATOR.rank


def test_a_signature_that_fits_counts_more(court: Court) -> None:
    signed = court.sign(mail("tls@reporter.example", report()), "reporter.example")
    assert court.accepted(PASS + signed, source=Source.IMAP, authserv_id=SERVER).trust == "dkim"


BAD = {
    "no field": b"",
    "of another server": results("dkim=pass header.d=reporter.example", server="mx.other.example"),
    "below one that says fail": results("dkim=fail header.d=reporter.example") + PASS,
    "below one that says nothing": results("none") + PASS,
    "below one that quotes its name": results("dkim=fail", server=f'"{SERVER}"') + PASS,
    "below what another server has verified": results("dkim=fail header.d=a.example", server="mx.other.example") + PASS,
    "below such a quoted text": results('spf=pass reason="\\\r\n ; dkim=pass header.d=reporter.example"') + PASS,
    "below one that cannot be read": field_lines(Authentication_Results=f"{SERVER} (") + PASS,
    "in a comment": results("spf=pass (dkim=pass header.d=reporter.example)"),
    "in a quoted text": results('spf=pass reason="; dkim=pass header.d=reporter.example"'),
    "of another domain": results("dkim=pass header.d=other.example"),
    "of a name that ends alike": results("dkim=pass header.d=evilreporter.example"),
    "of another selector": results("dkim=pass header.d=reporter.example header.s=s2"),
    "neutral": results("dkim=neutral header.d=reporter.example"),
    "another method": results("dmarc=pass header.d=reporter.example"),
    "without a domain": results("dkim=pass"),
}


@pytest.mark.parametrize("what", BAD)
def test_nothing_else_counts(court: Court, what: str) -> None:
    verdict = judged(court, BAD[what] + rebuilt(court))
    assert isinstance(verdict, Quarantined)
    assert SERVER in verdict.detail


def test_a_forger_who_writes_the_field_himself_is_below_the_servers(court: Court) -> None:
    forged = PASS + mail("tls@reporter.example", report(), fields=b"DKIM-Signature: v=1; a=rsa-sha256\r\n")
    verdict = judged(court, results("dkim=permerror", "spf=fail") + forged)
    assert isinstance(verdict, Quarantined)


def test_a_second_signature_of_the_same_domain_makes_it_unclear_which_was_verified(court: Court) -> None:
    once = rebuilt(court)
    line = once[: once.index(b"From:")]
    assert isinstance(judged(court, PASS + line.replace(b"content-type", b"x-anything") + once), Quarantined)


def _signature(domain: str, *tags: str, selector: str = "s1", covers: str = "from:subject:content-type") -> bytes:
    """One that nobody verifies."""
    said = "; ".join((f"v=1; a=rsa-sha256; d={domain}; s={selector}; h={covers}; bh=AAAA; b=AAAA", *tags))
    return field_lines(DKIM_Signature=said)


@pytest.mark.parametrize(
    "true",
    [
        _signature("reporter.example", "l=10"),  # with which anybody may append a report
        _signature("reporter.example").replace(b"rsa-sha256", b"rsa-sha1"),
        _signature("reporter.example").replace(b"d=reporter.example", b"d=reporter.example; d=reporter.example"),
        _signature("other.example") * 4 + _signature("reporter.example"),
    ],
)
@pytest.mark.parametrize("selector", ["", " header.s=s1"])
def test_a_forgers_signature_does_not_stand_for_one_that_cannot_be_read(
    court: Court, true: bytes, selector: str
) -> None:
    """The forger's says that everything was signed, as he likes it; the true one is what the server has verified."""
    forged = _signature("reporter.example") + true + mail("tls@reporter.example", report())
    verdict = judged(court, results(f"dkim=pass header.d=reporter.example{selector}") + forged)
    assert isinstance(verdict, Quarantined)


def test_what_others_verify_with_names_of_their_own_is_no_obstacle(court: Court) -> None:
    field = results("spf=pass smtp.mailfrom=a@reporter.example", server="spf.shop.example") + PASS
    of_a_list = _signature("list.example", "l=10")
    assert (
        court.accepted(field + of_a_list + rebuilt(court), source=Source.IMAP, authserv_id=SERVER).trust == "authserv"
    )


def test_a_domain_above_the_verified_one_is_not_verified(court: Court) -> None:
    """evil.co.uk has signed; the forger adds a signature of co.uk, from which the mail says it is."""
    signed = _signature("co.uk") + _signature("evil.co.uk") + mail("tls@co.uk", report())
    assert isinstance(judged(court, results("dkim=pass header.i=@evil.co.uk") + signed), Quarantined)


def test_a_signature_must_be_there_and_aligned(court: Court) -> None:
    unsigned = mail("tls@reporter.example", report())
    assert isinstance(judged(court, PASS + unsigned), Quarantined)
    of_another = with_other_boundary(court.sign(mail("tls@victim-bank.example", report()), "reporter.example"))
    assert isinstance(judged(court, PASS + of_another), Quarantined)


def test_the_header_decides_nothing_about_whom_the_report_is(court: Court) -> None:
    """A policy without a domain is about the domain that TLS-Report-Domain names, but not here."""
    unnamed = mail("tls@reporter.example", report(None), name="a.json", fields=field_lines(TLS_Report_Domain=VICTIM))
    signed = court.sign(unnamed, "reporter.example")
    assert isinstance(judged(court, signed), Accepted)
    assert not isinstance(judged(court, PASS + with_other_boundary(signed)), Accepted)


@pytest.mark.parametrize("source", [each for each in Source if not each.is_mailbox and each.is_mail])
def test_only_mailboxes_have_a_server_of_their_own(court: Court, source: Source) -> None:
    assert isinstance(court(PASS + rebuilt(court), source=source, authserv_id=SERVER), Quarantined)


@pytest.mark.parametrize(
    ("field", "words"),
    [(PASS, f"`authserv_id: {SERVER}`"), (field_lines(Authentication_Results=MICROSOFT), '`authserv_id: ""`')],
)
def test_quarantine_says_when_the_server_has_probably_rebuilt_it(court: Court, field: bytes, words: str) -> None:
    verdict = judged(court, field + rebuilt(court), None)
    assert isinstance(verdict, Quarantined)
    assert "does not match the body" in verdict.detail
    assert "probably rebuilt" in verdict.detail
    assert words in verdict.detail


@pytest.mark.parametrize("field", [b"", results("dkim=fail header.d=reporter.example"), BAD["of another domain"]])
def test_and_does_not_where_the_server_found_the_same(court: Court, field: bytes) -> None:
    verdict = judged(court, field + rebuilt(court), None)
    assert isinstance(verdict, Quarantined)
    assert "rebuilt" not in verdict.detail


def test_the_spool_keeps_whose_word_counts() -> None:
    plain = Envelope(source=Source.GRAPH, received_at=datetime(2026, 11, 28, tzinfo=UTC))
    for authserv_id in (None, "", SERVER):
        envelope = replace(plain, authserv_id=authserv_id)
        assert envelope_text.decode(envelope_text.encode(envelope)) == envelope


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b";",
        b"()",
        b"a",
        b"a;",
        b"a; =",
        b"a; b=",
        b"a; =c d=e",
        b'a; b=c d="',
        b"a; b=c (d",
        b"\\",
        b"\xff\x00; \xff=pass",
        b"(" * 5000 + b")" * 5000,
        b"a; dkim=pass " + b"header.d=x " * 1000,
        b"a;" * 8000,
        b"x" * 20_000,
        b'"' * 999,
        b"a; dkim" + b" " * 16_000 + b"x",
    ],
)
def test_whatever_is_in_the_field_is_read_or_not(value: bytes) -> None:
    read = authentication_results.read(value)
    assert read is None or all(each.method == each.method.lower() for each in read.results)
