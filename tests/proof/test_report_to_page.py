"""From failing sessions to a page and back, with every program that takes part in it for real.

Postfix's datagrams → sys4's tlsrpt-reporter → Postfix with OpenDKIM, and curl → our receiver → ingest → ClickHouse →
exporter → Prometheus with our rules → Alertmanager with our routes → a webhook. The keys come from a DNS server on
loopback. Only the reporter's clock and the rules' waiting times are changed.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from alert_servers import get
from clock import REAL_TODAY
from eventually import eventually
from loopback_dns import Zone, serving
from paging import Webhook, evaluation_faults, listening_webhook, provisioned_alertmanager, provisioned_prometheus
from pki import make_ca
from ports import free_port
from postfix import NEEDED, running_postfix
from programs import needs
from proof.house import House, running_house, settings
from proof.reporter import CERTIFICATE_EXPIRED, DOMAIN, ORGANIZATION, Reporter
from proof.signing import report_key, signing_milter, zone

from mailposture.expectation import expectation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from postfix import Postfix

pytestmark = [
    pytest.mark.slow,
    *NEEDED,
    needs("libfaketime.so.1", "opendkim", "prometheus", "prometheus-alertmanager"),
]

OURS, QUIET = "shop.example", "quiet.example"
MX = "mx1.shop.example"
PATIENCE = 180.0
EXPIRED = {
    "c": CERTIFICATE_EXPIRED,
    "s": "192.0.2.25",
    "n": MX,
    "h": f"{MX}\nPIPELINING\nSTARTTLS",
    "r": "198.51.100.7",
    "f": "certificate has expired",
}


@dataclass(frozen=True, kw_only=True)
class Journey:
    """All that runs between a sender and the one on call."""

    reporter: Reporter
    postfix: Postfix
    house: House
    webhook: Webhook
    prometheus: str

    def firing(self) -> set[tuple[str, str]]:
        """Alerts about domains that page now, by name and domain, as Prometheus says."""
        alerts = get(f"{self.prometheus}/api/v1/alerts")["data"]["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"]["policy_domain"])
            for alert in alerts
            if alert["state"] == "firing" and alert["labels"]["severity"] == "critical"
            if "policy_domain" in alert["labels"]
        }

    def reported(self, day: date) -> list[dict[str, Any]]:
        """Our reports about a day."""
        return self.house.ask(
            "SELECT organization, trust, dkim_domain, report_id, policy_domains, successful_sessions, failed_sessions,"
            f" warnings FROM tls_report_log WHERE day = '{day}' ORDER BY policy_domains"
        )


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening_webhook() as hook:
        yield hook


@pytest.fixture
def journey(webhook: Webhook, tmp_path: Path) -> Iterator[Journey]:
    """Everything, two days ago at noon by the reporter's clock."""
    key = report_key(DOMAIN)
    authority = make_ca(tmp_path)
    certificate = authority.issue(["localhost"])
    with contextlib.ExitStack() as stack:
        nameserver = stack.enter_context(serving(Zone(zone(key))))
        https = free_port()
        configuration = settings(
            domains=[
                {"name": OURS, "team": "web", "token": "secret-path-of-the-shop", "mx": [MX]},
                {"name": QUIET, "team": "web"},
            ],
            https={
                "listen": f"127.0.0.1:{https}",
                "public_url": f"https://localhost:{https}",
                "tls": {"certificate": str(certificate.certificate), "key": str(certificate.key)},
            },
            authentication={"nameservers": [f"127.0.0.1@{nameserver}"]},
        )
        house = stack.enter_context(running_house(tmp_path, configuration))
        milter = stack.enter_context(signing_milter(tmp_path, key))
        assert house.config.smtp.listen
        ours = f"smtp:[127.0.0.1]:{house.config.smtp.listen.port}"
        postfix = stack.enter_context(
            running_postfix(
                transports={OURS: ours, QUIET: ours},
                settings={"myhostname": f"mail.{DOMAIN}", "non_smtpd_milters": milter},
            )
        )
        pager = stack.enter_context(provisioned_alertmanager(tmp_path, webhook))
        targets = {
            "mailposture-collector": str(house.config.metrics.collector),
            "mailposture-exporter": str(house.config.metrics.exporter),
        }
        prometheus = stack.enter_context(provisioned_prometheus(tmp_path, pager=pager, targets=targets))
        folder = tmp_path / "reporter"
        folder.mkdir()
        reporter = Reporter(folder=folder, trusted=authority.certificate)
        reporter.turn_clock(REAL_TODAY - timedelta(days=2))
        stack.enter_context(reporter.running(postfix=postfix.folder))
        yield Journey(reporter=reporter, postfix=postfix, house=house, webhook=webhook, prometheus=prometheus)


def test_an_expired_certificate_pages_for_its_domain_and_a_clean_report_ends_the_page(journey: Journey) -> None:
    reporter, house, webhook = journey.reporter, journey.house, journey.webhook
    shop, quiet = house.config.domains
    records = {domain.name: str(expectation(house.config, domain).records[0].value) for domain in (shop, quiet)}
    yesterday = REAL_TODAY - timedelta(days=1)
    the_day_before = yesterday - timedelta(days=1)

    for domain in (OURS, QUIET):
        house.make_known(domain, [DOMAIN], "dkim")

    # The certificate of one receiving server has expired.
    reporter.saw(OURS, records[OURS], successful=30, failures=[EXPIRED] * 25)
    reporter.saw(QUIET, records[QUIET], successful=20, failures=[])
    reporter.turn_clock(yesterday)
    page = eventually("the page", lambda: webhook.page("TlsCertificateRejected", "firing"), within=PATIENCE)
    refused = eventually("the other page", lambda: webhook.page("MtaStsMailRefused", "firing"), within=PATIENCE)

    labels = {"policy_domain": OURS, "severity": "critical", "team": "web"}
    assert page["commonLabels"] == {"alertname": "TlsCertificateRejected", **labels}
    assert page["receiver"] == "page-web"
    assert page["commonAnnotations"]["summary"] == f"Senders reject the TLS certificate of a mail server of {OURS}"
    assert page["commonAnnotations"]["runbook_url"].endswith("/alerting-rules/runbooks/TlsCertificateRejected.md")
    assert refused["commonLabels"] == {"alertname": "MtaStsMailRefused", **labels}
    assert refused["commonAnnotations"]["runbook_url"].endswith("/alerting-rules/runbooks/MtaStsMailRefused.md")

    # Our record asks for reports by mail and by HTTPS. The reporter sent both, and they are one report.
    received = 'mailposture_received_total{source="%s"}'
    eventually("both mails", lambda: house.metric(received % "smtp") == 2, within=PATIENCE)
    eventually("the post", lambda: house.metric(received % "https") == 1, within=PATIENCE)
    stored = ("token", "dkim")
    eventually("both ways' rows", lambda: [_stored(house, trust) for trust in stored] == [1, 2], within=PATIENCE)
    destinations = {"mailto:tlsrpt@shop.example", "mailto:tlsrpt@quiet.example", _post(records[OURS])}
    eventually("the reporter to know", lambda: reporter.sent(the_day_before) == destinations, within=PATIENCE)
    about_quiet, about_shop = journey.reported(the_day_before)
    assert about_shop == {
        "organization": ORGANIZATION,
        "trust": "dkim",
        "dkim_domain": DOMAIN,
        "report_id": f"{the_day_before}T00:00:00Z_idx1_{OURS}",
        "policy_domains": [OURS],
        "successful_sessions": 30,
        "failed_sessions": 25,
        "warnings": [],
    }
    assert (about_quiet["policy_domains"], about_quiet["failed_sessions"]) == ([QUIET], 0)
    (detail,) = house.ask("SELECT * FROM tls_failure_details")
    assert detail["result_type"] == "certificate-expired"
    assert detail["receiving_mx"] == detail["receiving_mx_helo"] == MX
    assert (detail["sending_mta_ip"], detail["receiving_ip"]) == ("192.0.2.25", "198.51.100.7")
    assert detail["reason_code"] == "certificate has expired"
    assert detail["failed_sessions"] == 25

    # The certificate was renewed.
    before = {("TlsCertificateRejected", OURS), ("MtaStsMailRefused", OURS)}
    eventually("both to fire still", lambda: journey.firing() == before, within=PATIENCE)
    reporter.saw(OURS, records[OURS], successful=40, failures=[])
    reporter.turn_clock(REAL_TODAY)
    eventually("the clean report", lambda: journey.reported(yesterday), within=PATIENCE)
    eventually("nothing to fire", lambda: not journey.firing(), within=PATIENCE)
    eventually("the end of the page", lambda: webhook.page("TlsCertificateRejected", "resolved"), within=PATIENCE)
    eventually("the end of the other", lambda: webhook.page("MtaStsMailRefused", "resolved"), within=PATIENCE)
    (clean,) = journey.reported(yesterday)
    assert (clean["successful_sessions"], clean["failed_sessions"], clean["dkim_domain"]) == (40, 0, DOMAIN)
    assert json.loads(house.command("summary", "--format", "json"))[0]["policy_domain"] == OURS

    pages = [note for note in webhook.notifications if note["receiver"].startswith("page")]
    assert {note["commonLabels"].get("policy_domain") for note in pages} - {None} == {OURS}
    assert evaluation_faults(journey.prometheus) == []


def _stored(house: House, trust: str) -> float:
    return house.metric(f'mailposture_reports_stored_total{{kind="tls",trust="{trust}"}}')


def _post(record: str) -> str:
    """The destination by HTTPS in a TLSRPT record."""
    return record.rpartition(",")[2]
