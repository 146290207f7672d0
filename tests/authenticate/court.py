"""A judge with keys in a real DNS, signers, and reports as mails, for tests of what is believed."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from collector.ingest.judge import Accepted, Judge, Judgement, Quarantined, Rejected
from mailposture.config.model import Config
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collector.dkim.verifier import DkimVerifier
    from reports.tls.rows import ReportRow

VICTIM = "victim.example"
DAY = "2024-03-01"  # long past, whenever the tests run
GOOGLE = (  # what Google signs in its TLS reports (public samples of 2023 and 2024): no Content-Type
    *(b"to", b"from", b"subject", b"message-id", b"tls-report-submitter", b"tls-report-domain", b"date"),
    *(b"mime-version", b"from", b"to", b"cc", b"subject", b"date", b"message-id", b"reply-to"),
)
EVERYTHING = (
    *(b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type"),
    *(b"content-transfer-encoding", b"tls-report-domain", b"tls-report-submitter"),
)
WITHOUT_REPORT_FIELDS = EVERYTHING[:-2]


@dataclass(frozen=True)
class Court:
    """Judges mails that signers of any domain have signed, all with one key."""

    judge: Judge
    key: Any
    name_server: Any

    def sign(self, mail: bytes, domain: str, fields: tuple[bytes, ...] = EVERYTHING, **more: Any) -> bytes:
        self.name_server.records[f"s1._domainkey.{domain}"] = [self.key.record]
        signed: bytes = self.key.sign(mail, domain=domain, fields=list(fields), **more)
        return signed

    def __call__(self, mail: bytes, *, source: Source = Source.SMTP, **known: Any) -> Judgement:
        now = datetime.now(UTC)
        envelope = Envelope(**{"source": source, "received_at": now, "recipients": (f"tlsrpt@{VICTIM}",), **known})
        return self.judge.judge([(envelope, mail)], now=now)[0]

    def accepted(self, mail: bytes, **known: Any) -> ReportRow:
        """The row of the one report that the mail was believed to be."""
        verdict = self(mail, **known)
        assert isinstance(verdict, Accepted), verdict
        (rows,) = verdict.reports
        return rows.report

    def refused(self, mail: bytes, **known: Any) -> str:
        """Why it was not believed: a bounded reason."""
        verdict = self(mail, **known)
        assert isinstance(verdict, Quarantined | Rejected), verdict
        return (verdict.reason if isinstance(verdict, Quarantined) else verdict.fault.reason).value


def court_of(verifier: DkimVerifier, name_server: Any, key: Any, *domains: str) -> Court:
    names = domains or (VICTIM, "other.example")
    config = Config.model_validate({"domains": [{"name": name} for name in names]})
    config = config.model_copy(
        update={"clickhouse": config.clickhouse.model_copy(update={"retention": timedelta(9999)})}
    )
    return Court(Judge(config, verifier=verifier), key, name_server)


def report(
    domain: str | None = VICTIM, *, organization: str = "Reporter Inc.", contact: str = "", **more: Any
) -> bytes:
    """A report as JSON; without a domain its policy names none."""
    policy = {"policy-type": "sts" if domain else "no-policy-found", **({"policy-domain": domain} if domain else {})}
    summary = {"total-successful-session-count": 0, "total-failure-session-count": 5}
    return json.dumps(
        {
            "organization-name": organization,
            "date-range": {"start-datetime": f"{DAY}T00:00:00Z", "end-datetime": f"{DAY}T23:59:59Z"},
            "contact-info": contact or "tls@reporter.example",
            "report-id": f"{DAY}_{domain}",
            "policies": [{"policy": policy, "summary": summary}],
            **more,
        }
    ).encode()


def field_lines(**fields: str) -> bytes:
    """`Content_Type="text/plain"` as a header field, and so on."""
    return b"".join(f"{name.replace('_', '-')}: {value}\r\n".encode() for name, value in fields.items())


def mail(
    author: str,
    content: bytes,
    *,
    fields: bytes = b"",
    media_type: str = "application/tlsrpt+json",
    name: str = f"reporter.example!{VICTIM}!1!2.json",
    top: str = 'multipart/report; report-type=tlsrpt; boundary="b0"',
    subject: str = f"Report Domain: {VICTIM} Submitter: reporter.example Report-ID: <1@reporter.example>",
) -> bytes:
    """A report as RFC 8460 wants it mailed, unsigned."""
    head = field_lines(From=author, To=f"tlsrpt@{VICTIM}", Subject=subject, MIME_Version="1.0", Content_Type=top)
    return head + fields + b"\r\n" + body(content, media_type=media_type, name=name)


def body(
    content: bytes, *, media_type: str = "application/tlsrpt+json", name: str = "", boundary: bytes = b"b0"
) -> bytes:
    """A text, then the report in base64."""
    encoded = base64.encodebytes(content).strip().replace(b"\n", b"\r\n")
    named = f'; name="{name}"' if name else ""
    return (
        b"--%b\r\nContent-Type: text/plain\r\n\r\nThis is an aggregate TLS report.\r\n" % boundary
        + b"--%b\r\nContent-Type: %b\r\n" % (boundary, f"{media_type}{named}".encode())
        + b"Content-Transfer-Encoding: base64\r\n\r\n%b\r\n--%b--\r\n" % (encoded, boundary)
    )
