"""What the database knows of the configuration: written when it differs, by those whose configuration counts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from clock import NOW, TODAY
from engine import Storage, engine_config

from cli.database import database
from mailposture.config.domains import Domain, Thresholds
from reports.prepare import prepare
from reports.tls.summary import summarize

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

pytestmark = pytest.mark.slow


def written(storage: Storage) -> dict[str, datetime]:
    """When each domain and word was written last."""
    rows = storage.ask(
        "SELECT policy_domain, updated_at FROM mailposture_tables.configured_domains FINAL UNION ALL"
        " SELECT concat(kind, ' ', term), updated_at FROM mailposture_tables.failure_words FINAL"
    )
    return dict(rows)


def test_starting_again_writes_only_what_differs(storage: Storage) -> None:
    client, config = storage.client(), storage.config
    prepare(client, config)
    first = written(storage)
    prepare(client, config)
    assert written(storage) == first

    stricter = Domain(name="example.com", thresholds=Thresholds(failure_ratio=0.01))
    prepare(client, config.model_copy(update={"domains": (stricter, *config.domains[1:])}))
    again = written(storage)
    assert {name for name, at in again.items() if at != first[name]} == {"example.com"}
    assert storage.ask("SELECT failure_ratio_threshold FROM domains ORDER BY policy_domain") == [(0.01,), (0.05,)]


def test_parked_domain_is_known_as_one_and_is_not_asked_to_enforce(storage: Storage) -> None:
    parked = Domain(name="example.com", parked=True)
    for minutes in (1, 16):
        made = {"day": TODAY, "success": False, "probed_at": NOW - timedelta(minutes=minutes)}
        server = {"probe": "mx", "receiving_mx": "mx.example", "reason": "starttls-not-offered", "reachable": True}
        policy = {"probe": "mta-sts", "reason": "policy-timeout"}
        for fault in (server, policy):
            storage.put(
                "probe_results", *({**made, **fault, "policy_domain": name} for name in ("example.com", "example.net"))
            )
    asked = "SELECT DISTINCT policy_domain, cause FROM attention ORDER BY ALL"
    causes = ["mx-without-starttls", "never-reported", "policy-unfetchable"]
    assert storage.ask(asked) == [(name, cause) for name in ("example.com", "example.net") for cause in causes]
    prepare(storage.client(), storage.config.model_copy(update={"domains": (parked, *storage.config.domains[1:])}))
    assert storage.ask(asked) == [("example.net", cause) for cause in causes], "nor does anything need attention"
    assert storage.ask("SELECT policy_domain, parked FROM domains ORDER BY 1") == [
        ("example.com", True),
        ("example.net", False),
    ]
    assert storage.ask("SELECT policy_domain FROM mta_sts_readiness") == [("example.net",)]
    parked_of = {summary.policy_domain: summary.parked for summary in summarize(storage.client(), days=7)}
    assert parked_of == {"example.com": True, "example.net": False}


def test_command_with_another_configuration_changes_nothing_under_a_service(storage: Storage) -> None:
    names = "SELECT policy_domain FROM domains ORDER BY policy_domain"
    other = storage.config.model_copy(update={"domains": (Domain(name="example.org"),)})
    with database(other, user="mailposture_analyst") as client:
        assert client.query(names).result_rows == [("example.com",), ("example.net",)]


def test_command_that_starts_the_engine_brings_its_configuration(tmp_path: Path) -> None:
    for domain in ("example.com", "example.org"):
        with database(engine_config(tmp_path, domains=[{"name": domain}]), user="mailposture_analyst") as client:
            assert client.query("SELECT policy_domain FROM domains").result_rows == [(domain,)]
