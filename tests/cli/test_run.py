"""`mailposture run` without a configuration: the demo, as a newcomer sees it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from eventually import eventually
from programs import program

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "cli"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "MAILPOSTURE_CONFIG"}


class Demo:
    """A running demo and what it has printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = (folder / "stderr").open("ab")
        self.process = subprocess.Popen(
            [*COMMAND, "run"], cwd=folder, stdout=subprocess.PIPE, stderr=self.log, text=True, env=ENVIRONMENT
        )
        self.screen = ""

    def wait_for_screen(self) -> str:
        assert self.process.stdout
        for line in self.process.stdout:
            self.screen += line
            if "Stop: Ctrl-C" in line:
                return self.screen
        raise AssertionError(self.screen + (self.folder / "stderr").read_text())

    def ask(self, sql: str) -> str:
        command = [*COMMAND, "sql", sql]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=True, env=ENVIRONMENT
        ).stdout.strip()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read().decode()


def descendants(folder: Path) -> list[int]:
    """Processes whose command line names the folder, or that work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().decode()
            if str(folder) in line or ((process / "cwd").readlink() == folder and "cli" in line):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    running = Demo(tmp_path_factory.mktemp("demo"))
    try:
        running.wait_for_screen()
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        running.log.close()


def test_screen_says_where_everything_is_and_what_to_publish(demo):
    assert "DEMO" in demo.screen
    assert '_smtp._tls.shop.example. IN TXT "v=TLSRPTv1; rua=mailto:tlsrpt@shop.example"' in demo.screen
    for listener in ("127.0.0.1:2525", "127.0.0.1:8460", ":9465/metrics", ":9466/metrics", "127.0.0.1:18123"):
        assert listener in demo.screen
    assert re.search(r"shop\.example +[\d,]+ +9\d\.\d\d %", demo.screen)
    assert re.search(r"bank\.example +[\d,]+ +100 % +reject ", demo.screen)  # its forgeries are no failure of its own


def test_demo_shows_what_probes_would_have_seen_beside_the_reports(demo):
    ours = "SELECT DISTINCT our_probes FROM tls_failures_with_probes WHERE result_type = 'certificate-expired'"
    assert "probes of the server found nothing wrong; the others: certificate-expired" in demo.ask(ours)
    witnesses = "SELECT min(probes_with_starttls), sum(probes_without_starttls) FROM tls_suspected_downgrades"
    assert demo.ask(witnesses) == "12\t0"
    stopped = (
        "SELECT policy_domain, organization, likelihood FROM mta_sts_suspected_downgrades ORDER BY day DESC LIMIT 1"
    )
    assert demo.ask(stopped) == "travel.example\tMeridian Airlines (demo)\tlikely"


def test_demo_reports_came_on_their_days_so_none_is_late(demo):
    for log in ("tls_report_log", "dmarc_report_log"):
        assert demo.ask(f"SELECT max(delay_hours) <= 2 AS in_time FROM {log}") in ("1", "true")
    assert "Reports come late" not in demo.screen


def test_demo_reports_were_believed_because_they_are_signed(demo):
    assert demo.ask("SELECT DISTINCT trust, source FROM tls_report_log") == "dkim\tsmtp"
    assert int(demo.ask("SELECT count() FROM tls_report_log")) > 2000
    assert demo.ask("SELECT DISTINCT trust, source FROM dmarc_report_log") == "dkim\tsmtp"
    assert 300 < int(demo.ask("SELECT count() FROM dmarc_report_log")) < 400
    held = subprocess.run([*COMMAND, "quarantine", "list"], cwd=demo.folder, capture_output=True, text=True, check=True)
    assert "no-signature" in held.stdout
    assert int(demo.ask("SELECT uniqExact(reason) FROM rejections")) >= 3


@pytest.mark.parametrize(
    ("domain", "category", "days"),
    [
        ("shop.example", "certificate", 3),
        ("bank.example", "starttls-not-supported", 3),
        ("news.example", "mta-sts-policy", 4),
        ("clinic.example", "timeout", 10),
        ("univ.example", "dane", 2),
    ],
)
def test_stories_are_found_again(demo, domain, category, days):
    found = demo.ask(
        "SELECT uniqExact(day) FROM tls_failures_daily"
        f" WHERE policy_domain = '{domain}' AND category = '{category}' AND day >= today() - 15"
    )
    assert 1 <= int(found) <= days


def test_stories_about_mail_from_our_domains_are_found_again(demo):
    refused = "SELECT sum(rejected_messages) FROM dmarc_daily WHERE policy_domain = 'bank.example'"
    assert demo.ask(refused) == "3832"
    newsletter = (
        "SELECT sum(messages), uniqExact(day) FROM dmarc_record_details"
        " WHERE policy_domain = 'shop.example' AND NOT passed AND has(dkim_domains, 'mcsv.net')"
    )
    assert demo.ask(newsletter) == "17500\t8"


def test_metrics_and_health_of_both_services(demo):
    collector = page("http://127.0.0.1:9465/metrics")
    assert float(re.search(r'^mailposture_received_total\{source="smtp"\} (\S+)', collector, re.MULTILINE)[1]) > 2000
    assert "mailposture_spool_messages 0.0" in collector
    eventually("reported metrics", lambda: 'policy_domain="shop.example"' in page("http://127.0.0.1:9466/metrics"))
    assert page("http://127.0.0.1:9465/healthz") == "ok\n"
    assert page("http://127.0.0.1:9465/readyz") == "ok\n"


def test_collector_metrics_satisfy_promtool(demo):
    metrics = page("http://127.0.0.1:9465/metrics").encode()
    command = [program("promtool"), "check", "metrics"]
    checked = subprocess.run(command, input=metrics, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_dead_child_and_dead_engine_come_back(demo):
    by_command = {(Path("/proc") / str(pid) / "cmdline").read_bytes(): pid for pid in descendants(demo.folder)}
    (engine,) = [pid for line, pid in by_command.items() if b"engine_child" in line]
    (ingest,) = [pid for line, pid in by_command.items() if b"\0ingest\0" in line]
    os.kill(engine, signal.SIGKILL)
    os.kill(ingest, signal.SIGKILL)
    eventually("they end", lambda: engine not in descendants(demo.folder) and ingest not in descendants(demo.folder))
    eventually("an answer", lambda: answers(demo))
    assert int(demo.ask("SELECT count() FROM tls_report_log")) > 2000


def answers(demo):
    try:
        return page("http://127.0.0.1:9465/healthz") == "ok\n" and demo.ask("SELECT 1") == "1"
    except (OSError, subprocess.CalledProcessError):
        return False


def test_second_run_says_that_the_port_is_taken(demo, tmp_path):
    second = subprocess.run(
        [*COMMAND, "run"], cwd=tmp_path, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=60
    )
    assert second.returncode == 1
    assert "smtp.listen" in second.stderr
    assert "Traceback" not in second.stderr


def test_ends_with_its_terminal_and_starts_again_without_mailing_twice(demo):
    """The last of this file: it ends the demo."""
    before = demo.ask("SELECT count(), max(received_at) FROM tls_report_log")
    assert demo.end(signal.SIGINT) == 0
    eventually("all children end", lambda: not descendants(demo.folder))
    again = Demo(demo.folder)
    try:
        again.wait_for_screen()
        assert again.ask("SELECT count(), max(received_at) FROM tls_report_log") == before
        again.end(signal.SIGKILL)
        eventually("children end with their killed parent", lambda: not descendants(demo.folder))
    finally:
        again.process.kill()
        again.process.wait()
        again.log.close()
