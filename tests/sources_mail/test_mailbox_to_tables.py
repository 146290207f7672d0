"""A shared mailbox through the whole product: its reports are in the tables, and the rest of it is no trouble."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from clock import REAL_TODAY
from eventually import eventually
from proof.house import running_house, settings
from sources_mail.conftest import PASSWORD
from sources_mail.reading import news_feed, private_mail, report, report_mail

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def recent(number: int) -> bytes:
    """A report mail about yesterday."""
    day = REAL_TODAY - timedelta(days=1)
    said = json.loads(report(number))
    period = {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"}
    return report_mail(number).replace(report(number), json.dumps({**said, "date-range": period}).encode())


def test_reports_are_stored_and_other_mail_is_no_trouble(dovecot: Any, tmp_path: Path) -> None:
    others = [private_mail(1), news_feed(), private_mail(2)]
    dovecot.deliver(others[0], recent(1), *others[1:], recent(2))
    (tmp_path / "imap-password").write_text(PASSWORD)
    mailbox = {"host": "127.0.0.1", "port": dovecot.plain_port, "tls": False, "user": "reports", "trusted": True}
    configuration = settings(domains=[{"name": "shop.example"}], imap=[{**mailbox, "password_file": "imap-password"}])
    with running_house(tmp_path, configuration) as house:
        eventually(
            "both reports",
            lambda: house.ask("SELECT count() AS n FROM tls_report_log WHERE trust = 'mailbox'") == [{"n": 2}],
        )
        eventually("all of it", lambda: house.metric(_LEFT) == len(others))
        eventually("only they are left", lambda: dovecot.bodies("INBOX") == others)
        metrics = house.page("collector")
        assert house.ask("SELECT * FROM rejections") == []
    troubles = ("mailposture_rejected_total", "mailposture_quarantined_total", "mailposture_refused_total")
    counted = [line for line in metrics.splitlines() if line.startswith(troubles)]
    assert counted
    assert all(float(line.rpartition(" ")[2]) == 0 for line in counted)


_LEFT = 'mailposture_left_in_mailbox_total{reason="no-report",source="imap"}'
