"""Every receiver of alertmanager.yml delivers: real Alertmanager, and servers of ours at the other end.

The file is used as it is, but for the addresses of servers and the times. Alertmanager's working directory is another
folder than the configuration's, as in its image.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from alert_servers import alertmanager, post
from eventually import eventually
from pki import make_ca
from receivers import MAIL_USER, PROVISIONED, SECRETS, Mail, Receivers, listening_receivers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SECRETS_FOLDER = "/etc/alertmanager/secrets"
ANNOTATIONS = {
    "summary": "The certificate of shop.example is refused",
    "description": "40 of 100 sessions to shop.example met an expired certificate.",
    "runbook_url": "https://runbooks.example.com/TlsCertificateRejected.md",
    "dashboard_url": "https://grafana.example.com/d/mailposture-failures?var-domain=shop.example",
}
# Labels that the routes take to a receiver.
ROUTED = {
    "mail": {"severity": "info", "team": "mail"},
    "chat": {"severity": "warning", "team": "mail"},
    "page": {"severity": "critical", "team": "mail"},
    "page-web": {"severity": "critical", "team": "web"},
    "dead-mans-switch": {"severity": "none", "team": "mail", "alertname": "Watchdog"},
}
WAYS = {
    "mail": {"email"},
    "chat": {"slack", "alert-webhook.example.com"},
    "page": {"pagerduty", "slack", "alert-webhook.example.com", "email"},
    "page-web": {"pagerduty", "slack", "email"},
    "dead-mans-switch": {"dead-mans-switch.example.com"},
}
PAGERDUTY_KEYS = {"page": "pagerduty_key", "page-web": "pagerduty_key_web"}
TOKENS = {
    "alert-webhook.example.com": "webhook_token",
    "dead-mans-switch.example.com": "dead_mans_switch_token",
}


@dataclass(frozen=True, kw_only=True)
class Alerts:
    """A running Alertmanager, and what it has delivered."""

    url: str
    receivers: Receivers

    def send(self, receiver: str, **more: str) -> None:
        labels = {"alertname": "TlsCertificateRejected", "policy_domain": "shop.example", **ROUTED[receiver]}
        post(f"{self.url}/api/v2/alerts", [{"labels": labels, "annotations": ANNOTATIONS, **more}])

    def delivered(self) -> set[str]:
        mail = {"email"} if self.receivers.mails else set()
        return mail | {one.path.strip("/") for one in self.receivers.posts}

    def content(self, way: str, number: int = 0) -> Any:
        return self.receivers.posts_to(f"/{way}")[number].content


@pytest.fixture
def alerts(tmp_path: Path) -> Iterator[Alerts]:
    authority = make_ca(tmp_path)
    own = tmp_path / "configuration"
    shutil.copytree(PROVISIONED.parent / "templates", own / "templates")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with listening_receivers(authority) as receivers:
        receivers.fill_in(secrets)
        config = yaml.safe_dump(receivers.provisioned(group_wait="0s", group_interval="1s"))
        (own / "alertmanager.yml").write_text(config.replace(SECRETS_FOLDER, str(secrets)))
        trusting = {"SSL_CERT_FILE": str(authority.certificate)}
        with alertmanager(own / "alertmanager.yml", tmp_path, environment=trusting) as url:
            yield Alerts(url=url, receivers=receivers)


def test_no_receiver_is_left_out() -> None:
    config = yaml.safe_load(PROVISIONED.read_text())
    used = {
        receiver["name"]: {key.removesuffix("_configs") for key in receiver if key.endswith("_configs")}
        for receiver in config["receivers"]
    }
    tried = {name: {"webhook" if "." in way else way for way in ways} for name, ways in WAYS.items()}
    assert tried == used


@pytest.mark.parametrize("receiver", WAYS)
def test_a_receiver_delivers_in_each_of_its_ways_and_says_when_it_is_over(alerts: Alerts, receiver: str) -> None:
    alerts.send(receiver)
    eventually("deliveries", lambda: alerts.delivered() == WAYS[receiver])

    for way in WAYS[receiver]:
        check_first(alerts, way, receiver)

    alerts.receivers.posts.clear()
    alerts.receivers.mails.clear()
    alerts.send(receiver, endsAt="2026-01-01T00:00:00Z")
    if receiver != "dead-mans-switch":  # what does not come matters there
        eventually("ends", lambda: alerts.delivered() == WAYS[receiver])
        for way in WAYS[receiver]:
            check_end(alerts, way)


def check_first(alerts: Alerts, way: str, receiver: str) -> None:
    team = ROUTED[receiver]["team"]
    match way:
        case "email":
            check_mail(alerts.receivers.mails[0], team)
        case "slack":
            check_slack(alerts.content(way), team)
        case "pagerduty":
            check_pagerduty(alerts.content(way), SECRETS[PAGERDUTY_KEYS[receiver]].strip())
        case hook:
            post = alerts.receivers.posts_to(f"/{hook}")[0]
            assert post.authorization == f"Bearer {SECRETS[TOKENS[hook]].strip()}"
            assert post.content["version"] == "4"
            assert post.content["status"] == "firing"
            assert post.content["alerts"][0]["annotations"] == ANNOTATIONS


def check_end(alerts: Alerts, way: str) -> None:
    match way:
        case "email":
            assert alerts.receivers.mails[0].message["Subject"] == f"Resolved: {ANNOTATIONS['summary']}"
        case "slack":
            assert alerts.content(way)["attachments"][0]["color"] == "good"
        case "pagerduty":
            assert alerts.content(way)["event_action"] == "resolve"
        case _:
            assert alerts.content(way)["status"] == "resolved"


def check_mail(mail: Mail, team: str) -> None:
    assert (mail.encrypted, mail.user) == (True, MAIL_USER)
    assert mail.recipients == (f"{team}@example.com",)
    assert mail.message["From"] == MAIL_USER
    assert mail.message["Subject"] == ANNOTATIONS["summary"]
    body = mail.message.get_body(("plain",))
    assert body is not None
    assert ANNOTATIONS["description"] in body.get_content()
    assert f"Runbook: {ANNOTATIONS['runbook_url']}" in body.get_content()


def check_slack(content: Any, team: str) -> None:
    """An incoming webhook's message: a channel and attachments."""
    assert content["channel"] == f"#{team}"
    (attachment,) = content["attachments"]
    assert attachment["title"] == ANNOTATIONS["summary"]
    assert attachment["title_link"] == ANNOTATIONS["runbook_url"]
    assert ANNOTATIONS["description"] in attachment["text"]
    assert attachment["color"] == "danger"


def check_pagerduty(content: Any, key: str) -> None:
    """An event of PagerDuty's Events API v2: what it demands, and what a person sees of it."""
    assert content["routing_key"] == key
    assert content["event_action"] == "trigger"
    assert content["dedup_key"]
    assert content["payload"]["summary"] == ANNOTATIONS["summary"]
    assert content["payload"]["source"]
    assert content["payload"]["severity"] == "critical"
    assert ANNOTATIONS["description"] in content["payload"]["custom_details"]["what"]
    assert content["client"] == "mailposture"
    assert content["client_url"] == ANNOTATIONS["dashboard_url"]
    assert content["links"] == [{"href": ANNOTATIONS["runbook_url"], "text": "Runbook"}]
