"""A domain is added without a restart: real processes, the signal, and a file that cannot be used."""

from __future__ import annotations

import json
import signal
import smtplib
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest
import yaml
from eventually import eventually
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SERVICES = {"receiver", "ingest", "exporter"}


class Running:
    """`mailposture run`, with ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "mailposture.yaml"
        self.smtp, self.collector, self.exporter, self.sql = (free_port() for _ in range(4))
        self.configure({"domains": [{"name": "shop.example"}]})
        command = [sys.executable, "-m", "cli", "run", "--config", str(self.path)]
        with (folder / "screen").open("wb") as screen:
            self.process = subprocess.Popen(command, cwd=folder, stdout=screen, stderr=screen, start_new_session=True)

    def configure(self, sections: dict[str, object], *, native: int = 0) -> None:
        """Write the configuration."""
        own = {
            "smtp": {"listen": f"127.0.0.1:{self.smtp}"},
            "https": {"listen": None},
            "probes": {"nameservers": ["127.0.0.1@9"], "timeout": "1s", "interval": "1m"},
            "clickhouse": {"http": f"127.0.0.1:{self.sql}", "native": f"127.0.0.1:{native}"},
            "metrics": {
                "collector": f"127.0.0.1:{self.collector}",
                "exporter": f"127.0.0.1:{self.exporter}",
                "refresh": "1s",
            },
        }
        self.path.write_text(yaml.safe_dump({**own, **sections}))

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def metrics(self) -> str:
        """Of collector and exporter."""
        pages = (f"http://127.0.0.1:{port}/metrics" for port in (self.collector, self.exporter))
        try:
            return "".join(urllib.request.urlopen(page).read().decode() for page in pages)
        except OSError:
            return ""

    def reloaded(self, *, successful: bool) -> bool:
        """Whether all services say so."""
        page = self.metrics()
        name = "mailposture_config_last_reload_successful"
        return all(f'{name}{{service="{service}"}} {float(successful)}' in page for service in SERVICES)

    def accepts(self, address: str) -> bool:
        """Whether mail to an address is taken."""
        with smtplib.SMTP("127.0.0.1", self.smtp, timeout=60) as client:
            client.ehlo("client.example")
            client.mail("sender@sender.example")
            return client.rcpt(address)[0] == 250

    def log(self, event: str) -> list[dict[str, object]]:
        """The entries about an event."""
        lines = (self.folder / "data/mailposture.log").read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry["event"] == event]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    try:
        eventually(
            "all services run",
            lambda: made.reloaded(successful=True) and "mailposture_reported_up 1.0" in made.metrics(),
        )
        yield made
    finally:
        made.process.terminate()
        made.process.wait(60)


def test_services_follow_the_configuration_and_refuse_a_broken_one(running: Running) -> None:
    domains = [{"name": "shop.example"}, {"file": "parked.txt", "parked": True, "team": "brand"}]
    assert not running.accepts("dmarc@a.example")
    (running.folder / "parked.txt").write_text("a.example\n")
    running.configure({"domains": domains}, native=free_port())
    running.reload()
    eventually("the new domain", lambda: 'mailposture_domain_info{policy_domain="a.example"' in running.metrics())
    eventually("its address is taken", lambda: running.accepts("dmarc@a.example"))
    eventually("it is looked at", lambda: 'dns_record_probe_success{policy_domain="a.example"}' in running.metrics())
    eventually("it is in the database", lambda: ("a.example", "brand", True) in known_domains(running))
    eventually("all say what needs a restart", lambda: len(running.log("restart to apply")) == len(SERVICES))
    assert {tuple(entry["keys"]) for entry in running.log("restart to apply")} == {("clickhouse.native",)}  # type: ignore[arg-type]

    (running.folder / "parked.txt").write_text("a.example\nno name\n")
    running.reload()
    eventually("all refuse it", lambda: running.reloaded(successful=False))
    refused = running.log("configuration refused; the one before stays in use")
    assert {"parked.txt:2: 'no name' is not a domain name" in str(entry["reason"]) for entry in refused} == {True}
    assert running.accepts("dmarc@a.example")

    (running.folder / "parked.txt").write_text("b.example\n")
    running.reload()
    eventually("all take it", lambda: running.reloaded(successful=True))
    eventually("the other domain", lambda: running.accepts("dmarc@b.example"))
    assert not running.accepts("dmarc@a.example")
    eventually("nobody looks at one that left", lambda: 'policy_domain="a.example"' not in running.metrics())
    eventually(
        "nor is it in the database",
        lambda: {name for name, *_ in known_domains(running)} == {"shop.example", "b.example"},
    )
    assert running.process.poll() is None


def known_domains(running: Running) -> list[tuple[str, str, bool]]:
    """Policy domain, team and whether it is parked, as SQL sees them."""
    command = [sys.executable, "-m", "cli", "sql", "--config", str(running.path), "--format", "JSONEachRow"]
    question = "SELECT policy_domain, team, parked FROM domains"
    done = subprocess.run([*command, question], capture_output=True, text=True, check=False)
    return [tuple(json.loads(line).values()) for line in done.stdout.splitlines()]
