"""Hostile text in reports goes all the way to metrics, dashboards and the terminal, and acts nowhere.

One domain gets reports with hostile text wherever text fits, another the same reports with harmless words.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import smtplib
import subprocess
import sys
import urllib.request
from collections import Counter
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clock import REAL_TODAY
from eventually import eventually
from grafana_macros import ALL, expand
from loopback_dns import Zone, serving
from programs import program
from prometheus_client.parser import text_string_to_metric_families
from proof.hostile_words import HOSTILE, PLAIN, mails, reporter_of, reports
from proof.house import House, running_house, settings

from mailposture.records.dns_records import report_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ATTACKED, CALM = "shop.example", "calm.example"
FIRST, LAST = REAL_TODAY - timedelta(days=6), REAL_TODAY - timedelta(days=1)
START, END = (datetime.combine(REAL_TODAY + timedelta(days=days), time(), UTC) for days in (-30, 2))
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "dashboards").glob("*.json"))
}
PANELS = [
    pytest.param(name, panel, target["rawSql"], id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel.get("targets", [])
    if "rawSql" in target
]
STORED = 'mailposture_reports_stored_total{kind="tls",trust="token"}'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """mailposture with all reports stored, and all mails held."""
    tokens = {ATTACKED: "secret-path-of-the-shop", CALM: "secret-path-of-the-calm"}
    with serving(Zone("evil.example. 60 IN TXT nothing")) as nameserver:
        configuration = settings(
            domains=[{"name": name, "token": token, "posts_count": True} for name, token in tokens.items()],
            authentication={"nameservers": [f"127.0.0.1@{nameserver}"]},
        )
        with running_house(tmp_path_factory.mktemp("hostile-names"), configuration) as running:
            for domain, words in ((ATTACKED, HOSTILE), (CALM, PLAIN)):
                running.make_known(domain, map(reporter_of, words), "token")
                url = f"http://{running.config.https.listen}{report_path(tokens[domain])}"
                for report in reports(domain, words, first=FIRST, last=LAST):
                    with urllib.request.urlopen(urllib.request.Request(url, data=report), timeout=60) as answer:
                        assert answer.status == 201
            assert running.config.smtp.listen
            with smtplib.SMTP(running.config.smtp.listen.host, running.config.smtp.listen.port, timeout=60) as client:
                for mail in mails(ATTACKED, LAST):
                    client.sendmail("noreply@evil.example", [f"tlsrpt@{ATTACKED}"], mail)
            eventually("all reports", lambda: running.metric(STORED) == 4 * len(HOSTILE), within=180)
            eventually("all mails", lambda: _held(running) == 2 * len(HOSTILE), within=180)
            yield running


def _held(house: House) -> float:
    states = ("quarantined", "rejected")
    return sum(house.metric(f'mailposture_held_messages{{state="{state}"}}') for state in states)


def acting(text: str, *, beside: str = "\n") -> set[str]:
    """The characters in it that a terminal or an editor acts on."""
    return {char for char in text if not char.isprintable() and char not in beside}


def series(page: str, domain: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The samples about a domain, without the label that names it."""
    return {
        (sample.name, frozenset((name, value) for name, value in sample.labels.items() if name != "policy_domain")): (
            sample.value
        )
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.labels.get("policy_domain") == domain
    }


def test_metrics_are_those_of_harmless_reports(house: House) -> None:
    page = house.renewed()
    attacked, calm = series(page, ATTACKED), series(page, CALM)
    failed = sum(20 + 10 + number + 3 for number in range(len(HOSTILE)))
    assert attacked["tlsrpt_sessions", frozenset({("outcome", "failed")})] == failed
    assert attacked.keys() == calm.keys()
    differing = {name for (name, _), value in attacked.items() if calm[name, _] != value}
    assert differing <= {"tlsrpt_last_arrival_timestamp_seconds"}
    assert "evil" not in page


@pytest.mark.parametrize("which", ["collector", "exporter"])
def test_promtool_finds_no_fault_in_the_metrics(house: House, which: str) -> None:
    page = house.page(which)
    assert set(re.findall(r'policy_domain="([^"]*)"', page)) <= {ATTACKED, CALM}
    command = [program("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=page, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_views_hold_the_words_and_nothing_that_acts(house: House) -> None:
    views = [row["name"] for row in house.ask("SELECT name FROM system.tables WHERE engine = 'View'", user="grafana")]
    assert "tls_failure_details" in views
    for view in views:
        asked = f"{view}(end = (SELECT today FROM clock))" if view.endswith("_at") else view
        for row in house.ask(f"SELECT * FROM {asked}", user="grafana"):
            for column, value in row.items():
                if column != "original":  # the JSON as it was received, which no panel but one shows
                    assert not acting(str(value)), f"{view}.{column}"
    organizations = {row["organization"] for row in house.ask("SELECT organization FROM tls_report_log")}
    assert len(organizations) == len(HOSTILE) + len(PLAIN)
    assert {text for text in HOSTILE if text.isprintable() and text == text.strip()} <= organizations
    assert {row["policy_domain"] for row in house.ask("SELECT policy_domain FROM tls_domain_daily")} == {ATTACKED, CALM}


def choices(house: House, board: str, domain: str) -> dict[str, list[str]]:
    """What each variable of a dashboard offers for a domain."""
    return {
        variable["name"]: [
            str(next(iter(row.values()))) for row in answer(house, board, variable["query"]["rawSql"], domain=domain)
        ]
        for variable in BOARDS[board]["templating"]["list"]
        if variable["type"] == "query" and variable["name"] != "domain"
    }


def answer(
    house: House, board: str, sql: str, *, domain: str, chosen: Mapping[str, Sequence[str]] | None = None
) -> list[dict[str, Any]]:
    """What Grafana gets for a panel, with everything selected but for the domain and what is chosen."""
    variables: dict[str, str | Sequence[str]] = {
        variable["name"]: ALL for variable in BOARDS[board]["templating"]["list"]
    }
    variables |= {"domain": domain if board == "domain" or domain == ALL else [domain]}
    variables |= {"report": ""} if "report" in variables else {}
    sql = expand(sql, start=START, end=END, variables={**variables, **(chosen or {})})
    return house.ask(sql, user="grafana")


def numbers(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """The whole numbers and the days in each row; the words, and times of arrival, differ."""
    return Counter(
        tuple(value for value in row.values() if isinstance(value, int) and not isinstance(value, bool)) for row in rows
    )


@pytest.mark.parametrize(("board", "panel", "sql"), PANELS)
def test_panels_show_the_numbers_of_harmless_reports(
    house: House, board: str, panel: Mapping[str, Any], sql: str
) -> None:
    attacked, calm = (answer(house, board, sql, domain=domain) for domain in (ATTACKED, CALM))
    if "$domain" in sql or "${domain" in sql:
        assert numbers(attacked) == numbers(calm)
    for row in attacked:
        for column, value in row.items():
            if column != "As received":
                assert not acting(str(value)), f"{panel['title']}: {column}"


@pytest.mark.parametrize("board", BOARDS)
def test_what_is_offered_to_choose_changes_no_query(house: House, board: str) -> None:
    domain = ATTACKED if board == "domain" else ALL
    offered = choices(house, board, domain)
    for values in offered.values():
        assert not [value for value in values if not re.fullmatch(r"[A-Za-z0-9._-]+", value)]
    for _, panel, sql in (parameter.values for parameter in PANELS if parameter.values[0] == board):
        everything = answer(house, board, sql, domain=domain)
        for name, values in offered.items():
            if values and f"${{{name}" in sql:
                assert answer(house, board, sql, domain=domain, chosen={name: values}) == everything, panel["title"]


@pytest.mark.parametrize("board", BOARDS)
def test_links_carry_names_of_ours_and_hashes_only(house: House, board: str) -> None:
    for _, panel, sql in (parameter.values for parameter in PANELS if parameter.values[0] == board):
        text = json.dumps(panel)
        fields = set(re.findall(r'__data\.fields\[\\+"([^"\\]+)\\+"\](:percentencode)?', text))
        assert all(encoding for _, encoding in fields), "a value in a link must be encoded"
        for row in answer(house, board, sql, domain=ATTACKED):
            for field in {name for name, _ in fields} & row.keys():
                assert re.fullmatch(r"[A-Za-z0-9._-]*|\$__all", str(row[field])), f"{panel['title']}: {field}"


def test_a_report_is_shown_alone(house: House) -> None:
    sql = {
        panel["title"]: panel["targets"][0]["rawSql"]
        for panel in BOARDS["failures"]["panels"]
        if panel["title"] in ("The report", "Its original")
    }
    log = house.ask("SELECT report_key, organization FROM tls_report_log", user="grafana")
    assert len(log) == 4 * len(HOSTILE)
    for row in log[::8]:
        chosen = {"report": row["report_key"]}
        facts = answer(house, "failures", sql["The report"], domain=ATTACKED, chosen=chosen)
        report = {fact["Field"]: fact["Content"] for fact in facts}
        (original,) = answer(house, "failures", sql["Its original"], domain=ATTACKED, chosen=chosen)
        assert report["Sender"].startswith(row["organization"][:60])
        assert report["Sender"].endswith(".example, unproven)")
        assert json.loads(original["As received"])["date-range"]


def on_terminal(command: Sequence[str]) -> str:
    """What a program writes when its output is a terminal, without the colours."""
    terminal, inside = pty.openpty()
    process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside, cwd=ROOT)
    os.close(inside)
    written = bytearray()
    with contextlib.suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as stream:  # it ends with an error
        while some := stream.read(65536):
            written += some
    assert process.wait(60) == 0, written.decode(errors="replace")
    return re.sub(r"\x1b\[[0-9;]*m", "", written.decode()).replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["summary"],
        ["summary", "--format", "csv"],
        ["summary", "--format", "json"],
        ["quarantine", "list"],
        ["quarantine", "list", "--state", "rejected"],
        ["sql", "SELECT * FROM tls_failure_details"],
        ["sql", "SELECT * FROM tls_failure_details", "--format", "PrettyCompact"],
        ["sql", "SELECT original FROM tls_report_originals", "--format", "TSVRaw"],
        ["sql", "SELECT detail FROM rejections"],
    ],
    ids=" ".join,
)
def test_commands_act_on_no_terminal(house: House, arguments: list[str]) -> None:
    screen = on_terminal([*house.program, *arguments, "--config", str(house.path)])
    assert len(screen) > 100
    assert not acting(screen, beside="\n\t")


def test_showing_what_is_held_back_acts_on_no_terminal(house: House) -> None:
    listed = house.command("quarantine", "list", "--state", "all").decode()
    held = re.findall(r"^ ?([0-9a-f]{8,})", listed, re.MULTILINE)
    assert len(held) == 2 * len(HOSTILE)
    hostile = next(number for number, text in enumerate(HOSTILE) if "\x1b" in text)
    newest_first = held[::-1]
    for held_id in newest_first[2 * hostile : 2 * hostile + 2]:
        screen = on_terminal([*house.program, "quarantine", "show", held_id, "--config", str(house.path)])
        assert "�[2J" in screen
        assert not acting(screen, beside="\n\t")


def test_logs_act_on_no_terminal(house: House) -> None:
    log = (house.config.data / "mailposture.log").read_text()
    assert log
    assert not acting(log)
    said = 'structlog.get_logger().warning("a mail", reason="\\x1b[2J", peer="\\x9b31m")'
    screen = on_terminal(
        [sys.executable, "-c", f"import structlog\nfrom mailposture.logs import set_up\nset_up('test')\n{said}"]
    )
    assert "�[2J" in screen
    assert not acting(screen)
