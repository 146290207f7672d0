from __future__ import annotations

import asyncio
import gzip
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from programs import program
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from exporter.questions import QUESTIONS
from exporter.reported import configured, reported
from exporter.service import application
from exporter.snapshot import Refresher
from mailposture.config.model import Config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

CONFIG = Config.model_validate(
    {
        "domains": [
            {"name": "shop.example", "team": "web", "thresholds": {"failure_ratio": 0.1, "stale_after": "2d"}},
            {"name": "quiet.example"},
        ]
    }
)


def answer(sql: str, _: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
    """Rows as ClickHouse would give them, with what must never become a label among them."""
    question = next(question for question in QUESTIONS if question.sql == sql)
    labels = {
        (): ((),),
        ("policy_domain",): ((),),
        ("policy_domain", "standing"): (("established",), ('made"up',)),
        ("policy_domain", "pile"): (("aligned",), ('made"up',)),
        ("policy_domain", "kind", "cause", "severity", "mx", "record"): (
            ("tls", "certificate", "critical", "", ""),
            ("outside", "record-wrong", "warning", "", "mx"),
            ("bad", 'made"up\n', "worse", "", ""),
            ("worse", 'made"up\t', "bad", "", ""),
        ),
    }[question.labels]
    domains = (("shop.example",), ('evil"}.example',)) if question.labels else ((),)
    return [(*domain, *values, *range(1, len(question.columns) + 1)) for domain in domains for values in labels]


def page() -> str:
    return configured(CONFIG) + reported(
        ask=answer,
        domains={domain.name for domain in CONFIG.domains},
    )


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def refresher(registry: CollectorRegistry) -> Refresher:
    return Refresher(read=page, knock=lambda: None, without_reports=configured(CONFIG), every=60, registry=registry)


@pytest.fixture
async def client(refresher: Refresher, registry: CollectorRegistry) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(application(refresher=refresher, registry=registry))) as client:
        yield client


def lint(text: bytes) -> str:
    """What `promtool check metrics` complains about."""
    checked = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, check=False)
    return (checked.stdout + checked.stderr).decode()


async def scrape(client: TestClient[Any, Any]) -> dict[str, list[tuple[dict[str, str], float]]]:
    text = await (await client.get("/metrics")).text()
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


async def test_promtool_finds_nothing_to_complain_about(client: TestClient[Any, Any], refresher: Refresher) -> None:
    refresher.refresh()
    assert await asyncio.to_thread(lint, await (await client.get("/metrics")).read()) == ""


async def test_every_metric_has_a_help_text(client: TestClient[Any, Any], refresher: Refresher) -> None:
    refresher.refresh()
    text = await (await client.get("/metrics")).text()
    assert all(family.documentation for family in text_string_to_metric_families(text))


async def test_thresholds_and_teams_come_from_the_configuration_even_without_clickhouse(
    client: TestClient[Any, Any],
) -> None:
    metrics = await scrape(client)
    assert ({"policy_domain": "shop.example", "team": "web"}, 1) in metrics["mailposture_domain_info"]
    assert ({"policy_domain": "shop.example"}, 172800) in metrics["mailposture_threshold_stale_seconds"]
    assert "tlsrpt_sessions" not in metrics
    assert metrics["mailposture_reported_up"] == [({}, 0)]


def test_no_reports_are_expected_about_a_parked_domain() -> None:
    domains = [{"name": "parked.example", "parked": True}, {"name": "example.com"}]
    page = configured(Config.model_validate({"domains": domains}))
    assert 'mailposture_threshold_stale_seconds{policy_domain="example.com"}' in page
    assert 'mailposture_threshold_stale_seconds{policy_domain="parked.example"}' not in page
    assert 'mailposture_domain_info{policy_domain="parked.example",team="mail"} 1' in page


async def test_only_configured_domains_and_known_terms_become_labels(
    client: TestClient[Any, Any], refresher: Refresher
) -> None:
    refresher.refresh()
    metrics = await scrape(client)
    samples = [labels for family in metrics.values() for labels, _ in family]
    assert {labels["policy_domain"] for labels in samples if "policy_domain" in labels} == {
        "shop.example",
        "quiet.example",
    }
    shop = {"policy_domain": "shop.example"}
    assert metrics["mailposture_attention"] == [
        ({**shop, "kind": "tls", "cause": "certificate", "severity": "critical", "mx": "", "record": ""}, 1),
        ({**shop, "kind": "outside", "cause": "record-wrong", "severity": "warning", "mx": "", "record": "mx"}, 1),
        ({**shop, "kind": "other", "cause": "other", "severity": "other", "mx": "", "record": ""}, 2),
    ]


async def test_a_domain_without_reports_has_zero_sessions_and_no_last_report_day(
    client: TestClient[Any, Any], refresher: Refresher
) -> None:
    refresher.refresh()
    metrics = await scrape(client)
    quiet = {"policy_domain": "quiet.example"}
    assert ({**quiet, "outcome": "failed"}, 0) in metrics["tlsrpt_sessions"]
    assert quiet not in [labels for labels, _ in metrics["tlsrpt_last_report_day_timestamp_seconds"]]


async def test_gzip_and_plain_say_the_same_and_only_on_request(
    refresher: Refresher, client: TestClient[Any, Any]
) -> None:
    refresher.refresh()
    async with client.get("/metrics", headers={"Accept-Encoding": "identity"}) as plain:
        assert "Content-Encoding" not in plain.headers
        reported_lines = [line for line in (await plain.text()).splitlines() if line.startswith("tlsrpt_")]
    async with client.session.get(
        client.make_url("/metrics"), headers={"Accept-Encoding": "gzip"}, auto_decompress=False
    ) as packed:
        assert packed.headers["Content-Encoding"] == "gzip"
        lines = gzip.decompress(await packed.read()).decode().splitlines()
    assert [line for line in lines if line.startswith("tlsrpt_")] == reported_lines


async def test_a_scrape_is_answered_while_clickhouse_hangs(registry: CollectorRegistry) -> None:
    asked, release = threading.Event(), threading.Event()

    def hanging() -> str:
        asked.set()
        release.wait()
        return ""

    refresher = Refresher(
        read=hanging, knock=lambda: None, without_reports=configured(CONFIG), every=60, registry=registry
    )
    refresher.start()
    try:
        assert asked.wait(60)
        async with TestClient(TestServer(application(refresher=refresher, registry=registry))) as client:
            assert "mailposture_domain_info" in await scrape(client)
            assert (await client.get("/healthz")).status == 200
            assert (await client.get("/readyz")).status == 503
    finally:
        release.set()
        refresher.stop()


async def test_readyz_says_why_not(client: TestClient[Any, Any], refresher: Refresher) -> None:
    response = await client.get("/readyz")
    assert (response.status, await response.text()) == (503, "ClickHouse has not answered yet\n")
    refresher.refresh()
    assert (await client.get("/readyz")).status == 200


async def test_healthz_fails_once_nothing_renews_the_metrics_any_more(client: TestClient[Any, Any]) -> None:
    response = await client.get("/healthz")
    assert response.status == 503
    assert "restart the exporter" in await response.text()
