"""docs/compose.md from the top, on a real Docker engine: the tests run in this order, on one stack.

Only waiting times are changed: of the rules, of Prometheus, Alertmanager and the exporter. Signed reports come from a
sender whose key a name server of ours publishes; pages go to servers of ours. Both listen where containers reach this
machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import smtplib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dkim
import pytest
import yaml
from clock import REAL_TODAY
from compose.running_stack import GRAFANA, RunningStack, docker_fault, images
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from loopback_dns import Zone, serving
from pki import make_ca
from programs import program
from proof.signing import report_key, zone
from receivers import MAIL_USER, SECRETS, Mail, Receivers, listening_receivers

from mailposture.records.tls_rpt import REPORT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.keys import SigningKey

ROOT = Path(__file__).parents[2]
FAULT = docker_fault(ROOT)
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.skipif(bool(FAULT), reason=FAULT)]

DOMAIN, SENDER, TOKEN = "example.com", "sender.example", "a-secret-path-of-example-com"
PARKED = "parked.example"
REPORTS_HOST, POLICY_HOST = "reports.example.com", "mta-sts.example.com"
YESTERDAY = REAL_TODAY - timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """The stack, and what is around it."""

    stack: RunningStack
    receivers: Receivers
    key: SigningKey
    happened: list[tuple[str, str]]  # while it started

    def mail(self, report_id: str, *, signed: bool = True) -> bytes:
        """A mail with a report about our domain, as RFC 8460, section 5.3 wants it."""
        mail = EmailMessage()
        mail["From"] = f"noreply@{SENDER}"
        mail["To"] = f"tlsrpt@{DOMAIN}"
        mail["Subject"] = f"Report Domain: {DOMAIN} Submitter: {SENDER} Report-ID: <{report_id}@{SENDER}>"
        mail["TLS-Report-Domain"] = DOMAIN
        mail["TLS-Report-Submitter"] = SENDER
        mail["Message-ID"] = f"<{report_id}@{SENDER}>"
        mail["Date"] = datetime.now(UTC)
        mail.set_content("A TLS report.")
        mail.make_mixed()
        mail.set_param("report-type", "tlsrpt")
        mail.replace_header("Content-Type", 'multipart/report; report-type="tlsrpt"; boundary="=-report"')
        mail.add_attachment(report(report_id).encode(), "application", "tlsrpt+json", cte="base64")
        text = re.sub(rb"\r?\n", b"\r\n", bytes(mail))
        if not signed:
            return text
        private = self.key.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return bytes(dkim.sign(text, self.key.selector.encode(), SENDER.encode(), private)) + text

    def send(self, mail: bytes, *, lmtp: bool = False) -> None:
        """Hand a mail over; fails unless it is accepted."""
        host, port = self.stack.port("collector", 2424 if lmtp else 2525)
        with (smtplib.LMTP if lmtp else smtplib.SMTP)(host, port) as client:
            assert client.sendmail(f"noreply@{SENDER}", [f"tlsrpt@{DOMAIN}"], mail) == {}

    def curl(self, host: str, path: str, *options: str) -> str:
        """What curl prints, which trusts Caddy's own authority only."""
        authority = self.stack.folder / "authority.pem"
        if not authority.exists():
            root = self.stack.compose("exec", "-T", "caddy", "cat", "/data/caddy/pki/authorities/local/root.crt")
            authority.write_text(root)
        address, port = self.stack.port("caddy", 443)
        return self.stack.run(
            *(program("curl"), "--silent", "--show-error", "--max-time", "30", "--cacert", str(authority)),
            *("--resolve", f"{host}:{port}:{address}", *options, f"https://{host}:{port}{path}"),
        )


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    stack = RunningStack.copied(ROOT, tmp_path_factory.mktemp("stack"))
    key = report_key(SENDER)
    with contextlib.ExitStack() as around:
        around.callback(stack.remove)
        stack.build()
        stack.compose("up", "--no-start", "--build")
        here = stack.gateway()
        port = around.enter_context(serving(Zone(zone(key)), address=here))
        authority = make_ca(tmp_path_factory.mktemp("authority"))
        receivers = around.enter_context(listening_receivers(authority, host=here, listen=here))
        shutil.copy(authority.certificate, stack.folder / "secrets/alertmanager/authority.pem")
        (stack.folder / "secrets/alertmanager/authority.pem").chmod(0o644)
        configure(stack, nameserver=f"{here}@{port}")
        with stack.watched() as happened:
            stack.compose("up", "--detach", "--wait", within=300)
        yield Walk(stack=stack, receivers=receivers, key=key, happened=happened)


def configure(stack: RunningStack, *, nameserver: str) -> None:
    """Put in what a user would, and shorten the times."""
    path = stack.configuration
    settings = yaml.safe_load(path.read_text())
    settings["domains"][0] |= {"token": TOKEN}
    settings["metrics"] |= {"refresh": "1s"}
    settings["authentication"] = {"nameservers": [nameserver]}
    settings["probes"] = {"nameservers": [nameserver]}
    path.write_text(yaml.safe_dump(settings))

    for rules in (stack.folder / "alerting-rules").glob("*.yml"):
        times = re.compile(r"^( +(?:for|keep_firing_for|interval)): \d+[mhd]$", re.MULTILINE)
        rules.write_text(times.sub(r"\1: 1s", rules.read_text()))
    own = stack.folder / "docker/prometheus.local.yaml"
    prometheus = yaml.safe_load((stack.folder / "provisioning/prometheus/prometheus.yml").read_text())
    prometheus["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    for job in prometheus["scrape_configs"]:
        job.pop("scrape_timeout", None)
    own.write_text(yaml.safe_dump(prometheus))
    stack.set("PROMETHEUS_YAML", "./docker/prometheus.local.yaml")


def report(report_id: str) -> str:
    """A report of a sender about yesterday, without failures."""
    policy = {
        "policy": {"policy-type": "sts", "policy-domain": DOMAIN},
        "summary": {"total-successful-session-count": 100, "total-failure-session-count": 0},
    }
    return json.dumps(
        {
            "organization-name": "Sender",
            "date-range": {"start-datetime": f"{YESTERDAY}T00:00:00Z", "end-datetime": f"{YESTERDAY}T23:59:59Z"},
            "contact-info": f"tls@{SENDER}",
            "report-id": report_id,
            "policies": [policy],
        }
    )


def test_services_start_once_those_that_they_wait_for_are_healthy(walk: Walk, compose: dict[str, Any]) -> None:
    assert {walk.stack.health(service) for service in walk.stack.services} == {"healthy"}
    for service in walk.stack.services:
        for other in compose["services"][service].get("depends_on", {}):
            happened = walk.happened.index
            assert happened((other, "health_status: healthy")) < happened((service, "start")), f"{service}, {other}"


def test_no_service_complains_when_it_starts(walk: Walk) -> None:
    words = walk.stack.compose("logs", "--no-color", "--no-log-prefix")
    complaint = re.compile(
        r'level=(warn|error)|"level": ?"(warn|error|critical)|Traceback|<(Error|Fatal)>', re.IGNORECASE
    )
    # The user has no site yet; Caddy's way to say that plain HTTP is plain.
    harmless = re.compile("No files matching import glob pattern|skipped because it requires TLS")
    assert [line for line in words.splitlines() if complaint.search(line) and not harmless.search(line)] == []


def test_the_policy_is_served_through_caddy(walk: Walk) -> None:
    head, _, policy = walk.curl(POLICY_HOST, "/.well-known/mta-sts.txt", "--include").partition("\r\n\r\n")
    assert " 200" in head.splitlines()[0]
    assert "alt-svc" not in head.lower(), "HTTP/3 is not published"
    assert (
        policy
        == "version: STSv1\r\nmode: testing\r\nmx: mx1.example.com\r\nmx: mx2.example.com\r\nmax_age: 1209600\r\n"
    )


def test_signed_reports_by_smtp_and_lmtp_are_stored_and_unsigned_ones_wait_in_quarantine(walk: Walk) -> None:
    walk.send(walk.mail("by-smtp"))
    walk.send(walk.mail("by-lmtp"), lmtp=True)
    walk.send(walk.mail("by-lmtp"), lmtp=True)
    walk.send(walk.mail("unsigned", signed=False))
    walk.stack.wait_for("both reports stored", lambda: walk.stack.stored() == 2)
    query = "SELECT report_id, source, trust FROM tls_report_log ORDER BY report_id"
    assert walk.stack.mailposture("sql", query) == "by-lmtp\tlmtp\tdkim\nby-smtp\tsmtp\tdkim\n"
    walk.stack.wait_for("quarantine", lambda: "no-signature" in walk.stack.mailposture("quarantine", "list"))


def test_a_report_by_https_comes_through_caddy(walk: Walk) -> None:
    sites = walk.stack.folder / "docker/caddy"
    shutil.copy(sites / "reports.caddyfile.example", sites / "reports.caddyfile")
    walk.stack.compose("restart", "caddy")
    walk.stack.wait_until_healthy(["caddy"])
    (walk.stack.folder / "report.json").write_text(report("by-https"))
    answer = walk.curl(
        *(REPORTS_HOST, f"{REPORT_PATH}{TOKEN}", "--data-binary", "@report.json"),
        *("--header", "Content-Type: application/tlsrpt+json", "--write-out", "%{http_code}"),
    )
    assert answer.endswith("201")
    query = "SELECT source, trust FROM tls_report_log WHERE report_id = 'by-https'"
    walk.stack.wait_for("the report", lambda: walk.stack.mailposture("sql", query) == "https\ttoken\n")


def test_prometheus_scrapes_every_service_and_has_the_rules(walk: Walk) -> None:
    def all_up() -> bool:
        found = walk.stack.fetch("prometheus", 9090, "/api/v1/targets")
        targets = found["data"]["activeTargets"] if found else []
        return len(targets) >= 5 and all(target["health"] == "up" for target in targets)

    walk.stack.wait_for("all targets up", all_up)
    groups = walk.stack.fetch("prometheus", 9090, "/api/v1/rules")["data"]["groups"]
    assert groups
    assert [rule["lastError"] for group in groups for rule in group["rules"] if "lastError" in rule] == []
    alerts = "/api/v2/alerts?filter=alertname%3DWatchdog"
    walk.stack.wait_for("the Watchdog", lambda: walk.stack.fetch("alertmanager", 9093, alerts))


def test_the_drill_notifies_every_receiver_and_ends_when_it_is_removed(walk: Walk) -> None:
    own = walk.stack.folder / "docker/alertmanager.local.yaml"
    config = walk.receivers.provisioned(group_wait="0s", group_interval="1s")
    own.write_text(yaml.safe_dump(config))
    walk.receivers.fill_in(walk.stack.folder / "secrets/alertmanager")
    walk.stack.set("ALERTMANAGER_YAML", "./docker/alertmanager.local.yaml")
    walk.stack.compose("up", "--detach", "alertmanager")
    walk.stack.wait_until_healthy(["alertmanager"])
    checked = walk.stack.compose(
        "exec", "-T", "alertmanager", "amtool", "check-config", "/etc/alertmanager/alertmanager.yml"
    )
    assert "SUCCESS" in checked

    drill = walk.stack.run("docker/drill.sh", "report", DOMAIN)
    assert walk.stack.mailposture("import", "-", given=drill).startswith("1 reports, 0 duplicates, 0 rejected")
    assert "mailposture drill" in walk.stack.mailposture("summary")

    def notified(way: str, text: str) -> bool:
        return any(text in json.dumps(one.content) for one in walk.receivers.posts_to(f"/{way}"))

    alert = "TlsCertificateRejected"
    for way in ("slack", "pagerduty", "alert-webhook.example.com"):
        walk.stack.wait_for(f"the page by {way}", lambda one=way: notified(one, alert))
    walk.stack.wait_for("the page by mail", lambda: any(alert in str(mail.message) for mail in walk.receivers.mails))
    assert {mail.user for mail in walk.receivers.mails} == {MAIL_USER}
    tokens = {post.authorization for post in walk.receivers.posts_to("/alert-webhook.example.com")}
    assert tokens == {f"Bearer {SECRETS['webhook_token'].strip()}"}
    switch = walk.stack.wait_for("the Watchdog", lambda: walk.receivers.posts_to("/dead-mans-switch.example.com"))
    assert switch[0].authorization == f"Bearer {SECRETS['dead_mans_switch_token'].strip()}"

    stored = walk.stack.stored()
    walk.stack.run("docker/drill.sh", "remove")
    assert walk.stack.stored() == stored - 1
    assert "mailposture drill" not in walk.stack.mailposture("summary")

    def over() -> bool:
        return any(
            one.content["event_action"] == "resolve" and alert in json.dumps(one.content)
            for one in walk.receivers.posts_to("/pagerduty")
        )

    walk.stack.wait_for("the end of the page", over)


def test_domains_are_added_and_the_digest_is_mailed_without_a_restart(walk: Walk) -> None:
    started = walk.stack.inspect("exporter")["State"]["StartedAt"]
    settings = yaml.safe_load(walk.stack.configuration.read_text())
    folder = walk.stack.configuration.parent
    (folder / "parked.txt").write_text(f"# ours\n{PARKED}\n")
    settings["domains"].append({"file": "parked.txt", "parked": True})
    shutil.copy(walk.stack.folder / "secrets/alertmanager/authority.pem", folder)
    settings["digest"] = {
        "sender": MAIL_USER,
        "recipients": ["boss@example.com"],
        "smtp": {
            "host": walk.receivers.host,
            "port": walk.receivers.mail_port,
            "user": MAIL_USER,
            "password_file": "/run/secrets/smtp_password",
            "certificate_authority": "authority.pem",
        },
    }
    edited = folder / "edited"
    edited.write_text(yaml.safe_dump(settings))
    edited.replace(walk.stack.configuration)  # as most editors write
    page = (ROOT / "docs/operations.md").read_text().partition("\n## Add a domain without a restart\n")[2]
    (block,) = [block for block in sh_blocks(page) if "kill -s HUP" in block]
    walk.stack.run("sh", "-euxc", next(line for line in block.splitlines() if line.startswith("docker compose")))
    asked = f"SELECT parked FROM domains WHERE policy_domain = '{PARKED}'"
    walk.stack.wait_for("the parked domain", lambda: walk.stack.mailposture("sql", asked) == "true\n")
    gauge = f'mailposture_domain_info{{policy_domain="{PARKED}",team="mail"}} 1'
    walk.stack.wait_for("its metric", lambda: gauge in walk.stack.page("exporter", 9466, "/metrics")[1])

    walk.receivers.fill_in(walk.stack.folder / "secrets/alertmanager")
    said = walk.stack.compose("exec", "-T", "exporter", "mailposture", "digest", "--send")
    assert said == f"Handed to {walk.receivers.host} for boss@example.com.\n"
    (mail,) = digests(walk)
    assert (mail.encrypted, mail.user, mail.recipients) == (True, MAIL_USER, ("boss@example.com",))
    assert "sender.example" in str(mail.message.get_body(("plain",)))
    assert walk.stack.mailposture("sql", "SELECT recipient FROM digests_sent") == "boss@example.com\n"
    assert walk.stack.inspect("exporter")["State"]["StartedAt"] == started


def digests(walk: Walk) -> list[Mail]:
    return [mail for mail in walk.receivers.mails if mail.message["Subject"].startswith("Mail security, ")]


def test_grafana_has_data_sources_and_dashboards(walk: Walk) -> None:
    if GRAFANA not in walk.stack.services:
        pytest.skip(f"{images(ROOT)[GRAFANA]} cannot be pulled here, and there is no stand-in for it")
    page = "http://admin:$(cat /run/secrets/grafana_admin)@127.0.0.1:3000/api"
    for path, wanted in (("datasources", "grafana-clickhouse-datasource"), ("search?type=dash-db", "dash-db")):
        found = walk.stack.compose("exec", "-T", GRAFANA, "sh", "-c", f'wget -qO- "{page}/{path}"')
        assert wanted in found


def test_a_restart_loses_nothing(walk: Walk) -> None:
    stored, waiting = walk.stack.stored(), walk.stack.mailposture("quarantine", "list")
    walk.stack.compose("restart", within=180)
    walk.stack.wait_until_healthy()
    assert walk.stack.stored() == stored
    assert walk.stack.mailposture("quarantine", "list") == waiting
    walk.send(walk.mail("after-restart"))
    walk.stack.wait_for("a report more", lambda: walk.stack.stored() == stored + 1)

    def none_waits() -> bool:
        metrics = walk.stack.page("exporter", 9466, "/metrics")[1]
        return "mailposture_digest_waiting 0.0" in metrics and "mailposture_digest_last_sent_timestamp" in metrics

    # The exporter knows of the digest now. The last one due is of other days than the one sent by hand, or is that one.
    walk.stack.wait_for("the digest that was due", none_waits)
    assert int(walk.stack.mailposture("sql", "SELECT count() FROM digests_sent")) == len(digests(walk))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may kill what runs in containers")
def test_a_container_that_is_killed_comes_back_with_what_it_had(walk: Walk) -> None:
    stored = walk.stack.stored()
    killed = {}
    entrances = ["policy-host", "caddy", "collector"]
    for service in [one for one in walk.stack.services if one not in entrances] + entrances:
        before = walk.stack.inspect(service)
        walk.stack.run("kill", "-9", str(before["State"]["Pid"]))
        killed[service] = before["RestartCount"]
        if service != "collector":
            walk.send(walk.mail(f"while-{service}-is-down"))
            stored += 1
        if service not in entrances:
            assert walk.curl(POLICY_HOST, "/.well-known/mta-sts.txt").startswith("version: STSv1")
    for service, restarts in killed.items():
        walk.stack.wait_for(
            f"{service} started again",
            lambda one=service, count=restarts: walk.stack.inspect(one)["RestartCount"] > count,
        )
    walk.stack.wait_until_healthy()
    walk.stack.wait_for("all reports", lambda: walk.stack.stored() == stored)


def test_a_clickhouse_that_hangs_is_named_and_loses_nothing(walk: Walk) -> None:
    stored = walk.stack.stored()
    walk.stack.compose("pause", "clickhouse")
    try:
        walk.send(walk.mail("while-clickhouse-hangs"))
        assert walk.curl(POLICY_HOST, "/.well-known/mta-sts.txt").startswith("version: STSv1")
        walk.stack.wait_for(
            "the collector says so and stays healthy",
            lambda: "ClickHouse does not answer" in walk.stack.page("collector", 9465, "/healthz")[1],
        )
        assert walk.stack.page("collector", 9465, "/healthz")[0] == 200
        walk.stack.wait_for("the exporter is not ready", lambda: walk.stack.page("exporter", 9466, "/readyz")[0] == 503)
        with pytest.raises(AssertionError, match="ClickHouse"):
            walk.stack.mailposture("summary")
        assert walk.stack.health("collector") == "healthy"
    finally:
        walk.stack.compose("unpause", "clickhouse")
    walk.stack.wait_for("the report", lambda: walk.stack.stored() == stored + 1)
    walk.stack.wait_for("the exporter is ready", lambda: walk.stack.page("exporter", 9466, "/readyz")[0] == 200)
    walk.stack.wait_until_healthy()


def test_an_upgrade_keeps_what_is_stored_and_leaves_one_old_image(walk: Walk) -> None:
    stored = walk.stack.stored()
    before = walk.stack.inspect("collector")["Image"]
    package = walk.stack.folder / "mailposture/__init__.py"
    package.write_text(package.read_text() + "\n# a newer version\n")
    walk.stack.run("docker/secrets.sh")
    walk.stack.build()
    walk.stack.compose("up", "--build", "--detach", "--wait", within=300)
    assert walk.stack.inspect("collector")["Image"] != before
    assert walk.stack.stored() == stored
    left = walk.stack.run("docker", "images", "--quiet", "--no-trunc", "--filter", "dangling=true").split()
    assert before in left, "docs/operations.md says how to remove it"
    walk.stack.run("docker", "image", "rm", before)
    assert walk.stack.mailposture("migrate", "--dry-run").startswith("-- the database has the schema of this version")


def test_a_backup_restores_into_an_empty_stack(walk: Walk) -> None:
    """The lines of docs/operations.md, section Backup; the last test, since it begins with empty volumes."""
    page = (ROOT / "docs/operations.md").read_text().partition("\n## Backup\n")[2].partition("\n## ")[0]
    save, restore = (re.sub("exec (?!-T)", "exec -T ", block) for block in sh_blocks(page))
    stored = walk.stack.mailposture("sql", "SELECT report_id FROM tls_report_log ORDER BY report_id")
    waiting = walk.stack.mailposture("quarantine", "list")
    today = walk.stack.run("date", "+%F").strip()
    walk.stack.run("sh", "-euxc", save.replace("$(date +%F)", today))
    walk.stack.compose("down", "--volumes")
    walk.stack.run("sh", "-euxc", re.sub(r"\d{4}-\d\d-\d\d", today, restore), within=300)
    assert walk.stack.mailposture("sql", "SELECT report_id FROM tls_report_log ORDER BY report_id") == stored
    assert walk.stack.mailposture("quarantine", "list") == waiting
    assert "example.com" in walk.stack.mailposture("summary")


def sh_blocks(page: str) -> list[str]:
    """The commands that a page shows."""
    return re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
