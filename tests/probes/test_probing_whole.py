"""Probes at work from configuration to page, to rows and to answers, against real servers and the real engine."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import faulty_policy_server
import faulty_smtp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from engine import TODAY, Storage
from eventually import eventually
from faulty_policy_server import Answer
from faulty_smtp import Fault
from outside import DOMAIN, MX, configuration, policy_of
from programs import program
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from exporter.probes import PROBES
from exporter.probes.history import History
from exporter.probes.inserting import Inserting
from exporter.probes.outcome import Finding, ProbeOutcome
from exporter.probes.probing import Probing
from exporter.probes.results import PORT_25_BLOCKED
from exporter.probes.schedule import Probed
from exporter.service import application
from exporter.snapshot import Refresher
from mailposture.checks.reason import Reason
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.migrate import migrate
from reports.schema_groups import SCHEMA_GROUPS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from outside import World


@contextlib.asynccontextmanager
async def probing(
    world: World, registry: CollectorRegistry, fault: Fault = Fault.NONE, *, patience: float = 5
) -> AsyncIterator[Probing]:
    """Probe our domain, whose MX has a fault, until the end of the block."""
    context = world.authority.issue([MX]).server_context()
    policy_host = world.authority.issue([f"mta-sts.{DOMAIN}"]).server_context()
    async with (
        faulty_smtp.serving(context, fault) as (_, smtp_port),
        faulty_policy_server.serving(Answer(body=policy_of(world.config)), policy_host) as https_port,
    ):
        vantage = world.vantage(smtp_port=smtp_port, https_port=https_port, timeout=patience)
        probing = Probing(config=world.config, registry=registry, vantage=vantage)
        probing.start()
        try:
            yield probing
        finally:
            await asyncio.to_thread(probing.stop)
            assert not probing.alive


def values(page: bytes) -> dict[str, float]:
    return {
        " ".join((sample.name, *list(sample.labels.values())[1:])): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def all_have_probed(probing: Probing) -> bool:
    return all(probe.success.name in probing.page.decode() for probe in PROBES.values())


async def test_page_tells_of_all_probes_and_promtool_and_prometheus_read_it(world: World, tmp_path: Path) -> None:
    world.config = configuration(data=str(tmp_path))
    registry = CollectorRegistry()
    async with probing(world, registry, Fault.NO_STARTTLS) as probes:
        await asyncio.to_thread(
            eventually,
            "every probe",
            lambda: all(probe.success.name in probes.page.decode() for probe in PROBES.values()),
        )
        page = probes.page + generate_latest(registry)
    checked = await asyncio.to_thread(
        subprocess.run, [program("promtool"), "check", "metrics"], input=page, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
    assert all(family.documentation for family in text_string_to_metric_families(page.decode()))
    found = values(page)
    assert (found["dns_record_probe_success"], found["mta_sts_probe_success"]) == (1, 1)
    assert found["mx_probe_success"] == 0
    assert found["mx_probe_failure starttls-not-offered"] == 1
    assert found[f"mx_server_starttls_offered {MX}"] == 0
    assert found["mx_outbound_port_25_blocked"] == 0
    known = {gauge.name for probe in PROBES.values() for gauge in probe.all_gauges} | {PORT_25_BLOCKED.name}
    names = {family.name for family in text_string_to_metric_families(probes.page.decode())}
    assert names <= known


async def test_scrapes_are_answered_while_every_server_hangs(world: World, tmp_path: Path) -> None:
    world.config = configuration(data=str(tmp_path))
    registry = CollectorRegistry()
    refresher = Refresher(read=lambda: "", knock=lambda: None, without_reports="", every=60, registry=registry)
    async with probing(world, registry, Fault.SILENT, patience=600) as probes:
        app = application(refresher=refresher, registry=registry, probing=probes)
        async with TestClient(TestServer(app)) as client:
            refresher.start()
            for _ in range(20):
                async with asyncio.timeout(60):
                    text = await (await client.get("/metrics")).text()
                assert "mx_outbound_port_25_blocked" in text
            assert (await client.get("/healthz")).status == 200
    refresher.stop()


async def test_healthz_fails_once_nothing_probes_any_more(world: World, tmp_path: Path) -> None:
    world.config = configuration(data=str(tmp_path))
    registry = CollectorRegistry()
    refresher = Refresher(read=lambda: "", knock=lambda: None, without_reports="", every=60, registry=registry)
    refresher.start()
    async with probing(world, registry) as ended:
        pass
    await asyncio.to_thread(eventually, "its end", lambda: not ended.alive)
    async with TestClient(TestServer(application(refresher=refresher, registry=registry, probing=ended))) as client:
        response = await client.get("/healthz")
        assert (response.status, await response.text()) == (
            503,
            "the thread that probes has ended; restart the exporter\n",
        )
    refresher.stop()


def test_end_that_comes_right_after_the_start_is_not_missed(world: World, tmp_path: Path) -> None:
    world.config = configuration(data=str(tmp_path))
    for _ in range(20):
        ended = Probing(config=world.config, registry=CollectorRegistry(), vantage=world.vantage())
        ended.start()
        ended.stop()
        assert not ended.alive


async def test_what_probes_saw_becomes_history(world: World, storage: Storage) -> None:
    world.config = storage.config.model_copy(update={"domains": world.config.domains})
    registry = CollectorRegistry()
    async with probing(world, registry) as probes:
        await asyncio.to_thread(
            eventually,
            "every probe",
            lambda: all(probe.success.name in probes.page.decode() for probe in PROBES.values()),
        )
    # stop() has written what waited
    columns = (
        "probe, record, receiving_mx, receiving_ip, probes, successes, reason, tls_versions, tlsa, sts_mode, mx_covered"
    )
    rows = storage.ask(f"SELECT {columns} FROM probe_results_daily ORDER BY probe, record", "grafana")
    none = ("", "", 1, 1, "", [], "")
    assert rows == [
        *(("dns", record, *none, "", None) for record in ("dmarc", "mta-sts", "mx", "spf", "tls-rpt")),
        ("mta-sts", "", *none, "enforce", True),
        ("mx", "", MX, "127.0.0.1", 1, 1, "", ["TLSv1.3"], "absent", "", None),
    ]
    assert storage.ask(
        "SELECT uniqExact(day), min(policy_domain), max(duration_seconds) < 30 FROM mailposture_tables.probe_results"
    ) == [(1, DOMAIN, True)]


def test_probes_are_up_while_what_they_see_is_stored(storage: Storage, tmp_path: Path) -> None:
    registry, seconds = CollectorRegistry(), [0.0]
    history = History(registry=registry, patience=60, now=lambda: seconds[0])

    def up(after: float) -> float | None:
        seconds[0] = after
        return registry.get_sample_value("mailposture_probes_up")

    nowhere = Inserting(configuration(data=str(tmp_path), clickhouse={"http": "127.0.0.1:0", "native": "127.0.0.1:0"}))
    assert (up(60), up(61)) == (1, 0)
    history.note(probed())
    history.write(nowhere)
    assert up(61) == 0
    history.write(Inserting(storage.config))
    assert (up(61), up(121), up(122)) == (1, 1, 0)
    history.write(Inserting(storage.config))
    assert up(122) == 0, "nothing was probed"


def probed(**more: Any) -> Probed:
    finding = Finding(receiving_mx=MX, receiving_ip="2001:db8::1", success=False, reason=Reason.TIMEOUT, **more)
    return Probed(
        policy_domain=DOMAIN,
        probe="mx",
        probed_at=datetime.combine(TODAY, datetime.min.time(), UTC),
        duration=1.5,
        outcome=ProbeOutcome(success=False, findings=(finding,)),
    )


def test_same_row_written_twice_counts_once(storage: Storage) -> None:
    for _ in range(2):
        history = History(registry=CollectorRegistry(), patience=60)
        history.note(probed())
        history.write(Inserting(storage.config))
    assert storage.ask("SELECT probes, receiving_ip, reason FROM probe_results_daily", "exporter") == [
        (1, "2001:db8::1", "timeout")
    ]


@pytest.mark.parametrize(
    "expiry",
    [
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(1950, 1, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
    ],
)
def test_certificates_from_the_ends_of_time_are_kept(storage: Storage, expiry: datetime) -> None:
    history = History(registry=CollectorRegistry(), patience=60)
    history.note(probed(certificate_not_after=expiry, detail="x" * 10_000))
    history.write(Inserting(storage.config))
    (row,) = storage.ask("SELECT certificate_not_after, length(detail) FROM mailposture_tables.probe_results")
    assert row == (min(expiry, datetime(2299, 12, 31, tzinfo=UTC)).replace(tzinfo=None), 500)


@pytest.mark.slow
def test_rows_wait_for_clickhouse_and_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration(data=str(tmp_path), clickhouse={"http": "127.0.0.1:0", "native": "127.0.0.1:0"})
    registry = CollectorRegistry()
    monkeypatch.setattr("exporter.probes.history._MOST_WAITING", 3)
    history = History(registry=registry, patience=60)
    for second in range(5):
        history.note(replace(probed(), probed_at=datetime.now(UTC) + timedelta(seconds=second)))
    insert = Inserting(config)
    history.write(insert)
    assert registry.get_sample_value("mailposture_probe_rows_total", {"outcome": "written"}) == 0
    assert registry.get_sample_value("mailposture_probe_rows_total", {"outcome": "lost"}) == 2
    with EmbeddedEngine(config) as endpoint:
        storage = Storage(config=config, endpoint=endpoint)
        migrate(storage.client(), config, SCHEMA_GROUPS)
        history.write(insert)
        assert storage.ask("SELECT count() FROM mailposture_tables.probe_results") == [(3,)]
    assert registry.get_sample_value("mailposture_probe_rows_total", {"outcome": "written"}) == 3
