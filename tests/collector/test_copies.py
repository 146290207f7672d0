"""One report counts once, by whatever way and in whatever order its copies come; two signers are two reporters."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from engine import DOMAIN
from ingesting import report

from collector.documents.message import open_message
from mailposture.config.model import Config
from mailposture.ownership import Ownership
from reports.envelope import Envelope, Source, Trust
from reports.tls.attribution import attribute
from reports.tls.decode import read_reports
from reports.tls.rows import rows_of

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


def imported(content=None, *, about=DOMAIN, at=FIRST):
    return rows_for(content or report(failed=3), Source.FILE, Trust.OPERATOR, name=f"/in/a!{about}!1!2.json", at=at)


def rows_for(content, source, trust, signer="", *, name="", at=FIRST, **known):
    opened = open_message(content)
    (read,) = read_reports(opened).reports
    around = Envelope(source=Source.FILE if name else source, received_at=at, name=name, **known)
    ours = attribute(read, opened=opened, envelope=around, ownership=OWNERSHIP)
    envelope = Envelope(source=source, received_at=at, name=name, **known)
    return rows_of(read, ours, opened=opened, envelope=envelope, arrived_at=at, trust=trust, dkim_domain=signer)


def stored(storage):
    """Who reports how many failed sessions about which domain, by each table."""
    by_report = storage.ask(
        "SELECT reporter, trust, policy_domains, failed_sessions FROM tls_reports FINAL ORDER BY reporter"
    )
    by_policy = storage.ask(
        "SELECT reporter, trust, [policy_domain], failed_sessions FROM tls_policies FINAL ORDER BY reporter"
    )
    assert by_report == by_policy
    return [(reporter, trust, *domains, failed) for reporter, trust, domains, failed in by_report]


# The contact of these reports is at sender.example.
@pytest.mark.parametrize("signer", ["mx.sender.example", "elsewhere.example"])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_unproven_copies_give_way_to_the_proof_in_any_order(ingest, storage, signer, order):
    copies = [
        proven(signer),
        posted(),
        imported(),
        posted(orjson.dumps(orjson.loads(report(failed=3)), option=orjson.OPT_INDENT_2)),
    ]
    for position in order:
        ingest.writer.write([copies[position]])
    reporter = signer.removeprefix("mx.")
    assert stored(storage) == [(reporter, "dkim", DOMAIN, 3)]


@pytest.mark.parametrize("signer", ["sender.example", "elsewhere.example"])
@pytest.mark.parametrize("order", [1, -1])
def test_copies_in_one_batch_are_one_report(ingest, storage, signer, order):
    ingest.writer.write([posted(), imported(), proven(signer), posted(), proven(signer)][::order])
    assert stored(storage) == [(signer, "dkim", DOMAIN, 3)]


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
    assert storage.ask("SELECT toUnixTimestamp(received_at) FROM tls_reports FINAL") == [(FIRST.timestamp(),)]


def test_import_is_written_again_with_its_first_arrival(ingest, storage):
    """It may be attributed to more of our domains than before."""
    first = imported()
    fewer = first._replace(report=first.report._replace(policy_domains=(), warnings=("left out",)))
    later = imported(at=FIRST + timedelta(days=3))
    ingest.writer.write([fewer._replace(report=fewer.report._replace(policy_domains=(DOMAIN,)))])
    ingest.writer.write([later])
    arrivals = storage.ask("SELECT toUnixTimestamp(received_at), warnings FROM tls_reports FINAL")
    assert arrivals == [(FIRST.timestamp(), [])]


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
    assert storage.ask("SELECT DISTINCT policy_domain FROM tls_failures FINAL WHERE policy_index = 1") == [(OTHER,)]


def places(storage):
    return storage.ask(
        "SELECT policy_index, policy_domain FROM tls_policies FINAL ORDER BY policy_index, policy_domain"
    )


def test_unproven_copy_is_gone_although_ingest_was_killed_before_it_was(ingest, storage):
    ingest.writer.write([posted()])
    delete = ingest.writer._delete
    ingest.writer._delete = lambda _, stale: stale and (_ for _ in ()).throw(OperationalError("killed"))
    with pytest.raises(OperationalError):
        ingest.writer.write([proven("elsewhere.example")])
    ingest.writer._delete = delete
    assert ingest.writer.write([proven("elsewhere.example")]) == 1
    assert stored(storage) == [("elsewhere.example", "dkim", DOMAIN, 3)]


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
