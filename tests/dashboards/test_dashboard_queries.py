"""Every query of every dashboard, as Grafana's SQL user, on the real engine with the demo's month."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asking import BOARDS, ONE_DOMAIN, ask, panel_sql
from clock import NOW
from hostile_reports import HOSTILE_NAMES
from programs import program

from mailposture.clickhouse.client import connect
from mailposture.clickhouse.reference import write_domains
from reports.causes import FROM_DMARC_REPORTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from conftest import DemoStore

pytestmark = pytest.mark.slow

QUERIES = [
    pytest.param(name, panel, target["rawSql"], id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel.get("targets", [])
    if "rawSql" in target
]

# What the demo has nothing of, as its stories say.
EMPTY_IN_THE_DEMO = {
    "mta-sts": ("Senders that see another mode",),
    "failures": ("The report", "Its original"),  # none is chosen
    # bank.example has always been in enforce, and its servers are good.
    "domain": ("Changes of mode", "What our last probes find wrong"),
}

# Not of a time range.
ALWAYS_KNOWN = (
    "Last report",
    "Last report day",
    "Ready to enforce",
    "Ready for a stricter policy",
    "Policy, and the next step",
    "Unknown to decide about",
)


@pytest.mark.parametrize(("board", "panel", "sql"), QUERIES)
def test_every_panel_answers_from_the_demo(store: DemoStore, board: str, panel: Mapping[str, Any], sql: str) -> None:
    answer = ask(store, board, sql)
    if panel["title"] in EMPTY_IN_THE_DEMO.get(board, ()):
        assert answer == []
        return
    assert answer
    if panel["type"] == "stat":
        (row,) = answer
        assert None not in row.values()
    if panel["type"] in ("timeseries", "state-timeline"):
        times = [row["time"] for row in answer]
        assert times == sorted(times)  # type: ignore[type-var]
        assert all(isinstance(time, date) for time in times)
        values = [
            value for row in answer for name, value in row.items() if name != "time" and not isinstance(value, str)
        ]
        assert any(values)


@pytest.mark.parametrize(("board", "panel", "sql"), QUERIES)
def test_without_any_report_nothing_is_called_good(
    store: DemoStore, board: str, panel: Mapping[str, Any], sql: str
) -> None:
    long_ago = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 31, tzinfo=UTC))
    answer = ask(store, board, sql, span=long_ago)
    if panel["type"] == "stat" and board not in ("failures", "collector") and panel["title"] not in ALWAYS_KNOWN:
        (row,) = answer
        assert set(row.values()) == {None}


@pytest.mark.parametrize(("board", "panel", "sql"), QUERIES)
def test_hostile_names_change_no_query(
    hostile_store: DemoStore, board: str, panel: Mapping[str, Any], sql: str
) -> None:
    """Whatever is chosen out of what hostile reports offer, a query stays the same query."""
    whole = ask(hostile_store, board, sql, domain=["shop.example"])
    for choice in CHOICES:
        if choice.board == board and choice.name in ("result", "sender", "server", "source"):
            offered = [str(next(iter(row.values()))) for row in ask(hostile_store, board, choice.sql)]
            # Names of servers must be host names, those of sources are ours: the collector has dropped these.
            assert len(offered) >= (1 if choice.name in ("server", "source") else len(HOSTILE_NAMES))
            assert ask(hostile_store, board, sql, domain=["shop.example"], **{choice.name: offered}) == whole


def test_hostile_names_select_themselves_only(hostile_store: DemoStore) -> None:
    sql = panel_sql("failures", "Sending servers")
    for row in ask(hostile_store, "failures", sql):
        narrowed = ask(hostile_store, "failures", sql, sender=[str(row["sender_id"])])
        assert {each["Sender"] for each in narrowed} == {row["Sender"]}


def test_no_hostile_name_gets_into_a_command(hostile_store: DemoStore) -> None:
    title = "What each failure means, and what to do"
    rows = ask(hostile_store, "domain", panel_sql("domain", title), domain="shop.example")
    actions = [str(row["What to do"]) for row in rows]
    assert any("openssl" in action for action in actions)
    assert not any(bad in action for action in actions for bad in ("ProxyCommand", "OR 1=1", "onerror"))


@dataclass(frozen=True, slots=True)
class Choice:
    board: str
    name: str
    sql: str


CHOICES = [
    Choice(name, variable["name"], variable["query"]["rawSql"])
    for name, board in BOARDS.items()
    for variable in board["templating"]["list"]
    if variable["type"] == "query"
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: f"{choice.board}: {choice.name}")
def test_choices_are_offered_and_cannot_break_out_of_quotes(store: DemoStore, choice: Choice) -> None:
    offered = ask(store, choice.board, choice.sql)
    assert offered
    for row in offered:
        value = next(iter(row.values()))
        assert not set(str(value)) & set("'\\\"${}, \n")


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: f"{choice.board}: {choice.name}")
def test_choosing_all_by_hand_is_the_same_as_all(store: DemoStore, choice: Choice) -> None:
    every = [str(next(iter(row.values()))) for row in ask(store, choice.board, choice.sql)]
    if choice.board in ONE_DOMAIN:
        return
    first = next(panel for panel in BOARDS[choice.board]["panels"] if panel["targets"][0].get("rawSql"))
    sql = first["targets"][0]["rawSql"]
    assert ask(store, choice.board, sql, **{choice.name: every}) == ask(store, choice.board, sql)


def test_the_overview_names_the_domains_in_trouble_and_no_other(store: DemoStore) -> None:
    rows = ask(store, "overview", panel_sql("overview", "Needs attention now"))
    troubles = {(row["Domain"], row["Cause"]) for row in rows if row["Severity"] != "info"}
    assert ("bank.example", "suspected-downgrade") in troubles
    assert ("clinic.example", "timeout") in troubles
    assert ("travel.example", "mta-sts-not-applied") in troubles
    known = {cause.term for cause in FROM_DMARC_REPORTS}
    of_mail_from_us = {(domain, cause) for domain, cause in troubles if cause in known}
    in_trouble = {"bank.example", "clinic.example", "travel.example", "oldbank.example"}
    assert {domain for domain, _ in troubles - of_mail_from_us} <= in_trouble
    assert ("news.example", "dmarc-own-failing") in of_mail_from_us
    assert "bank.example" not in {domain for domain, _ in of_mail_from_us}
    mail = ask(store, "dmarc-overview", panel_sql("dmarc-overview", "Needs attention now"))
    assert {(row["Domain"], row["Cause"]) for row in mail if row["Severity"] != "info"} == of_mail_from_us
    bank = next(row for row in rows if (row["Domain"], row["Cause"]) == ("bank.example", "suspected-downgrade"))
    assert (bank["Severity"], bank["Mail"]) == ("critical", "being refused")
    assert bank["Since"] == NOW.date() - timedelta(days=3)
    assert str(bank["Seen by"]).startswith("1 of 1")


def test_all_good_is_said_of_a_domain_without_trouble(store: DemoStore) -> None:
    sql = panel_sql("domain", "$domain now")
    assert [list(row.values()) for row in ask(store, "domain", sql, domain="library.example")] == [[0]]
    rows = ask(store, "domain", panel_sql("domain", "What is wrong now, and what to do"), domain="library.example")
    assert [row["Cause"] for row in rows] == ["policy-testing-long"]  # only worth knowing


def test_a_trouble_that_is_over_is_not_current(store: DemoStore) -> None:
    states = {row["Domain"]: row["State"] for row in ask(store, "overview", panel_sql("overview", "Domains"))}
    assert states["shop.example"] == states["univ.example"] == "failed earlier"
    assert (
        states["travel.example"] == "suspicious"
    )  # what had failed there is over, and what is suspected fails nothing
    assert states["library.example"] == "all good"


def test_commands_name_the_domain_and_the_failing_server(store: DemoStore) -> None:
    for row in ask(store, "domain", panel_sql("domain", "What is wrong now, and what to do"), domain="bank.example"):
        assert "bank.example" in str(row["What to do"])
        assert "example.com" not in str(row["What to do"])
    meanings = ask(
        store, "domain", panel_sql("domain", "What each failure means, and what to do"), domain="shop.example"
    )
    expired = next(row for row in meanings if row["Result type"] == "certificate-expired")
    assert "-connect mx2.shop.example:25 -servername mx2.shop.example" in str(expired["What to do"])


def test_a_report_leads_to_its_original(store: DemoStore) -> None:
    details = ask(store, "failures", panel_sql("failures", "Failure details"), domain=["univ.example"])
    key = str(details[0]["Report"])
    facts = ask(store, "failures", panel_sql("failures", "The report"), report=key)
    report = {row["Field"]: row["Content"] for row in facts}
    (original,) = ask(store, "failures", panel_sql("failures", "Its original"), report=key)
    assert report["Sender"] == details[0]["Sender"]
    organization = json.loads(str(original["As received"]))["organization-name"]
    assert report["Sender"] == f"{organization} ({organization.partition(' ')[0].lower()}.example, unproven)"


def test_narrowing_by_hash_shows_that_sender_only(store: DemoStore) -> None:
    sql = panel_sql("failures", "Sending servers")
    rows = ask(store, "failures", sql)
    chosen = rows[0]
    narrowed = ask(store, "failures", sql, sender=[str(chosen["sender_id"])])
    assert {row["Sender"] for row in narrowed} == {chosen["Sender"]}


def test_a_mode_change_is_found_on_its_day(store: DemoStore) -> None:
    (change,) = ask(store, "mta-sts", panel_sql("mta-sts", "Changes of mode"))
    assert (change["Domain"], change["From"], change["To"]) == ("travel.example", "testing", "enforce")
    assert change["Day"] == NOW.date() - timedelta(days=7)


WITH_PROBES = (
    "Servers, last probes",
    "Policies, last probes",
    "Certificates to renew",
    "Policy and record, as senders get them",
    "Fetching the policy",
    "What probes found wrong",
    "Every receiving server, as senders meet it",
    "Our servers, as probes saw them",
    "Days to certificate expiry",
    "Days to certificate expiry, over time",
)


@pytest.mark.parametrize("title", WITH_PROBES)
def test_without_any_probe_nothing_is_called_good(hostile_store: DemoStore, title: str) -> None:
    rows = ask(hostile_store, "mta-sts", panel_sql("mta-sts", title), domain=["shop.example"])
    assert [value for row in rows for value in row.values() if value is not None] == []
    (panel,) = [each for each in BOARDS["mta-sts"]["panels"] if each["title"] == title]
    assert "robes" in panel["fieldConfig"]["defaults"]["noValue"]


def test_failures_without_probes_say_so(hostile_store: DemoStore) -> None:
    rows = ask(hostile_store, "failures", panel_sql("failures", "What our probes saw there that day"))
    assert {row["Our probes"] for row in rows} == {"unseen"}
    assert "No probe of ours saw the server" in str(rows[0]["What they saw"])


@pytest.mark.parametrize(
    ("domain", "failed", "seen"),
    [
        ("shop.example", ("mx2.shop.example", 9), ("fault", "certificate-expired. Its certificate expired on")),
        ("shop.example", ("mx2.shop.example", 8), ("partly", "certificate-expired")),
        ("bank.example", ("mx1.bank.example", 1), ("good", "12 of 12 probes of the server found nothing wrong")),
        ("news.example", ("not named", 12), ("fault", "12 of 12 probes of the MTA-STS policy: policy-status")),
        ("travel.example", ("mx-old.travel.example", 20), ("fault", "certificate-host-mismatch")),
        ("univ.example", ("mx1.univ.example", 5), ("partly", "tlsa-mismatch")),
    ],
)
def test_failures_stand_beside_what_probes_saw_there(
    store: DemoStore, domain: str, failed: tuple[str, int], seen: tuple[str, str]
) -> None:
    server, days_ago = failed
    probes, words = seen
    title = "What our probes saw there that day"
    rows = ask(store, "domain", panel_sql("domain", title), domain=domain)
    day = NOW.date() - timedelta(days=days_ago)
    (row,) = [each for each in rows if (each["Day"], each["Receiving server"]) == (day, server)]
    assert row["Our probes"] == probes
    assert words in str(row["What they saw"])
    assert row in ask(store, "failures", panel_sql("failures", title), domain=[domain])


def test_a_sender_that_stopped_applying_our_policy_is_named_with_the_evidence(store: DemoStore) -> None:
    title = "Senders that stopped applying our MTA-STS policy, with the evidence"
    rows = ask(store, "senders", panel_sql("senders", title))
    assert {(row["Domain"], row["Sender"]) for row in rows} == {
        ("travel.example", "Meridian Airlines (demo) (meridian.example, unproven)")
    }
    assert [row["Likelihood"] for row in rows] == ["likely", "likely", "possible"]
    assert {row["Our probes had it"] for row in rows} == {"12 of 12"}
    suspects = ask(store, "senders", panel_sql("senders", "Suspected downgrades"))
    assert suspects == [{"senders": 2}]  # with the one that lost STARTTLS


def test_our_probes_bear_witness_in_a_suspected_downgrade(store: DemoStore) -> None:
    rows = ask(store, "senders", panel_sql("senders", "Suspected downgrades, with the evidence"))
    assert {row["Likelihood"] for row in rows} == {"likely"}
    assert {row["Our probes had it"] for row in rows} == {"12 of 12"}


def test_servers_are_listed_as_senders_meet_them(store: DemoStore) -> None:
    rows = ask(store, "mta-sts", panel_sql("mta-sts", "Every receiving server, as senders meet it"))
    servers = {row["Server"]: row for row in rows}
    assert len(servers) == len(rows) == 12
    renewed = servers["mx2.shop.example"]
    assert (renewed["Last probe"], renewed["STARTTLS"], renewed["Chain"]) == ("", "offered", "trusted")
    assert (renewed["Names host"], renewed["In policy"], renewed["DANE"]) == ("yes", "yes", "absent")
    assert servers["mx1.univ.example"]["DANE"] == "match"
    assert servers["mx1.clinic.example"]["In policy"] == "unknown"  # it has none


def test_certificates_are_sorted_by_expiry(store: DemoStore) -> None:
    rows = ask(store, "mta-sts", panel_sql("mta-sts", "Days to certificate expiry"))
    days = [row["Days left"] for row in rows]
    assert days == sorted(days)  # type: ignore[type-var]
    assert rows[0]["Server"] == "mx1.clinic.example"
    assert rows[0]["Expires"] == NOW.date() + timedelta(days=11)


def test_a_certificate_is_due_when_the_alert_says_so(store: DemoStore) -> None:
    """The threshold is the domain's own: colours must mean what alert MxCertificateExpiring means."""
    answer, expiry = panel_sql("mta-sts", "Certificates to renew"), panel_sql("mta-sts", "Days to certificate expiry")
    clinic = {"domain": ["clinic.example"]}
    first, second = ask(store, "mta-sts", expiry, **clinic)
    assert (first["Renewal"], second["Renewal"]) == ("due", "later")
    assert first["Alert from"] == NOW.date() + timedelta(days=11 - 14)
    assert ask(store, "mta-sts", answer, **clinic) == [{"answer": "1 to renew, 11 days left"}]
    with threshold(store, "clinic.example", timedelta(days=7)):
        assert [row["Renewal"] for row in ask(store, "mta-sts", expiry, **clinic)] == ["later", "later"]
        assert ask(store, "mta-sts", answer, **clinic) == [{"answer": "none, next in 11 days"}]
        servers = ask(store, "mta-sts", panel_sql("mta-sts", "Every receiving server, as senders meet it"), **clinic)
        assert {row["Renewal"] for row in servers} == {"later"}


@contextmanager
def threshold(store: DemoStore, name: str, expiry: timedelta) -> Iterator[None]:
    """For a while, the domain's certificates must be renewed so long before they expire."""
    other = [
        domain.model_copy(
            update={"thresholds": domain.thresholds.model_copy(update={"certificate_expiry": expiry})}
            if domain.name == name
            else {}
        )
        for domain in store.config.domains
    ]
    with closing(connect(store.config, user=store.config.clickhouse.collector_user, endpoint=store.endpoint)) as client:
        write_domains(client, store.config.model_copy(update={"domains": tuple(other)}))
        try:
            yield
        finally:
            write_domains(client, store.config)


def test_expired_and_misnamed_certificates_are_distinguished(store: DemoStore) -> None:
    sql = panel_sql("mta-sts", "Every receiving server, as senders meet it")
    then = NOW - timedelta(days=9)
    rows = ask(store, "mta-sts", sql, span=(then - timedelta(days=1), then))
    expired = next(row for row in rows if row["Server"] == "mx2.shop.example")
    assert (expired["Last probe"], expired["Chain"], expired["Names host"]) == ("certificate-expired", "expired", "yes")
    then = NOW - timedelta(days=20)
    rows = ask(store, "mta-sts", sql, span=(then - timedelta(days=1), then))
    misnamed = next(row for row in rows if row["Server"] == "mx-old.travel.example")
    assert (misnamed["Chain"], misnamed["Names host"]) == ("trusted", "no")


def test_servers_right_now_come_from_metrics(tmp_path: Path) -> None:
    """Faults are counted; a closed port is distinguished from a fault; without probes there is no number at all."""
    (expression,) = [
        panel["targets"][0]["expr"] for panel in BOARDS["mta-sts"]["panels"] if panel["title"] == "Servers right now"
    ]
    servers = {f'mx_server_success{{policy_domain="a.example", mx="mx{n}"}}': good for n, good in enumerate((1, 0, 1))}
    cases = [
        (servers | {"mx_outbound_port_25_blocked": 0}, [{"value": 1}]),
        (dict.fromkeys(servers, 0) | {"mx_outbound_port_25_blocked": 1}, [{"value": -1}]),
        ({"up": 1}, []),
    ]
    tests = [
        {
            "input_series": [{"series": series, "values": str(value)} for series, value in inputs.items()],
            "promql_expr_test": [
                {"expr": expression.replace("$domain", "a.example"), "eval_time": "0m", "exp_samples": samples}
            ],
        }
        for inputs, samples in cases
    ]
    file = tmp_path / "now.yml"
    file.write_text(json.dumps({"tests": tests}), encoding="utf-8")
    done = subprocess.run([program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
