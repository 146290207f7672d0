"""What an attacker may put wherever a report has room for text, and the reports and mails that carry it.

Every hostile text has a harmless twin: whatever the twin's report changes in a number, a label or a row, the hostile
one must change too, and nothing else.
"""

from __future__ import annotations

import gzip
import json
from email.message import EmailMessage
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

HOSTILE = (
    "quotes \" and ' and `",
    "back\\slash\\\" \\' \\",
    "line\nbreak\r\n# TYPE evil gauge\nevil 1",
    'label"} 1\nevil{policy_domain="calm.example',
    "'; DROP TABLE tls_reports; --",
    "') OR 1=1 UNION ALL SELECT 1 -- ",
    "{database:Identifier} {domain:String} %(domain)s %s %n",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "[click](javascript:alert(1)) ![x](https://evil.example/)",
    "\x1b[2J\x1b]0;title\x07\x9b31mred\x1b]8;;file:///etc/passwd\x07",
    "$__all $__timeFilter(day) $__conditionalAll(1, $domain)",
    '${domain} ${__data.fields["Domain"]} ${sender:raw}',
    '{{ $labels.policy_domain }} {{ template "mailposture.title" . }}',
    "\u202egnp.exe\u2066 zero\u200bwidth\ufeff",
    "nul\x00byte\x7f\x85\u2028end",
    "[red]markup[/red] [link=file:///etc/passwd]x[/link]",
    "x&var-domain=calm.example&from=0#\r\nSet-Cookie: a=b",
    "$(reboot) `reboot` ; reboot | reboot -oProxyCommand=reboot",
)
PLAIN = tuple(f"plain words {number}" for number in range(len(HOSTILE)))


def reports(domain: str, words: tuple[str, ...], *, first: date, last: date) -> Iterator[bytes]:
    """Two reports of each sender: about a first day without failures, and about a last day with some."""
    for number, text in enumerate(words):
        yield _report(text, first, [_policy(text, domain, "sts", successful=50, failures={})])
        failures = {"starttls-not-supported": 20, text: 10 + number}
        yield _report(
            text,
            last,
            [
                _policy(text, domain, "sts", successful=10 + number, failures=failures),
                _policy(text, domain, text, successful=0, failures={text: 3}),
                _policy(text, text, "sts", successful=0, failures={"certificate-expired": 7}),
            ],
        )


def mails(domain: str, day: date) -> Iterator[bytes]:
    """Unauthenticated mails: of each text a readable report, and an attachment that is none."""
    for text in HOSTILE:
        (report, *_) = reports(domain, (text,), first=day, last=day)
        for name, content in (("report", gzip.compress(report)), ("broken", gzip.compress(report)[:-9])):
            yield _mail(text, domain, f"{name} {text}.json.gz", content)


def reporter_of(text: str) -> str:
    """The domain that reports as this text; whatever the text is, it is one of its own."""
    return f"sender-{sha256(text.encode()).hexdigest()[:8]}.example"


def _report(text: str, day: date, policies: list[dict[str, Any]]) -> bytes:
    report = {
        "organization-name": text,
        "contact-info": f"tls@{reporter_of(text)} {text}",
        "report-id": text,
        "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
        "policies": policies,
    }
    return json.dumps(report, ensure_ascii=False).encode()


def _policy(text: str, domain: str, type_: str, *, successful: int, failures: dict[str, int]) -> dict[str, Any]:
    return {
        "policy": {
            "policy-type": type_,
            "policy-string": ["version: STSv1", "mode: enforce", text],
            "policy-domain": domain,
            "mx-host": [text],
        },
        "summary": {
            "total-successful-session-count": successful,
            "total-failure-session-count": sum(failures.values()),
        },
        "failure-details": [
            {
                "result-type": result_type,
                "sending-mta-ip": "198.51.100.1",
                "receiving-mx-hostname": text,
                "receiving-mx-helo": text,
                "receiving-ip": text,
                "failed-session-count": sessions,
                "failure-reason-code": text,
                "additional-information": text,
            }
            for result_type, sessions in failures.items()
        ],
    }


def _mail(text: str, domain: str, filename: str, content: bytes) -> bytes:
    """A mail whose header fields carry the text as raw bytes, as no honest program would write it."""
    mail = EmailMessage()
    mail["To"] = f"tlsrpt@{domain}"
    mail["From"] = "FROM"
    mail["Subject"] = "SUBJECT"
    mail["TLS-Report-Submitter"] = "SUBMITTER"
    mail.set_content("A report.")
    mail.add_attachment(content, maintype="application", subtype="tlsrpt+gzip", filename="FILENAME")
    raw = " ".join(text.split("\n")).encode()
    quoted = " ".join(filename.split("\n")).replace("\\", "\\\\").replace('"', '\\"').encode()
    return (
        mail.as_bytes()
        .replace(b"From: FROM", b'From: "' + raw.replace(b'"', b"") + b'" <' + raw + b"@evil.example>")
        .replace(b"SUBJECT", b"Report Domain: " + raw)
        .replace(b"SUBMITTER", raw)
        .replace(b'"FILENAME"', b'"' + quoted + b'"')
    )
