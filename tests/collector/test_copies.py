"""One report counts once, by whatever way and in whatever order its copies come; two signers are two reporters."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from engine import DOMAIN
from ingesting import report
from tls_rows import tls_rows

from collector.documents.message import open_message
from mailposture.config.model import Config
from mailposture.ownership import Ownership
from reports.envelope import Envelope, Source, Trust
from reports.reading import read_reports

OTHER = "other.example"
FIRST = datetime(2026, 11, 2, 10, tzinfo=UTC)
OWNERSHIP = Ownership(Config.model_validate({"domains": [{"name": DOMAIN}, {"name": OTHER}]}))
UNNAMED = orjson.dumps(
    {
        **orjson.loads(report(failed=3)),
        "policies": [{"policy": {"policy-type": "no-policy-found"}, "summary": {"total-failure-session-count": 3}}],
    }
)


def proven(signer, content=None, *, about=DOMAIN, at=FIRST):
    """A report as mail that this domain has signed."""
    return rows_for(content or report(failed=3), Source.SMTP, Trust.DKIM, signer, name=f"a!{about}!1!2.json", at=at)


def posted(content=None, *, about=DOMAIN, at=FIRST):
    return rows_for(content or report(failed=3), Source.HTTPS, Trust.TOKEN, token_domain=about, at=at)


def imported(content=None, *, about=DOMAIN, at=FIRST, submitter="", sender="a"):
    name = f"/in/{sender}!{about}!1!2.json"
    return rows_for(content or report(failed=3), Source.FILE, Trust.OPERATOR, name=name, at=at, submitter=submitter)


def in_mailbox(content=None, *, submitter=""):
    """A mail from a mailbox with `trusted: true`."""
    name = f"a!{DOMAIN}!1!2.json"
    return rows_for(content or report(failed=3), Source.IMAP, Trust.MAILBOX, name=name, submitter=submitter)


def rows_for(content, source, trust, signer="", *, name="", at=FIRST, submitter="", **known):
    opened = replace(open_message(content), fields={b"tls-report-submitter": (submitter,)})
    ((_, read),) = read_reports(opened).reports
    around = Envelope(source=Source.FILE if name else source, received_at=at, name=name, **known)
    envelope = Envelope(source=source, received_at=at, name=name, **known)
    return tls_rows(read, OWNERSHIP, opened=opened, envelope=envelope, attributed_as=around, trust=trust, signer=signer)


def stored(storage):
    """Who reports how many failed sessions about which domain, by each table."""
    by_report = storage.ask(
        "SELECT reporter, trust, policy_domains, failed_sessions"
        " FROM mailposture_tables.tls_reports FINAL ORDER BY reporter"
    )
    by_policy = storage.ask(
        "SELECT reporter, trust, [policy_domain], failed_sessions"
        " FROM mailposture_tables.tls_policies FINAL ORDER BY reporter"
    )
    assert by_report == by_policy
    return [(reporter, trust, *domains, failed) for reporter, trust, domains, failed in by_report]


# The contact of these reports is at sender.example.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("signer", "kept"),
    [
        ("mx.sender.example", ("sender.example", "dkim")),
        ("elsewhere.example", ("sender.example", "operator")),  # whoever knows a report can sign it
    ],
)
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_copies_by_every_way_count_once_in_any_order(ingest, storage, signer, kept, order):
    copies = [
        proven(signer),
        posted(),
        imported(),
        posted(orjson.dumps(orjson.loads(report(failed=3)), option=orjson.OPT_INDENT_2)),
    ]
    for position in order:
        ingest.writer.write([copies[position]])
    assert stored(storage) == [(*kept, DOMAIN, 3)]


@pytest.mark.parametrize(
    ("signer", "kept"),
    [("sender.example", ("sender.example", "dkim")), ("elsewhere.example", ("sender.example", "operator"))],
)
@pytest.mark.parametrize("order", [1, -1])
def test_copies_in_one_batch_are_one_report(ingest, storage, signer, kept, order):
    ingest.writer.write([posted(), imported(), proven(signer), posted(), proven(signer)][::order])
    assert stored(storage) == [(*kept, DOMAIN, 3)]


@pytest.mark.parametrize("order", [1, -1])
def test_a_post_gives_way_to_whoever_signs(ingest, storage, order):
    """Some reporters have others sign for them, and send the same report by HTTPS."""
    for copy in [posted(), proven("elsewhere.example")][::order]:
        ingest.writer.write([copy])
    assert stored(storage) == [("elsewhere.example", "dkim", DOMAIN, 3)]


@pytest.mark.parametrize("make", [imported, in_mailbox], ids=["import", "mailbox"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_mail_gives_way_to_the_signer_that_it_names_as_its_submitter(ingest, storage, make, order):
    for copy in [make(submitter="reports.elsewhere.example"), proven("mx.elsewhere.example")][::order]:
        ingest.writer.write([copy])
    assert stored(storage) == [("elsewhere.example", "dkim", DOMAIN, 3)]


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_gives_way_to_the_signer_that_its_name_names(ingest, storage, order):
    """A third of all DMARC reports are mailed from another domain than they name as their contact."""
    for copy in [imported(sender="elsewhere.example"), proven("mx.elsewhere.example")][::order]:
        ingest.writer.write([copy])
    assert stored(storage) == [("elsewhere.example", "dkim", DOMAIN, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_what_an_operator_gave_us_stays_whoever_signs_it_too(ingest, storage, order):
    copies = [imported(submitter="sender.example"), proven("evil.example"), proven("worse.example"), in_mailbox()]
    for position in order:
        ingest.writer.write([copies[position]])
    assert stored(storage) == [("sender.example", "operator", DOMAIN, 3)]
    ingest.writer.write([proven("sender.example")])
    assert stored(storage) == [("sender.example", "dkim", DOMAIN, 3)]


@pytest.mark.parametrize(("order", "kept"), [(1, ("sender.example", "mailbox")), (-1, ("evil.example", "dkim"))])
def test_of_a_mailbox_copy_and_the_proof_of_another_the_first_stays(ingest, storage, order, kept):
    """Both can be made by whoever knows the report: neither takes the other's place."""
    for copy in [in_mailbox(), proven("evil.example"), in_mailbox(), proven("evil.example")][::order]:
        ingest.writer.write([copy])
    assert stored(storage) == [(*kept, DOMAIN, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 7])
def test_nothing_counts_twice_and_no_operator_is_overruled_whatever_comes_in_which_order(ingest, storage, batches):
    """300 reports, each by a random selection of routes."""
    choice = random.Random(batches)
    routes = {
        "C": lambda content: proven("mx.sender.example", content),
        "E": lambda content: proven("evil.example", content),
        "o": imported,
        "m": in_mailbox,
        "p": posted,
    }
    came = {number: [choice.choice("CEomp") for _ in range(choice.randint(1, 7))] for number in range(300)}
    arriving = [(number, route) for number, ways in came.items() for route in ways]
    choice.shuffle(arriving)
    rows = [routes[route](report(number, failed=1)) for number, route in arriving]
    size = -(-len(rows) // batches)
    for start in range(0, len(rows), size):
        ingest.writer.write(rows[start : start + size])
    found = {number: set() for number in came}
    stored = "SELECT report_id, reporter, trust FROM mailposture_tables.tls_reports FINAL"
    for report_id, reporter, trust in storage.ask(stored):
        found[int(report_id)].add((reporter, trust))
    sessions = storage.ask(
        "SELECT reporter, trust, sum(failed_sessions) FROM mailposture_tables.tls_policies FINAL GROUP BY ALL"
    )
    for number, ways in came.items():
        true, evil = ("sender.example", "dkim"), ("evil.example", "dkim")
        if "C" in ways:
            assert found[number] in ({true}, {true, evil}), ways
        elif "o" in ways:
            assert found[number] == {("sender.example", "operator")}, ways
        elif {"E", "m"} <= set(ways):
            assert found[number] in ({evil}, {("sender.example", "mailbox")}), ways
        else:
            assert len(found[number]) == 1, ways
    assert sum(failed for *_, failed in sessions) == sum(map(len, found.values()))


@pytest.mark.slow
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_two_signers_of_the_same_words_stay_two(ingest, storage, order):
    copies = [proven("sender.example"), proven("evil.example"), posted()]
    for position in order:
        ingest.writer.write([copies[position]])
    assert stored(storage) == [("evil.example", "dkim", DOMAIN, 3), ("sender.example", "dkim", DOMAIN, 3)]


def test_reports_that_only_look_alike_stay_apart(ingest, storage):
    ingest.writer.write(
        [posted(report(1, failed=3)), posted(report(2, failed=3)), proven("elsewhere.example", report(3))]
    )
    assert [failed for *_, failed in stored(storage)] == [0, 3, 3]


def test_report_without_policy_domain_posted_to_two_paths_counts_once(ingest, storage):
    ingest.writer.write([posted(UNNAMED)])
    ingest.writer.write([posted(UNNAMED, about=OTHER)])
    assert stored(storage) == [("sender.example", "token", DOMAIN, 3)]
    ingest.writer.write([proven("sender.example", UNNAMED, about=OTHER)])  # its own file name says better
    assert stored(storage) == [("sender.example", "dkim", OTHER, 3)]


def test_reports_without_policy_domain_whose_mails_name_two_domains_are_two(ingest, storage):
    ingest.writer.write([proven("sender.example", UNNAMED), proven("sender.example", UNNAMED, about=OTHER)])
    assert sorted(domain for _, _, domain, _ in stored(storage)) == sorted([DOMAIN, OTHER])


@pytest.mark.parametrize("copy", [lambda at: proven("sender.example", at=at), lambda at: posted(at=at)])
def test_copy_does_not_look_like_a_new_arrival(ingest, storage, copy):
    ingest.writer.write([copy(FIRST)])
    assert ingest.writer.write([copy(FIRST + timedelta(days=3))]) == 1
    assert storage.ask("SELECT toUnixTimestamp(received_at) FROM mailposture_tables.tls_reports FINAL") == [
        (FIRST.timestamp(),)
    ]


def test_import_is_written_again_with_its_first_arrival(ingest, storage):
    """It may be attributed to more of our domains than before."""
    first = imported()
    fewer = first._replace(report=first.report._replace(policy_domains=(), warnings=("left out",)))
    later = imported(at=FIRST + timedelta(days=3))
    ingest.writer.write([fewer._replace(report=fewer.report._replace(policy_domains=(DOMAIN,)))])
    ingest.writer.write([later])
    arrivals = storage.ask("SELECT toUnixTimestamp(received_at), warnings FROM mailposture_tables.tls_reports FINAL")
    assert arrivals == [(FIRST.timestamp(), [])]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["one after the other", "killed", "in one batch"])
def test_import_that_is_attributed_otherwise_leaves_nothing_where_it_was(ingest, storage, monkeypatch, how):
    """The host of a DANE policy was nobody's, then another domain of ours was configured with it."""
    dane = {"policy": {"policy-type": "tlsa", "policy-domain": "mx.hosting.example"}}
    detail = {"result-type": "tlsa-invalid", "failed-session-count": 3}
    sts = orjson.loads(report(failed=3))["policies"]
    content = orjson.dumps(
        {**orjson.loads(report()), "policies": [*sts, {**dane, "summary": {}, "failure-details": [detail]}]}
    )
    before = imported(content)
    if how != "in one batch":
        ingest.writer.write([before])
        assert places(storage) == [(0, DOMAIN), (1, DOMAIN)]
    domains = [{"name": DOMAIN}, {"name": OTHER, "mx": ["mx.hosting.example"]}]
    monkeypatch.setitem(globals(), "OWNERSHIP", Ownership(Config.model_validate({"domains": domains})))
    if how == "killed":
        with monkeypatch.context() as patched:
            patched.setattr(ingest.writer, "_insert", lambda *_: (_ for _ in ()).throw(OperationalError("killed")))
            with pytest.raises(OperationalError):
                ingest.writer.write([imported(content)])
    ingest.writer.write([before, imported(content)] if how == "in one batch" else [imported(content)])
    assert places(storage) == [(0, DOMAIN), (1, OTHER)]
    assert storage.ask(
        "SELECT DISTINCT policy_domain FROM mailposture_tables.tls_failures FINAL WHERE policy_index = 1"
    ) == [(OTHER,)]


def places(storage):
    return storage.ask(
        "SELECT policy_index, policy_domain FROM mailposture_tables.tls_policies FINAL"
        " ORDER BY policy_index, policy_domain"
    )


def test_unproven_copy_is_gone_although_ingest_was_killed_before_it_was(ingest, storage):
    ingest.writer.write([posted()])
    killed_before_it_deletes(ingest, proven("elsewhere.example"))
    assert ingest.writer.write([proven("elsewhere.example")]) == 1
    assert stored(storage) == [("elsewhere.example", "dkim", DOMAIN, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("next_copy", [imported, in_mailbox, lambda: proven("evil.example")])
def test_re_signed_copy_is_gone_although_the_import_was_killed_before_it_was(ingest, storage, next_copy):
    ingest.writer.write([proven("evil.example")])
    killed_before_it_deletes(ingest, imported())
    assert len(stored(storage)) == 2
    ingest.writer.write([next_copy()])
    assert stored(storage) == [("sender.example", "operator", DOMAIN, 3)]


def killed_before_it_deletes(ingest, rows):
    delete = ingest.writer.delete
    ingest.writer.delete = lambda _, stale: stale and (_ for _ in ()).throw(OperationalError("killed"))
    with pytest.raises(OperationalError):
        ingest.writer.write([rows])
    ingest.writer.delete = delete


def test_many_copies_give_way_in_as_many_commands_as_one(ingest, storage, monkeypatch):
    """Anybody can post reports and then sign them, and a delete takes a good part of a second."""
    commands = []
    command = ingest.writer._client.command
    monkeypatch.setattr(
        ingest.writer._client, "command", lambda *sql, **more: commands.append(sql) or command(*sql, **more)
    )
    ingest.writer.write([posted(report(number, failed=3)) for number in range(300)])
    ingest.writer.write([proven("elsewhere.example", report(number, failed=3)) for number in range(300)])
    assert len(commands) == 3
    assert {reporter for reporter, *_ in stored(storage)} == {"elsewhere.example"}
    assert len(stored(storage)) == 300
