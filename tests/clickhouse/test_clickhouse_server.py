"""The same against a ClickHouse server, with the users of provisioning/clickhouse as the server reads them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import docker.errors
import pytest
import yaml
from clickhouse_connect.driver.exceptions import DatabaseError
from engine import Storage, engine_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy

import docker
from mailposture.clickhouse.embedded import server_endpoint
from mailposture.clickhouse.migrate import migrate
from mailposture.clickhouse.reference import write_domains
from reports.schema_groups import SCHEMA_GROUPS
from reports.tls.meanings import write_failure_words

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
OLDEST = "clickhouse/clickhouse-server:25.8"
OF_THE_STACK = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["clickhouse"]["image"]
ROLES = ("collector", "exporter", "analyst", "grafana")


@pytest.fixture(scope="module", params=[OLDEST, OF_THE_STACK])
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Storage]:
    image = request.param
    try:
        docker.from_env().images.get(image)
    except docker.errors.ImageNotFound:
        pytest.skip(f"the image is missing: docker pull {image}")
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers (.ci/docker-engine starts one): {error}")
    folder = tmp_path_factory.mktemp("server")
    provisioning = ROOT / "provisioning" / "clickhouse"
    with Network() as network:  # the engine need not have a default one
        container = (
            DockerContainer(image)
            .with_network(network)
            .with_exposed_ports(8123)
            .with_volume_mapping(provisioning / "users.xml", "/etc/clickhouse-server/users.d/mailposture.xml", "ro")
            .with_volume_mapping(provisioning / "server.xml", "/etc/clickhouse-server/config.d/mailposture.xml", "ro")
            .waiting_for(HttpWaitStrategy(8123, "/ping"))
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
    assert migrate(client, server.config, SCHEMA_GROUPS) != []
    assert migrate(client, server.config, SCHEMA_GROUPS) == []
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
        server.ask("SELECT count() FROM mailposture_tables.tls_policies", "grafana")
