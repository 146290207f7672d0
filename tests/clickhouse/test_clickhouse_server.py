"""The same against a ClickHouse server, with the users of provisioning/clickhouse as the server reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from engine import Storage, engine_config

from mailposture.clickhouse.embedded import server_endpoint
from mailposture.clickhouse.migrate import migrate
from mailposture.clickhouse.reference import write_domains, write_failure_words

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.docker, pytest.mark.slow]

IMAGE = "clickhouse/clickhouse-server:25.8"
ROLES = ("collector", "exporter", "analyst", "grafana")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    docker = pytest.importorskip("docker")
    try:
        docker.from_env().ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    containers = pytest.importorskip("testcontainers.core.container")
    strategies = pytest.importorskip("testcontainers.core.wait_strategies")
    folder = tmp_path_factory.mktemp("server")
    provisioning = Path("provisioning/clickhouse").resolve()
    container = (
        containers.DockerContainer(IMAGE)
        .with_exposed_ports(8123)
        .with_volume_mapping(str(provisioning / "users.xml"), "/etc/clickhouse-server/users.d/mailposture.xml", "ro")
        .with_volume_mapping(str(provisioning / "server.xml"), "/etc/clickhouse-server/config.d/mailposture.xml", "ro")
        .waiting_for(strategies.HttpWaitStrategy(8123, "/ping"))
    )
    for role in ROLES:
        container.with_env(f"MAILPOSTURE_{role.upper()}_PASSWORD", f"password-of-{role}")
        (folder / f"mailposture_{role}").write_text(f"password-of-{role}")
    with container:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8123)}"
        config = engine_config(folder, clickhouse={"url": url, "passwords": folder})
        yield Storage(config=config, endpoint=server_endpoint(config))


def test_a_server_gets_the_same_schema_and_gives_the_same_answers(server: Storage) -> None:
    client = server.client()
    assert migrate(client, server.config) != []
    assert migrate(client, server.config) == []
    write_domains(client, server.config)
    write_failure_words(client, server.config)
    for _ in range(2):
        server.put("tls_policies", {"successful_sessions": 10})
        server.put("tls_failures", {})
    for role in ("exporter", "analyst", "grafana"):
        assert server.ask("SELECT successful_sessions FROM tls_domain_daily", role) == [(10,)]
        assert server.ask("SELECT count() FROM tls_failure_details", role) == [(1,)]
        assert server.ask("SELECT count() FROM mta_sts_readiness", role) == [(2,)]
    with pytest.raises(DatabaseError):
        server.ask("SELECT count() FROM tls_policies", "grafana")
