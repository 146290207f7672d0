"""From the bytes of a signed report to the verdict about it, with a real name server in between."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from clock import REAL_TODAY

from collector.ingest.judge import Accepted, Deferred, Judge, Quarantined
from mailposture.config.domains import Domain
from mailposture.config.model import Config
from reports.envelope import Envelope, Source, Trust

if TYPE_CHECKING:
    from collector.dkim.keys import KeyCache
    from collector.dkim.verifier import DkimVerifier

KEY = "s1._domainkey.example.net"


@pytest.fixture
def judge(verifier: DkimVerifier) -> Judge:
    return Judge(Config(domains=(Domain(name="example.com"),)), verifier=verifier)


def _report(organization: str = "Example Net", contact: str = "tls-reports@example.net") -> bytes:
    yesterday = REAL_TODAY - timedelta(days=1)
    day = {"start-datetime": f"{yesterday}T00:00:00Z", "end-datetime": f"{yesterday}T23:59:59Z"}
    policy = {"policy-type": "sts", "policy-domain": "example.com"}
    summary = {"total-successful-session-count": 5, "total-failure-session-count": 0}
    report = {
        "organization-name": organization,
        "date-range": day,
        "contact-info": contact,
        "report-id": "1",
        "policies": [{"policy": policy, "summary": summary}],
    }
    attached = base64.encodebytes(gzip.compress(json.dumps(report).encode())).replace(b"\n", b"\r\n")
    return (
        b"From: TLS reports <tls-reports@example.net>\r\nTo: tlsrpt@example.com\r\n"
        b"Subject: Report Domain: example.com Submitter: example.net Report-ID: <1@example.net>\r\n"
        b"TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: example.net\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type="tlsrpt"; boundary="x"\r\n\r\n'
        b"--x\r\nContent-Type: text/plain\r\n\r\nA report.\r\n"
        b"--x\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"%b--x--\r\n" % attached
    )


def _judge(judge: Judge, mail: bytes, *, after: timedelta = timedelta()) -> Any:
    now = datetime.now(UTC)
    return judge.judge([(Envelope(source=Source.SMTP, received_at=now), mail)], now=now + after)[0]


@pytest.mark.parametrize("services", [b"", b"; s=tlsrpt", b"; s=*"])
def test_signed_report_is_believed_for_its_signature(
    judge: Judge, name_server: Any, rsa_key: Any, services: bytes
) -> None:
    name_server.records[KEY] = [rsa_key.record + services]
    verdict = _judge(judge, rsa_key.sign(_report()))
    assert isinstance(verdict, Accepted)
    (rows,) = verdict.reports
    assert (rows.report.trust, rows.report.dkim_domain) == (Trust.DKIM, "example.net")


def test_banner_of_a_gateway_means_quarantine_with_that_reason(judge: Judge, name_server: Any, rsa_key: Any) -> None:
    name_server.records[KEY] = [rsa_key.record]
    verdict = _judge(judge, rsa_key.sign(_report()).replace(b"A report.", b"EXTERNAL EMAIL! A report."))
    assert isinstance(verdict, Quarantined)
    assert verdict.reason == "invalid"
    assert "by a gateway that adds a banner" in verdict.detail


def test_key_for_other_mail_means_quarantine(judge: Judge, name_server: Any, rsa_key: Any) -> None:
    name_server.records[KEY] = [rsa_key.record + b"; s=email"]
    verdict = _judge(judge, rsa_key.sign(_report()))
    assert isinstance(verdict, Quarantined)
    assert "for 'email' only, not for such reports" in verdict.detail


def test_name_of_google_above_the_signature_of_another_is_a_caption(
    judge: Judge, name_server: Any, rsa_key: Any
) -> None:
    name_server.records[KEY] = [rsa_key.record]
    verdict = _judge(judge, rsa_key.sign(_report("Google Inc.", "smtp-tls-reporting@google.com")))
    assert isinstance(verdict, Accepted)
    report = verdict.reports[0].report
    assert (report.reporter, report.reporter_proven, report.organization) == ("example.net", True, "Google Inc.")


def test_author_at_google_with_the_signature_of_another_means_quarantine(
    judge: Judge, name_server: Any, rsa_key: Any
) -> None:
    name_server.records[KEY] = [rsa_key.record]
    verdict = _judge(judge, rsa_key.sign(_report().replace(b"<tls-reports@example.net>", b"<tls@google.com>")))
    assert isinstance(verdict, Quarantined)
    assert (verdict.reason, verdict.detail) == ("not-aligned", "the mail is signed by example.net")


def test_report_waits_for_dns_and_is_believed_when_it_answers(
    judge: Judge, keys: KeyCache, name_server: Any, rsa_key: Any
) -> None:
    keys.WITHOUT_ANSWER = 0.0
    name_server.records[KEY] = [rsa_key.record]
    name_server.failing.add(KEY)
    mail = rsa_key.sign(_report())
    assert isinstance(_judge(judge, mail), Deferred)
    assert isinstance(_judge(judge, mail, after=timedelta(days=3)), Quarantined)
    name_server.failing.clear()
    assert isinstance(_judge(judge, mail), Accepted)
