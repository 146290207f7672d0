"""What is kept of sources is what the records say, whatever happens in whatever order: on the real engine."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from clock import NOW
from engine import DOMAIN, days_ago, set_clock
from test_dmarc_random_piles import record
from test_dmarc_sources import ANYBODY, FORWARDER, SERVER, configure, failing, sent

from exporter.questions import DMARC_WAITING, QUESTIONS
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.reference import write_domains
from mailposture.config.domains import Domain
from reports.acknowledging import Acknowledgement, acknowledge
from reports.dmarc import rolling_up
from reports.dmarc.rolling_up import roll_up

if TYPE_CHECKING:
    from engine import Storage


pytestmark = pytest.mark.slow

_COLUMNS = (
    "day, policy_domain, header_from, source, source_kind, pile, possibly_ours, evidence, reason, published_policy,"
    " published_domain,"
    " sum(messages), sum(passed_messages), sum(spf_aligned_messages), sum(dkim_aligned_messages),"
    " sum(quarantined_messages), sum(rejected_messages), sum(delivered_messages), sum(counted_messages),"
    " arraySort(groupUniqArrayArray(reporters)), arraySort(groupUniqArrayArray(counted_reporters))"
)


def kept_is_what_records_say(storage: Storage) -> bool:
    kept, worked_out = (
        storage.ask(f"SELECT {_COLUMNS} FROM {view} GROUP BY ALL ORDER BY ALL")
        for view in ("dmarc_sources_daily", "dmarc_source_piles")
    )
    assert worked_out
    return kept == worked_out


def judged_is_what_days_say(storage: Storage) -> bool:
    pairs = (
        ("dmarc_findings", "dmarc_findings_at(end = (SELECT today FROM clock))"),
        ("dmarc_readiness", "dmarc_readiness_steps"),
    )
    return all(
        storage.ask(f"SELECT * FROM {kept} ORDER BY ALL") == storage.ask(f"SELECT * FROM {worked_out} ORDER BY ALL")
        for kept, worked_out in pairs
    )


def piles_of(storage: Storage, ip: str) -> list[tuple[object, ...]]:
    """Day and pile of messages from an address that fail."""
    return storage.ask(
        "SELECT day, pile, sum(messages) FROM dmarc_sources_daily WHERE source_ip = {ip:String} AND passed_messages = 0"
        " GROUP BY ALL ORDER BY day, pile",
        ip=ip.removeprefix("::ffff:"),
    )


def made(storage: Storage) -> list[tuple[object, ...]]:
    """When the days that are kept were made."""
    return storage.ask(
        "SELECT policy_domain, day, max(version) FROM mailposture_tables.dmarc_sources GROUP BY ALL ORDER BY ALL"
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored is seen at once: here nothing else stores."""
    monkeypatch.setattr(rolling_up, "_COMMITTED", 0)


def test_whatever_comes_in_whatever_order(storage: Storage) -> None:
    chance = random.Random(20261129)
    rows = [record(chance, index) for index in range(240)]
    for first in range(0, len(rows), 60):
        storage.put("dmarc_records", *rows[first : first + 60])
        storage.roll_up()
        assert kept_is_what_records_say(storage)
        assert judged_is_what_days_say(storage)
    parked = storage.config.domains[0].model_copy(update={"parked": True})
    write_domains(
        storage.client(), storage.config.model_copy(update={"domains": (parked, Domain(name="mail.example"))})
    )
    storage.roll_up()
    assert kept_is_what_records_say(storage)
    assert judged_is_what_days_say(storage)
    assert storage.ask("SELECT DISTINCT pile FROM dmarc_sources_daily WHERE policy_domain = 'example.com'") == [
        ("unknown",)
    ]
    write_domains(storage.client(), storage.config)
    configure(storage, {"name": "Our server", "addresses": ["192.0.2.0/24"]})
    assert kept_is_what_records_say(storage)
    assert storage.ask("SELECT count() FROM dmarc_sources_daily WHERE source = 'Our server'") != [(0,)]
    configure(storage)
    assert kept_is_what_records_say(storage)
    assert storage.ask("SELECT count() FROM dmarc_sources_daily WHERE source = 'Our server'") == [(0,)]
    assert judged_is_what_days_say(storage)
    assert storage.ask("SELECT count() FROM dmarc_findings") != [(0,)]


def test_what_is_judged_follows_the_day_and_what_is_acknowledged(storage: Storage, quick: None) -> None:
    for key, reporter in enumerate(("One", "Two")):
        rows = (failing(day, day=days_ago(day), organization=reporter, report_key=key) for day in range(1, 6))
        storage.put("dmarc_records", *rows)
    found = "SELECT cause FROM dmarc_findings WHERE cause = 'dmarc-unknown-source'"
    waits = (
        "SELECT DISTINCT arrayExists(why -> why LIKE 'Unknown sources come back%', reasons) FROM dmarc_readiness"
        " WHERE policy_domain = 'example.com'"
    )
    assert storage.ask(found) != []
    assert storage.ask(waits) == [(True,)]
    known = Acknowledgement(
        policy_domain=DOMAIN, cause="dmarc-unknown-source", subject="192.0.2.0/24", until=days_ago(-9), because="a test"
    )
    acknowledge(storage.client(), storage.config, known)
    storage.roll_up()
    assert storage.ask(waits) == [(False,)]
    set_clock(storage.client(), storage.config, NOW + timedelta(days=60))
    storage.roll_up()
    assert storage.ask(found) == []
    assert judged_is_what_days_say(storage)


def test_evidence_that_comes_later_moves_earlier_mail_and_counts_it_once(storage: Storage) -> None:
    storage.put("dmarc_records", failing(0, ip=SERVER, day=days_ago(200)), failing(1, ip=SERVER, day=days_ago(150)))
    assert piles_of(storage, SERVER) == [(days_ago(200), "unknown", 10), (days_ago(150), "unknown", 10)]
    storage.put("dmarc_records", sent(2, ip=SERVER, spf=DOMAIN, aligned="spf", day=days_ago(171), report_key=2))
    assert piles_of(storage, SERVER) == [(days_ago(200), "ours-failing", 10), (days_ago(150), "ours-failing", 10)]
    storage.put("dmarc_records", failing(3, ip=SERVER, day=days_ago(202), report_key=3))
    assert piles_of(storage, SERVER)[0] == (days_ago(202), "unknown", 10)
    assert kept_is_what_records_say(storage)


def test_a_domain_of_ours_that_is_added_shows_what_authenticates_as_it(storage: Storage) -> None:
    storage.put("dmarc_records", failing(0, ip=FORWARDER, dkim="new-shop.example"))
    assert piles_of(storage, FORWARDER) == [(days_ago(1), "unknown", 10)]
    storage.client().command(
        "INSERT INTO mailposture_tables.configured_domains (policy_domain, active, updated_at)"
        " VALUES ('new-shop.example', true, now())"
    )
    storage.roll_up()
    assert piles_of(storage, FORWARDER) == [(days_ago(1), "ours-failing", 10)]


def test_whose_word_counts_is_asked_again_every_day(storage: Storage, quick: None) -> None:
    """A newcomer alone does not count; when a day has passed, and another report came, it is known."""
    storage.put("dmarc_records", failing(0, organization="Newcomer"), known=False)
    storage.accepted(DOMAIN, "newcomer.example", "dkim", days_ago(1), days_ago(1), kind="dmarc")
    assert storage.ask("SELECT sum(counted_messages), sum(messages) FROM dmarc_sources_daily") == [(0, 10)]
    before = made(storage)
    storage.accepted(DOMAIN, "newcomer.example", "dkim", days_ago(0), days_ago(0), kind="dmarc")
    storage.roll_up()
    assert made(storage) == before
    set_clock(storage.client(), storage.config, NOW + timedelta(days=1))
    storage.roll_up()
    assert storage.ask("SELECT sum(counted_messages), sum(messages) FROM dmarc_sources_daily") == [(10, 10)]


def test_only_what_may_have_changed_is_made_again(storage: Storage, quick: None) -> None:
    old, young = days_ago(300), days_ago(2)
    storage.put("dmarc_records", failing(0, day=old), failing(1, day=young))
    storage.put("dmarc_records", failing(2, day=young, policy_domain="example.net"))
    storage.roll_up()
    first = made(storage)
    assert [row[:2] for row in first] == [(DOMAIN, old), (DOMAIN, young), ("example.net", young)]
    storage.roll_up()
    assert made(storage) == first
    storage.put("dmarc_records", failing(3, day=days_ago(30), report_key=2))
    storage.roll_up()
    again = made(storage)
    assert again[0] == first[0]
    assert again[-1] == first[-1]
    assert again[2][2] != first[1][2]


def test_a_row_that_is_no_longer_so_is_gone_for_good(storage: Storage) -> None:
    storage.put("dmarc_records", failing(0, ip=ANYBODY), failing(1, ip=SERVER))
    storage.roll_up()
    storage.client().command(
        "DELETE FROM mailposture_tables.dmarc_records WHERE source_ip = toIPv6('::ffff:203.0.113.9')"
    )
    storage.client().command("TRUNCATE TABLE mailposture_tables.dmarc_rolled_up")
    storage.roll_up()
    assert storage.ask("SELECT source_ip, messages FROM dmarc_sources_daily") == [("192.0.2.1", 10)]
    storage.client().command("OPTIMIZE TABLE mailposture_tables.dmarc_sources FINAL")
    assert storage.ask("SELECT source_ip, messages FROM dmarc_sources_daily") == [("192.0.2.1", 10)]


def test_a_day_is_made_in_one_insert_and_days_of_several_months_in_several(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling_up, "_RECORDS", 3)
    storage.put("dmarc_records", *(failing(index, day=days_ago(index // 5)) for index in range(300)))
    storage.roll_up()
    assert kept_is_what_records_say(storage)
    assert storage.ask("SELECT uniqExact(day), sum(messages) FROM dmarc_sources_daily") == [(60, 3000)]


def test_no_domain_waits_for_others_that_always_change(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling_up, "_DOMAINS", 1)
    for index, domain in enumerate((DOMAIN, "example.net", DOMAIN)):
        storage.put("dmarc_records", failing(index, policy_domain=domain))
        storage.roll_up()
    storage.roll_up()
    made = storage.ask("SELECT policy_domain, sum(messages) FROM dmarc_sources_daily GROUP BY 1 ORDER BY 1")
    assert made == [(DOMAIN, 20), ("example.net", 10)]


def test_two_at_once_do_no_harm(storage: Storage) -> None:
    storage.put("dmarc_records", *(failing(index, ip=f"::ffff:203.0.113.{index}") for index in range(100)))
    with ThreadPoolExecutor(4) as rolling:
        list(rolling.map(lambda _: _roll_up_alone(storage), range(4)))
    assert kept_is_what_records_say(storage)


def _roll_up_alone(storage: Storage) -> None:
    user = storage.config.clickhouse.collector_user
    with closing(connect(storage.config, user=user, endpoint=storage.endpoint)) as client:
        roll_up(client, storage.config)


def test_what_waits_is_shown(storage: Storage) -> None:
    waits = "SELECT policy_domain, waiting_since IS NULL, made_at > '2000-01-01' FROM dmarc_sources_kept"
    client = storage.client()
    storage.put("dmarc_records", failing(0))
    assert [tuple(row) for row in client.query(waits).result_rows] == [(DOMAIN, False, False)]
    storage.roll_up()
    assert storage.ask(waits) == [(DOMAIN, True, True)]


def test_the_more_there_was_the_later_comes_the_next(storage: Storage) -> None:
    assert roll_up(storage.client(), storage.config) >= rolling_up._AT_LEAST
    storage.put("dmarc_records", failing(0))
    assert rolling_up._AT_LEAST <= roll_up(storage.client(), storage.config) <= rolling_up._AT_MOST


def test_since_when_records_wait_is_a_gauge(storage: Storage) -> None:
    (question,) = [question for question in QUESTIONS if question.columns[0].gauge is DMARC_WAITING]
    storage.put("dmarc_records", failing(0))
    assert storage.ask(question.sql, "exporter") == []
    storage.client().command(
        "INSERT INTO mailposture_tables.dmarc_days_stored (policy_domain, day, stored_at)"
        " VALUES ('example.net', '2026-03-01', 1790000000), ('example.net', '2026-03-02', 1780000000)"
    )
    storage.client().command("TRUNCATE TABLE mailposture_tables.dmarc_rolled_up")
    assert storage.ask(question.sql, "exporter") == [(1780000000,)]


def test_names_of_thousands_of_domains_fit_a_parameter(storage: Storage) -> None:
    names = [f"{'long-' * 10}{number}.example" for number in range(3000)]
    domains = (*storage.config.domains, *(Domain(name=name) for name in names))
    write_domains(storage.client(), storage.config.model_copy(update={"domains": domains}))
    rows = ({**sent(0, ip=SERVER), "policy_domain": name, "day": days_ago(1), "report_key": 1} for name in names)
    storage.put("dmarc_records", *rows)
    for _ in range(3):
        storage.roll_up()
    assert storage.ask("SELECT uniqExact(policy_domain) FROM dmarc_sources_daily") == [(3000,)]
