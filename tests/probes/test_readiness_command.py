"""`mailposture readiness`: the verdict of weeks of reports, of what is seen now, and its exit code."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any

import faulty_policy_server
import faulty_smtp
import pytest
import yaml
from click.testing import CliRunner
from engine import DOMAIN, days_ago
from faulty_policy_server import Answer
from faulty_smtp import Fault

from cli.main import main
from mailposture.records.mta_sts import policy_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from click.testing import Result
    from engine import Storage
    from outside import World

pytestmark = pytest.mark.slow

MX = f"mx1.{DOMAIN}"
POLICY = f"version: STSv1\r\nmode: testing\r\nmx: {MX}\r\nmax_age: 1209600\r\n".encode()


@pytest.fixture
def quiet_month(storage: Storage) -> Storage:
    """Thirty days of two senders that saw nothing wrong under a policy in mode testing."""
    seen = [
        {"day": days_ago(day), "organization": name, "report_key": day * 10 + number}
        for day in range(1, 31)
        for number, name in enumerate(("Sender One", "Sender Two"))
    ]
    storage.put("tls_policies", *({**row, "sts_mode": "testing", "successful_sessions": 100} for row in seen))
    return storage


@pytest.fixture
def outside(world: World, quiet_month: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the command against an MX that has a fault."""
    world.zone.text = world.zone.text.replace("example.test", DOMAIN)
    lines = [line for line in world.zone.text.splitlines() if "_mta-sts" not in line]
    world.zone.text = "\n".join([*lines, f'_mta-sts.{DOMAIN}. 300 IN TXT "v=STSv1; id={policy_id(POLICY)};"'])
    policy = {"mode": "testing", "mx": [MX], "max_age": 1_209_600}
    config = tmp_path / "mailposture.yaml"

    @asynccontextmanager
    async def run(
        *arguments: str,
        fault: Fault = Fault.NONE,
        body: bytes = POLICY,
        enabled: bool = True,
        mode: str = "testing",
    ) -> AsyncIterator[Result]:
        settings = {
            "domains": [{"name": DOMAIN, "mta_sts": {**policy, "mode": mode}}, {"name": "example.net"}],
            "data": str(quiet_month.config.data),
            "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"},
            "probes": {"enabled": enabled},
        }
        config.write_text(yaml.safe_dump(settings))
        policy_host = world.authority.issue([f"mta-sts.{DOMAIN}"]).server_context()
        async with (
            faulty_smtp.serving(world.authority.issue([MX]).server_context(), fault) as (_, smtp_port),
            faulty_policy_server.serving(Answer(body=body), policy_host) as https_port,
        ):
            vantage = world.vantage(smtp_port=smtp_port, https_port=https_port)
            monkeypatch.setattr("cli.readiness.looking_from", lambda *_: vantage)
            yield await asyncio.to_thread(
                CliRunner().invoke, main, ["readiness", DOMAIN, "--config", str(config), *arguments]
            )

    return run


def test_parked_domain_has_nothing_to_enforce(tmp_path: Path) -> None:
    config = tmp_path / "mailposture.yaml"
    config.write_text(yaml.safe_dump({"domains": [{"name": DOMAIN, "parked": True}, {"name": "mail.test"}]}))
    done = CliRunner().invoke(main, ["readiness", DOMAIN, "--config", str(config)])
    assert (done.exit_code, done.output) == (
        0,
        f"{DOMAIN}: parked: it takes no mail, so there is nothing to enforce\n",
    )


async def test_quiet_month_and_everything_in_order_is_ready(outside: Any) -> None:
    async with outside() as done:
        assert done.exit_code == 0, done.output
    assert "ready for MTA-STS mode enforce" in done.output
    assert "None of 6000 sessions would be refused." in done.output
    assert "Senders that looked at the policy: 2, on 30 of the last 30 report days" in done.output
    assert "the policy covers every MX" in done.output


async def test_what_would_be_refused_is_listed_by_cause_and_sender(outside: Any, quiet_month: Storage) -> None:
    failing = {"sts_mode": "testing", "organization": "Sender\x1b[31m", "report_key": 9001, "day": days_ago(3)}
    quiet_month.put("tls_policies", {**failing, "failed_sessions": 40})
    quiet_month.put("tls_failures", {**failing, "failed_sessions": 40, "result_type": "certificate-host-mismatch"})
    async with outside() as done:
        assert done.exit_code == 1, done.output
    assert "not ready for MTA-STS mode enforce" in done.output
    assert "      40  certificate-host-mismatch" in done.output
    assert "\x1b" not in done.output
    async with outside("--days", "2") as done:
        assert "What mode enforce refuses" not in done.output


async def test_server_that_is_unfit_now_outweighs_a_quiet_month(outside: Any) -> None:
    async with outside("--format", "json", fault=Fault.NO_STARTTLS) as done:
        assert done.exit_code == 1, done.output
    said = json.loads(done.output)
    assert (said["verdict"], said["sessions"], said["would_be_refused"]) == ("not-ready", 6000, 0)
    assert "does not offer STARTTLS" in said["reasons"][-1]


async def test_mx_that_the_policy_does_not_name_is_not_ready(outside: Any) -> None:
    async with outside(body=POLICY.replace(MX.encode(), b"other.example.com")) as done:
        assert done.exit_code == 1, done.output
    assert f"does not cover {MX}" in done.output


async def test_server_that_is_away_is_away_in_every_mode(outside: Any) -> None:
    """As the view and the metric have it: the command must not say otherwise."""
    async with outside(fault=Fault.TURNED_AWAY) as done:
        assert done.exit_code == 0, done.output
    assert "greets with" in done.output


async def test_domain_that_enforces_is_not_asked_whether_it_may(outside: Any, quiet_month: Storage) -> None:
    failing = {"sts_mode": "enforce", "organization": "Sender One", "report_key": 9001, "failed_sessions": 40}
    quiet_month.put("tls_policies", failing)
    quiet_month.put("tls_failures", {**failing, "result_type": "certificate-host-mismatch"})
    async with outside(enabled=False, mode="enforce") as done:
        assert done.exit_code == 1, done.output
    assert f"{DOMAIN}: enforces MTA-STS, and is not fit for it" in done.output
    assert "40 of 6040 sessions were refused." in done.output
    assert "Mode enforce has senders refuse mail for such causes" in done.output


async def test_suspected_downgrade_does_not_speak_against_enforce(outside: Any, quiet_month: Storage) -> None:
    failing = {"sts_mode": "enforce", "organization": "Sender One", "report_key": 9001, "failed_sessions": 40}
    lost = {"result_type": "starttls-not-supported", "category": "starttls-not-supported"}
    quiet_month.put("tls_policies", failing)
    quiet_month.put("tls_failures", {**failing, **lost})
    async with outside(enabled=False, mode="enforce") as done:
        assert done.exit_code == 0, done.output
    assert f"{DOMAIN}: enforces MTA-STS, and nothing speaks against it" in done.output
    assert "somebody between sender and server likely removed STARTTLS: mode enforce keeps that mail" in done.output


async def test_probes_of_the_week_are_told_in_words(outside: Any, quiet_month: Storage) -> None:
    at = datetime.combine(days_ago(1), time(1), UTC)
    fault = {"success": False, "reason": "timeout"}
    hidden = {"success": False, "reason": "outbound-port-25-blocked", "receiving_mx": f"mx2.{DOMAIN}"}
    for row in ({}, {"probed_at": at, **fault}, hidden):
        quiet_month.put("probe_results", {"day": days_ago(1), "receiving_mx": MX, **row})
    async with outside() as done:
        assert f"  {MX}: nothing wrong in 1 of 2\n" in done.output
        assert f"  mx2.{DOMAIN}: cannot be seen from the exporter (outbound port 25 is closed there)" in done.output


async def test_nothing_outside_is_looked_at_where_probes_are_switched_off(outside: Any) -> None:
    async with outside(enabled=False, fault=Fault.NO_STARTTLS) as done:
        assert done.exit_code == 0, done.output
    assert "Seen from here now" not in done.output


async def test_domain_without_evidence_is_not_ready(outside: Any, quiet_month: Storage) -> None:
    quiet_month.client().command("TRUNCATE TABLE mailposture_tables.tls_policies")
    async with outside() as done:
        assert done.exit_code == 1, done.output
    assert "too little evidence" in done.output
    assert "No sender reported an MTA-STS policy" in done.output


async def test_no_days_at_all_is_wrong_usage(outside: Any) -> None:
    async with outside("--days", "0") as done:
        assert done.exit_code == 2
