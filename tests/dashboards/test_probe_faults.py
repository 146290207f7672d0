"""What our own probes find wrong is known to the headlines: reports are a day old, and whoever is paged comes here."""

from __future__ import annotations

from contextlib import closing
from dataclasses import astuple, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from asking import ask, panel_sql
from clock import NOW

from demo.probes import ProbeRow, probe_rows
from mailposture.clickhouse.client import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import DemoStore

pytestmark = pytest.mark.slow

HEADLINE, WRONG_NOW, FAULTS = "$domain now", "What is wrong now, and what to do", "What our last probes find wrong"


def write(store: DemoStore, rows: Sequence[ProbeRow]) -> None:
    with closing(connect(store.config, user=store.config.clickhouse.exporter_user, endpoint=store.endpoint)) as client:
        client.insert(
            "probe_results",
            [astuple(row) for row in rows],
            column_names=[field.name for field in fields(ProbeRow)],
            database=store.config.clickhouse.tables_database,
        )


def probed(server: str, minutes_ago: int) -> ProbeRow:
    """A good probe of a server, so long ago."""
    row = next(row for row in probe_rows(NOW) if row.receiving_mx == server)
    then = NOW - timedelta(minutes=minutes_ago)
    return replace(row, day=then.date(), probed_at=then, certificate_not_after=NOW + timedelta(days=80))


def policy(domain: str, mode: str) -> ProbeRow:
    """The policy of a domain, fetched just now."""
    row = next(row for row in probe_rows(NOW) if row.probe == "mta-sts" and row.success)
    return replace(row, policy_domain=domain, day=NOW.date(), probed_at=NOW, sts_mode=mode)


def failing(row: ProbeRow, reason: str) -> ProbeRow:
    return replace(row, success=False, reason=reason, detail=f"{reason}, in words")


def headline(store: DemoStore, domain: str) -> object:
    (answer,) = ask(store, "domain", panel_sql("domain", HEADLINE), domain=domain)
    return answer["number"]


def test_a_certificate_to_renew_is_no_all_good(store: DemoStore) -> None:
    rows = ask(store, "domain", panel_sql("domain", WRONG_NOW), domain="clinic.example")
    (row,) = [row for row in rows if row["Cause"] == "mx-certificate-expiring"]
    assert (row["Severity"], row["About"], row["Seen by"]) == ("warning", "mx1.clinic.example", "our probes")
    assert f"Its certificate expires on {NOW.date() + timedelta(days=11)}." in str(row["What it means"])
    assert "-connect mx1.clinic.example:25" in str(row["What to do"])
    assert row["page"] == "mailposture-mta-sts"
    assert headline(store, "clinic.example") == len([row for row in rows if row["Severity"] != "info"])
    faults = ask(store, "domain", panel_sql("domain", FAULTS), domain="clinic.example")
    (fault,) = [row for row in faults if row["What"] == "mx1.clinic.example"]
    assert fault["In words"] == f"Its certificate expires on {NOW.date() + timedelta(days=11)}."
    attention = ask(store, "overview", panel_sql("overview", "Needs attention now"))
    assert ("clinic.example", "mx-certificate-expiring", "") in {
        (row["Domain"], row["Cause"], row["Mail"]) for row in attention
    }


def test_one_failed_probe_is_listed_and_alarms_nobody(probing_store: DemoStore) -> None:
    """Alerts wait for the second one too."""
    server = "mx1.library.example"
    write(probing_store, [probed(server, 20), failing(probed(server, 10), "timeout")])
    (fault,) = ask(probing_store, "domain", panel_sql("domain", FAULTS), domain="library.example")
    assert (fault["What"], fault["Fault"], fault["Failed"]) == (server, "timeout", "1 of 2")
    assert headline(probing_store, "library.example") is None  # nobody reports, so nothing is good either
    write(probing_store, [failing(probed(server, 5), "timeout")])
    assert headline(probing_store, "library.example") == 1
    write(probing_store, [probed(server, 0)])
    assert ask(probing_store, "domain", panel_sql("domain", FAULTS), domain="library.example") == []
    assert headline(probing_store, "library.example") is None


@pytest.mark.parametrize(
    ("server", "mode", "reason", "needed"),
    [
        ("mx1.univ.example", "testing", "tlsa-mismatch", ("critical", "mx-tlsa-mismatch")),
        ("mx1.news.example", "testing", "certificate-expired", ("warning", "mx-certificate-invalid")),
        ("mx1.travel.example", "enforce", "certificate-expired", ("critical", "mx-certificate-invalid")),
        ("mx1.clinic.example", "enforce", "unreachable", ("warning", "mx-unreachable")),
    ],
)
def test_a_fault_is_as_bad_as_its_alert_says(
    probing_store: DemoStore, server: str, mode: str, reason: str, needed: tuple[str, str]
) -> None:
    severity, cause = needed
    domain = server.removeprefix("mx1.")
    write(
        probing_store,
        [policy(domain, mode), *(failing(probed(server, minutes), reason) for minutes in (15, 0))],
    )
    (fault,) = ask(probing_store, "domain", panel_sql("domain", FAULTS), domain=domain)
    assert (fault["Severity"], fault["Fault"], fault["In words"]) == (severity, reason, f"{reason}, in words")
    (state,) = ask(probing_store, "overview", panel_sql("overview", "Domains"), domain=[domain])
    assert (state["State"], state["Cause"]) == ("at fault", cause)
    attention = ask(probing_store, "overview", panel_sql("overview", "Needs attention now"))
    assert (domain, cause, server, severity) in {
        (row["Domain"], row["Cause"], row["About"], row["Severity"]) for row in attention
    }


def test_a_port_that_is_closed_to_us_is_no_fault(probing_store: DemoStore) -> None:
    blocked = "outbound-port-25-blocked"
    write(probing_store, [failing(probed("mx1.bank.example", minutes), blocked) for minutes in (15, 0)])
    assert ask(probing_store, "domain", panel_sql("domain", FAULTS), domain="bank.example") == []


def test_probes_that_do_not_get_out_say_nothing_about_servers(probing_store: DemoStore) -> None:
    blocked = next(row for row in probe_rows(NOW) if row.receiving_mx == "mx1.bank.example")
    unseen = replace(
        blocked,
        day=NOW.date(),
        probed_at=NOW,
        success=False,
        reason="outbound-port-25-blocked",
        reachable=None,
        starttls_offered=None,
        certificate_valid=None,
        certificate_not_after=None,
        certificate_names=(),
    )
    write(probing_store, [unseen])
    bank = {"domain": ["bank.example"]}
    (answer,) = ask(probing_store, "mta-sts", panel_sql("mta-sts", "Servers, last probes"), **bank)
    assert answer == {"servers": None}
    (server,) = ask(
        probing_store, "mta-sts", panel_sql("mta-sts", "Every receiving server, as senders meet it"), **bank
    )
    assert (server["STARTTLS"], server["Chain"], server["Names host"]) == ("unknown", "unknown", "unknown")
    (state,) = ask(probing_store, "mta-sts", panel_sql("mta-sts", "Our servers, as probes saw them"), **bank)
    assert state["Value"] == 0
    assert ask(probing_store, "mta-sts", panel_sql("mta-sts", "What probes found wrong"), **bank) == []
