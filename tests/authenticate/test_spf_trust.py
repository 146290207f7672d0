"""DMARC reports without an aligned signature, where our listener is the MX: SPF proves their sender, or nothing."""

from __future__ import annotations

import gzip
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import loopback_dns
import pytest
from court import VICTIM, Court, court_of, mail, report
from dmarc_samples import POLICY, feedback
from loopback_dns import Zone

from collector.ingest.judge import Accepted, Deferred, Judge, Quarantined
from collector.spf import SpfVerifier
from mailposture.config.model import Config
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.dkim.verifier import DkimVerifier
    from collector.ingest.judge import Judgement

ALLOWED, OTHER = "192.0.2.10", "192.0.2.99"
SENDER = "noreply@reporter.example"
ZONE = """
reporter.example.        60 IN TXT "v=spf1 ip4:192.0.2.10 ip6:2001:db8:1::/48 -all"
mail.reporter.example.   60 IN TXT "v=spf1 ip4:192.0.2.10 -all"
attacker.example.        60 IN TXT "v=spf1 ip4:192.0.2.99 -all"
open.example.            60 IN TXT "v=spf1 +all"
wide.example.            60 IN TXT "v=spf1 include:open.example -all"
soft.example.            60 IN TXT "v=spf1 ip4:192.0.2.10 ~all"
broken.example.          60 IN TXT "v=spf1 ip4:192.0.2.10/99 -all"
two.example.             60 IN TXT "v=spf1 ip4:192.0.2.10 -all"
two.example.             60 IN TXT "v=spf1 +all"
halves.example.          60 IN TXT "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all"
inside.example.          60 IN TXT "v=spf1 ip4:10.0.0.0/8 ip4:127.0.0.1 ip4:172.16.0.0/12 ip6:fd00::/8 ip6:::1 -all"
long.example.            60 IN TXT "v=spf1 include:l1.example include:l1.example include:l1.example include:l1.example"
l1.example.              60 IN TXT "v=spf1 a:h.example a:h.example ?all"
h.example.               60 IN A 192.0.2.200
xn--bcher-kva.example.   60 IN TXT "v=spf1 ip4:192.0.2.10 -all"
greeting.example.        60 IN TXT "v=spf1 ip4:192.0.2.99 -all"
macro.example.           60 IN TXT "v=spf1 exists:%{l}.%{i}.allowed.example -all"
noreply.192.0.2.10.allowed.example. 60 IN A 127.0.0.2
customer-a.example.      60 IN TXT "v=spf1 include:shared.example -all"
customer-b.example.      60 IN TXT "v=spf1 include:shared.example -all"
shared.example.          60 IN TXT "v=spf1 ip4:192.0.2.10 -all"
"""
XML = feedback(policy=POLICY.replace("example.com", VICTIM))
NAME = f"reporter.example!{VICTIM}!1772409600!1772495999.xml.gz"


@pytest.fixture
def zone() -> Zone:
    return Zone(ZONE)


@pytest.fixture
def spf(zone: Zone) -> Iterator[SpfVerifier]:
    with (
        loopback_dns.serving(zone) as port,
        closing(SpfVerifier(nameservers=[f"127.0.0.1@{port}"], timeout=timedelta(seconds=2))) as verifier,
    ):
        yield verifier


class AtMx:
    """A judge at a listener that is the MX."""

    def __init__(self, court: Court, spf: SpfVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("collector.ingest.judge._SPF_PATIENCE", 10)
        self.court = replace(court, judge=_with(court.judge, spf))

    def __call__(self, message: bytes, **known: Any) -> Judgement:
        return self.court(message, **{"peer": ALLOWED, "mail_from": SENDER, **known})

    def accepted(self, message: bytes, **known: Any) -> Any:
        return self.court.accepted(message, **{"peer": ALLOWED, "mail_from": SENDER, **known})

    def refused(self, message: bytes, **known: Any) -> str:
        return self.court.refused(message, **{"peer": ALLOWED, "mail_from": SENDER, **known})


def _with(judge: Judge, spf: SpfVerifier) -> Judge:
    judge._spf = spf
    return judge


@pytest.fixture
def court(verifier: DkimVerifier, name_server: Any, rsa_key: Any) -> Court:
    return court_of(verifier, name_server, rsa_key)


@pytest.fixture
def mx(court: Court, spf: SpfVerifier, monkeypatch: pytest.MonkeyPatch) -> AtMx:
    return AtMx(court, spf, monkeypatch)


def attached(*, author: str = SENDER, content: bytes = XML, **more: Any) -> bytes:
    return mail(
        author,
        gzip.compress(content, mtime=0),
        media_type="application/gzip",
        name=NAME,
        top='multipart/mixed; boundary="b0"',
        **more,
    )


def test_server_that_the_domain_lets_send_proves_the_sender(mx: AtMx) -> None:
    row = mx.accepted(attached())
    assert (row.trust, row.reporter, row.reporter_proven, row.dkim_domain) == ("spf", "reporter.example", True, "")
    assert mx.refused(attached(), peer=OTHER) == "no-signature"


@pytest.mark.parametrize("peer", ["::ffff:192.0.2.10", "2001:db8:1::5"])
def test_address_is_the_one_that_the_client_has(mx: AtMx, peer: str) -> None:
    assert mx.accepted(attached(), peer=peer).trust == "spf"
    assert mx.refused(attached(), peer="2001:db8:2::5") == "no-signature"


@pytest.mark.parametrize(
    ("mail_from", "author"),
    [
        ("bounce@mail.reporter.example", SENDER),
        (SENDER, "DMARC <noreply@deep.mail.reporter.example>"),
        ("noreply@Reporter.EXAMPLE", "noreply@REPORTER.example"),
        ("noreply@reporter.example.", SENDER),
        ('"odd @ local"@reporter.example', SENDER),
        ("a@xn--bcher-kva.example", "a@XN--BCHER-KVA.example"),
    ],
)
def test_aligned_senders(mx: AtMx, mail_from: str, author: str) -> None:
    assert mx.accepted(attached(author=author), mail_from=mail_from).trust == "spf"


@pytest.mark.parametrize(
    ("mail_from", "author", "peer"),
    [
        ("", SENDER, ALLOWED),  # the null sender: HELO would speak, which anybody chooses
        ("", "a@greeting.example", OTHER),
        ("a@attacker.example", SENDER, OTHER),  # a domain of his own in the envelope
        ("a@attacker.example", "noreply@reporter.example.attacker.test", OTHER),
        ("a@attacker.example", "a@notattacker.example", OTHER),
        ("a@attacker.example", f"{SENDER}, a@attacker.example", OTHER),  # several authors
        ("a@attacker.example", f"a@attacker.example, {SENDER}", OTHER),
        ("a@attacker.example", f'"a@attacker.example" <{SENDER}>', OTHER),
        (SENDER, SENDER, OTHER),
        ("reporter.example", SENDER, ALLOWED),  # no address
        ("a@", SENDER, ALLOWED),
        ("a@bücher.example", "a@xn--bcher-kva.example", ALLOWED),  # what is not in A-labels is read by nobody
        ("a@open.example", "a@open.example", OTHER),
        ("a@wide.example", "a@wide.example", OTHER),
        ("a@halves.example", "a@halves.example", OTHER),
        ("a@halves.example", "a@halves.example", f"::ffff:{OTHER}"),
        (
            "a@inside.example",
            "a@inside.example",
            "10.0.0.1",
        ),  # whoever comes through a proxy or a NAT has such an address
        ("a@inside.example", "a@inside.example", "172.18.0.1"),
        ("a@inside.example", "a@inside.example", "::ffff:127.0.0.1"),
        ("a@inside.example", "a@inside.example", "fd00::1%eth0"),
        ("a@inside.example", "a@inside.example", "::1"),
        ("a@soft.example", "a@soft.example", OTHER),
        ("a@broken.example", "a@broken.example", ALLOWED),
        ("a@two.example", "a@two.example", ALLOWED),
        ("a@long.example", "a@long.example", ALLOWED),
        ("a@none.example", "a@none.example", ALLOWED),
        ("a@example", "a@example", ALLOWED),
        (SENDER, SENDER, "not an address"),
        (SENDER, SENDER, ""),
    ],
)
def test_forged_envelopes_prove_nothing(mx: AtMx, mail_from: str, author: str, peer: str) -> None:
    assert mx.refused(attached(author=author), mail_from=mail_from, peer=peer) == "no-signature"


def test_several_from_fields_prove_nothing(mx: AtMx) -> None:
    assert (
        mx.refused(b"From: a@attacker.example\r\n" + attached(), mail_from="a@attacker.example", peer=OTHER)
        == "invalid"
    )
    assert mx.refused(b"From: a@attacker.example\r\n" + attached()) == "invalid"


def test_customers_of_a_shared_service_speak_for_themselves(mx: AtMx) -> None:
    row = mx.accepted(attached(author="a@customer-a.example"), mail_from="a@customer-a.example")
    assert row.reporter == "customer-a.example"
    assert mx.refused(attached(author="a@customer-a.example"), mail_from="a@customer-b.example") == "no-signature"


def test_record_that_asks_for_the_sender_is_answered_for_this_one(mx: AtMx) -> None:
    author = "noreply@macro.example"
    assert mx.accepted(attached(author=author), mail_from=author).trust == "spf"
    assert mx.refused(attached(author=author), mail_from="other@macro.example") == "no-signature"


@pytest.mark.parametrize("source", [Source.LMTP, Source.IMAP])
def test_what_another_server_took_in_is_not_judged_by_its_client(mx: AtMx, source: Source) -> None:
    assert mx.refused(attached(), source=source) == "no-signature"


def test_listener_that_is_no_mx_asks_nobody(court: Court, zone: Zone) -> None:
    assert court.refused(attached(), peer=ALLOWED, mail_from=SENDER) == "no-signature"
    assert zone.asked == []


def test_tls_reports_need_a_signature(mx: AtMx) -> None:
    assert mx.refused(mail(SENDER, report(contact="tls@reporter.example"))) == "no-signature"


def test_aligned_signature_is_enough_and_spf_is_not_asked(mx: AtMx, zone: Zone) -> None:
    row = mx.accepted(mx.court.sign(attached(), "reporter.example"), peer=OTHER)
    assert (row.trust, row.dkim_domain) == ("dkim", "reporter.example")
    assert zone.asked == []


def test_signature_that_a_gateway_broke_does_not_matter(mx: AtMx) -> None:
    signed = mx.court.sign(attached(), "reporter.example").replace(b"Subject: Report", b"Subject:  Report", 1)
    broken = signed.replace(b"To: tlsrpt@", b"To: dmarc@", 1)
    assert mx.accepted(broken).trust == "spf"
    assert mx.refused(broken, peer=OTHER) == "invalid"


@pytest.mark.parametrize(
    "more",
    [
        {"subject": f"Fwd: Report Domain: {VICTIM} Submitter: reporter.example Report-ID: <1>"},
        {"fields": b"List-Id: <list.reporter.example>\r\n"},
        {"fields": b"In-Reply-To: <1@reporter.example>\r\n"},
    ],
)
def test_what_somebody_passes_on_is_not_his(mx: AtMx, more: dict[str, Any]) -> None:
    assert mx.refused(attached(**more)) == "unclear"


def test_spf_never_says_that_a_report_is_about_us(mx: AtMx) -> None:
    assert (
        mx.refused(attached(content=feedback(policy=POLICY.replace("example.com", "foreign.example"))))
        == "foreign-domain"
    )


def test_silent_dns_defers_and_at_last_quarantines(mx: AtMx, zone: Zone) -> None:
    zone.broken = {"reporter.example"}
    assert isinstance(mx(attached()), Deferred)
    long_ago = datetime.now(UTC) - timedelta(days=3)
    verdict = mx(attached(), received_at=long_ago)
    assert isinstance(verdict, Quarantined)
    assert verdict.reason == "dns-failure"
    assert "SPF of reporter.example for 192.0.2.10: temperror" in verdict.detail


def test_what_is_late_is_judged_again(
    court: Court, spf: SpfVerifier, zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer = threading.Event()
    zone.before_answering = lambda *_: may_answer.wait(10)  # type: ignore[assignment, return-value]
    monkeypatch.setattr("collector.ingest.judge._SPF_PATIENCE", 0.01)
    judge = _with(court.judge, spf)
    envelope = Envelope(source=Source.SMTP, received_at=datetime.now(UTC), peer=ALLOWED, mail_from=SENDER)
    (first,) = judge.judge([(envelope, attached())], now=datetime.now(UTC))
    assert isinstance(first, Deferred)
    assert "DNS has not yet answered" in first.detail
    may_answer.set()
    monkeypatch.setattr("collector.ingest.judge._SPF_PATIENCE", 10)
    (second,) = judge.judge([(envelope, attached())], now=datetime.now(UTC))
    assert not isinstance(second, Deferred | Quarantined)


@pytest.mark.slow
def test_many_mails_of_a_silent_domain_do_not_keep_others_waiting(mx: AtMx, zone: Zone) -> None:
    """They are more than may be under way for one organization, and more than one group of mails."""
    may_end = threading.Event()
    silent = [f"s{number}.silent.example" for number in range(60)]
    zone.before_answering = lambda name, _: may_end.wait(10) if name in silent else None  # type: ignore[assignment, return-value]
    now = datetime.now(UTC)

    def arrived(sender: str) -> tuple[Envelope, bytes]:
        envelope = Envelope(source=Source.SMTP, received_at=now, peer=ALLOWED, mail_from=sender)
        return envelope, attached(author=sender)

    verdicts = mx.court.judge.judge([*(arrived(f"a@{name}") for name in silent)], now=now, seconds=0)
    assert all(isinstance(verdict, Deferred) for verdict in verdicts)
    assert len({name for name, _ in zone.asked if name in silent}) <= SpfVerifier.IN_FLIGHT_OF_ONE
    assert mx.accepted(attached()).trust == "spf"
    may_end.set()


def test_mail_in_the_name_of_a_reporter_does_not_keep_the_reporter_waiting(mx: AtMx) -> None:
    now = datetime.now(UTC)
    forged = [
        Envelope(source=Source.SMTP, received_at=now, peer=OTHER, mail_from=f"x{number}@reporter.example")
        for number in range(40)
    ]
    genuine = Envelope(source=Source.SMTP, received_at=now, peer=ALLOWED, mail_from=SENDER)
    verdicts = mx.court.judge.judge([(envelope, attached()) for envelope in (*forged, genuine)], now=now)
    assert isinstance(verdicts[-1], Accepted)
    assert not any(isinstance(verdict, Accepted) for verdict in verdicts[:-1])


def test_same_question_is_asked_once(mx: AtMx, zone: Zone) -> None:
    for _ in range(3):
        mx.accepted(attached())
    assert len([name for name, _ in zone.asked if name == "reporter.example"]) == 1


def test_configuration_says_that_the_listener_is_the_mx() -> None:
    assert Config.model_validate({"domains": [{"name": "example.com"}], "smtp": {"mx": True}}).smtp.mx
    assert not Config.model_validate({"domains": [{"name": "example.com"}]}).smtp.mx
