"""One more kind of report is a folder beside `reports/tls` and an entry in `reports/kinds.py`, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import smtplib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from proof.house import House, running_house, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
YESTERDAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)


def uptime_report(host: str, *, domain: str = "mail.shop.example", up: int = 280) -> bytes:
    said = {
        "organization": "Watcher",
        "contact": "ops@watcher.example",
        "domain": domain,
        "start": int(YESTERDAY.timestamp()),
        "end": int((YESTERDAY + timedelta(days=1)).timestamp()),
        "checks": [{"host": host, "up": up, "down": 8}],
    }
    return json.dumps({"uptime-report": said}).encode()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One that knows uptime reports."""
    code = tmp_path_factory.mktemp("code")
    shutil.copytree(ROOT / "reports", code / "reports", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "proof" / "uptime", code / "reports" / "uptime")
    kinds = code / "reports" / "kinds.py"
    known = kinds.read_text(encoding="utf-8")
    listed = known.replace("(TLS, DMARC)", "(TLS, DMARC, UPTIME)").replace(
        "from reports.tls.kind import TLS\n",
        "from reports.tls.kind import TLS\nfrom reports.uptime.kind import UPTIME\n",
    )
    assert len(listed.splitlines()) == len(known.splitlines()) + 1
    kinds.write_text(listed, encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(code), os.environ.get("PYTHONPATH"))))
    configuration = settings(domains=[{"name": "shop.example"}])
    more = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}  # so that commands find it before what is in their folder
    with running_house(tmp_path_factory.mktemp("house"), configuration, **more) as running:
        yield running


def mail(house: House, report: bytes) -> None:
    """Send a report as anybody may, without a signature."""
    listen = house.config.smtp.listen
    with smtplib.SMTP(listen.host, listen.port) as client:
        header = b"From: ops@watcher.example\r\nContent-Type: application/uptime+json\r\n\r\n"
        client.sendmail("ops@watcher.example", ["tlsrpt@shop.example"], header + report + b"\r\n")


def test_it_is_judged_held_released_and_queried(house: House) -> None:
    stored = 'mailposture_reports_stored_total{kind="uptime",trust="operator"}'
    assert f"\n{stored} 0.0\n" in house.page("collector")
    mail(house, uptime_report("mx1.shop.example"))
    quarantined = 'mailposture_quarantined_total{kind="uptime",reason="no-signature"}'
    eventually("it to be quarantined", lambda: house.metric(quarantined) == 1)

    (held,) = json.loads(house.command("quarantine", "list", "--format", "json"))
    assert (held["kinds"], held["domains"], held["reporters"]) == (["uptime"], ["shop.example"], ["watcher.example"])
    house.command("quarantine", "release", held["id"])
    eventually("it to be stored", lambda: house.metric(stored) == 1)
    assert house.ask("SELECT day, policy_domain, host, up, down FROM uptime_daily") == [
        {
            "day": YESTERDAY.date(),
            "policy_domain": "shop.example",
            "host": "mx1.shop.example",
            "up": 280,
            "down": 8,
        }
    ]
    assert house.ask("SELECT kind, reporter, source, trust FROM report_log") == [
        {"kind": "uptime", "reporter": "watcher.example", "source": "smtp", "trust": "operator"}
    ]


def test_it_is_imported_once_rejected_with_a_reason_and_read_again(house: House, tmp_path: Path) -> None:
    for name, report in {
        "one": uptime_report("mx2.shop.example", up=1),
        "again": uptime_report("mx2.shop.example", up=1),
        "foreign": uptime_report("mx.foreign.example", domain="foreign.example"),
        "broken": b'{"uptime-report": {}}',
    }.items():
        (tmp_path / f"{name}.json").write_bytes(report)
    printed = house.command("import", str(tmp_path / "one.json"), str(tmp_path / "again.json")).decode()
    assert printed.startswith("1 reports, 1 duplicates, 0 rejected")
    mail(house, (tmp_path / "foreign.json").read_bytes())
    mail(house, (tmp_path / "broken.json").read_bytes())
    reasons = eventually(
        "both to be rejected",
        lambda: found if len(found := house.ask("SELECT reason FROM rejections ORDER BY reason")) == 2 else None,
    )
    assert [row["reason"] for row in reasons] == ["foreign-domain", "invalid-field"]
    month = f"{YESTERDAY:%Y-%m}: "
    printed = house.command("reprocess", "--from", f"{YESTERDAY:%Y-%m-%d}").decode()
    assert month in printed
    assert "0 changed, 0 unreadable" in printed
