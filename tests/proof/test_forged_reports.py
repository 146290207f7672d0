"""Reports that anybody signs with his own domain, or posts to the path in our public record, through the whole product.

They begin no alert, end none, and are nobody else's: the page of the exporter, which all alerts about reports are made
from, stays the same but for the number of newcomers and posters.
"""

from __future__ import annotations

import base64
import json
import re
import smtplib
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import dkim
import pytest
from clock import REAL_TODAY
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from eventually import eventually
from loopback_dns import Zone, serving
from prometheus_client.parser import text_string_to_metric_families
from proof.house import House, running_house, settings
from proof.signing import report_key, zone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.keys import SigningKey

pytestmark = pytest.mark.slow

VICTIM, QUIET, ALONE = "victim.example", "quiet.example", "alone.example"
OURS = (VICTIM, QUIET, ALONE)
HONEST = {
    "Yahoo": "yahooinc.example",
    "Comcast": "comcast.example",
    "Seznam": "seznam.example",
    "Fastmail": "fastmail.example",
    "Zoho": "zoho.example",
}
EVIL = "evil.example"
HUGE = 10**12
SIGNED = (b"from", b"to", b"subject", b"date", b"mime-version", b"content-type")


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """What runs, and everybody who mails to it."""

    house: House
    keys: dict[str, SigningKey]

    def mail(self, author: str, content: bytes) -> None:
        """By SMTP, signed by the domain of its author."""
        key, listen = self.keys[author], self.house.config.smtp.listen
        assert listen
        head = (
            f"From: tls@{author}\r\nTo: tlsrpt@{VICTIM}\r\nSubject: Report\r\n"
            f"Date: {format_datetime(datetime.now(UTC))}\r\n"
            'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=tlsrpt; boundary="b0"\r\n\r\n'
            "--b0\r\nContent-Type: application/tlsrpt+json\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        ).encode()
        mail = head + base64.encodebytes(content).replace(b"\n", b"\r\n") + b"--b0--\r\n"
        private = key.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        signature = dkim.sign(mail, key.selector.encode(), author.encode(), private, include_headers=SIGNED)
        with smtplib.SMTP(listen.host, listen.port, timeout=60) as client:
            client.sendmail(f"bounce@{author}", [f"tlsrpt@{VICTIM}"], signature + mail)

    def post(self, domain: str, content: bytes) -> None:
        """By HTTPS, to the path in the public record."""
        record = self.house.command("records", domain).decode()
        found = re.search(r"/v1/tls-reports/[^\s\",;]+", record)
        assert found, record
        url = f"http://{self.house.config.https.listen}{found[0]}"
        with urllib.request.urlopen(urllib.request.Request(url, data=content), timeout=60) as answer:
            assert answer.status == 201

    def stored(self) -> set[tuple[str, bool, str, str]]:
        """Reporter, whether proven, trust and what it calls itself, of every report."""
        rows = self.house.ask("SELECT reporter, reporter_proven, trust, organization FROM tls_report_log")
        return {tuple(row.values()) for row in rows}

    def gauges(self) -> dict[str, float]:
        """What the exporter has seen about our domains at a moment after this call began."""
        return {
            f"{sample.name} {' '.join(sample.labels.values())}": sample.value
            for family in text_string_to_metric_families(self.house.renewed())
            for sample in family.samples
            if sample.labels.get("policy_domain") in OURS
        }


def report(domain: str, organization: str, contact: str, *, day: int, ok: int = 0, failed: int = 0) -> bytes:
    """About `day` days ago."""
    date = REAL_TODAY - timedelta(days=day)
    policy: dict[str, Any] = {
        "policy": {"policy-type": "no-policy-found", "policy-domain": domain},
        "summary": {"total-successful-session-count": ok, "total-failure-session-count": failed},
    }
    if failed:
        detail = {"result-type": "starttls-not-supported", "receiving-mx-hostname": f"mx1.{domain}"}
        policy["failure-details"] = [{**detail, "failed-session-count": failed}]
    return json.dumps(
        {
            "organization-name": organization,
            "contact-info": f"tls@{contact}",
            "report-id": f"{date}_{domain}",
            "date-range": {"start-datetime": f"{date}T00:00:00Z", "end-datetime": f"{date}T23:59:59Z"},
            "policies": [policy],
        }
    ).encode()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """Five reporters that are long known have seen nothing wrong, but for one: an outage of QUIET."""
    keys = {domain: report_key(domain) for domain in (*HONEST.values(), EVIL)}
    with serving(Zone("".join(map(zone, keys.values())))) as nameserver:
        configuration = settings(
            domains=[
                {"name": name, "token": f"secret-path-{position}-of-ours", "thresholds": {"minimum_sessions": 20}}
                for position, name in enumerate(OURS)
            ],
            https={"public_url": "https://reports.victim.example"},
            authentication={"nameservers": [f"127.0.0.1@{nameserver}"]},
        )
        with running_house(tmp_path_factory.mktemp("forged-reports"), configuration) as house:
            attacked = Attacked(house=house, keys=keys)
            house.make_known(VICTIM, HONEST.values(), "dkim")
            house.make_known(QUIET, [HONEST["Comcast"]], "dkim")
            for organization, domain in HONEST.items():
                for day in range(2 if organization == "Yahoo" else 1, 7):
                    attacked.mail(domain, report(VICTIM, organization, domain, day=day, ok=1000))
            attacked.mail(HONEST["Comcast"], report(QUIET, "Comcast", HONEST["Comcast"], day=2, ok=500, failed=500))
            eventually("all honest reports", lambda: _count(house, "dkim") == 30)
            yield attacked


def _count(house: House, trust: str) -> float:
    return house.metric(f'mailposture_reports_stored_total{{kind="tls",trust="{trust}"}}')


def test_one_mail_under_anothers_name_neither_begins_nor_ends_an_alert(attacked: Attacked) -> None:
    before, stored = attacked.gauges(), _count(attacked.house, "dkim")
    assert before[f"tlsrpt_sessions {VICTIM} successful"] == 5000
    assert before[f"tlsrpt_sessions {QUIET} failed"] == 500
    assert before[f"tlsrpt_sessions {VICTIM} failed"] == 0

    attacked.mail(EVIL, report(VICTIM, "Yahoo", EVIL, day=1, failed=50))  # which would be a likely downgrade
    attacked.mail(EVIL, report(QUIET, "Comcast", HONEST["Comcast"], day=1, ok=1))
    attacked.mail(EVIL, report(ALONE, "Evil Ltd", EVIL, day=1, failed=HUGE))
    attacked.mail(EVIL, report(ALONE, "Evil Ltd", EVIL, day=2, ok=HUGE))
    eventually("all of them", lambda: _count(attacked.house, "dkim") == stored + 4)

    after = attacked.gauges()
    for domain in OURS:
        assert after.pop(f"tlsrpt_reporters {domain} newcomer no") == 1
        before.pop(f"tlsrpt_reporters {domain} newcomer no", None)
    assert {name: value for name, value in after.items() if value != before.get(name, 0)} == {}
    names = {name for reporter, _, _, name in attacked.stored() if reporter == EVIL}
    assert names == {"Yahoo", "Comcast", "Evil Ltd"}
    assert {name for reporter, _, _, name in attacked.stored() if reporter == "yahooinc.example"} == {"Yahoo"}


def test_a_post_to_the_path_in_the_public_record_neither_begins_nor_ends_an_alert(attacked: Attacked) -> None:
    before = attacked.gauges()
    comcast = HONEST["Comcast"]
    attacked.post(VICTIM, report(VICTIM, "Yahoo", HONEST["Yahoo"], day=1, failed=4242))
    attacked.post(QUIET, report(QUIET, "Comcast", comcast, day=1, ok=HUGE))
    attacked.post(ALONE, report(ALONE, "Google Inc.", "google.com", day=1, failed=HUGE))
    attacked.post(ALONE, report(ALONE, "Microsoft Corporation", "microsoft.com", day=1, failed=HUGE))
    eventually("all of them", lambda: _count(attacked.house, "token") == 4)

    after = attacked.gauges()
    for domain, posters in ((VICTIM, 1), (QUIET, 1), (ALONE, 2)):
        assert after.pop(f"tlsrpt_reporters {domain} post no") == posters
    assert {name: value for name, value in after.items() if value != before.get(name, 0)} == {}
    assert (comcast, True, "dkim", "Comcast") in attacked.stored()
    posted = {(reporter, proven) for reporter, proven, trust, _ in attacked.stored() if trust == "token"}
    assert posted == {(HONEST["Yahoo"], False), (comcast, False), ("google.com", False), ("microsoft.com", False)}


def test_a_copy_that_anybody_signs_or_posts_takes_nothing_away(attacked: Attacked) -> None:
    before, rows = attacked.gauges(), attacked.stored()
    outage = report(QUIET, "Comcast", HONEST["Comcast"], day=2, ok=500, failed=500)
    stored = _count(attacked.house, "dkim")
    attacked.post(QUIET, outage)
    attacked.mail(EVIL, outage)
    eventually("the signed copy", lambda: _count(attacked.house, "dkim") == stored + 1)

    after = attacked.gauges()
    assert {
        name: value for name, value in after.items() if value != before.get(name, 0) and "reporters" not in name
    } == {}
    assert attacked.stored() - rows == set()
    sessions = "SELECT sum(failed_sessions) AS failed FROM tls_sender_daily WHERE policy_domain = 'quiet.example'"
    assert attacked.house.ask(f"{sessions} AND reporter = 'comcast.example'") == [{"failed": 500}]


def test_the_path_of_one_domain_proves_nothing_about_another(attacked: Attacked) -> None:
    rows = attacked.stored()
    attacked.post(VICTIM, report(QUIET, "Comcast", HONEST["Comcast"], day=3, ok=1))
    held = 'mailposture_held_messages{state="quarantined"}'
    eventually("it in quarantine", lambda: attacked.house.metric(held) == 1)
    assert attacked.stored() == rows
