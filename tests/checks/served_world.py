"""A world on loopback for commands: DNS, our policy host, an MX server.

`from served_world import World, mail, world` in a file of tests; `world` is a fixture.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import faulty_smtp
import pytest
import yaml
from click.testing import CliRunner
from faulty_smtp import Fault

import cli.check
import cli.policy
import cli.records
from mailposture.config.file import load
from mailposture.expectation import expectation
from mailposture.records.formats import zone as zone_text_of
from policy_host.service import PolicyHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from typing import Any

    import click
    from click.testing import Result
    from loopback_dns import Zone
    from pki import CertificateAuthority

    from mailposture.checks.vantage import Vantage

BASE = """
example.test.            300 IN MX 10 mx1.example.test.
example.test.            300 IN TXT "v=spf1 mx -all"
mx1.example.test.        300 IN A 127.0.0.1
policies.host.test.      300 IN A 127.0.0.1
parked.test.             300 IN MX 0 .
parked.test.             300 IN TXT "v=spf1 -all"
_dmarc.parked.test.      300 IN TXT "v=DMARC1; p=reject"
*._domainkey.parked.test. 300 IN TXT "v=DKIM1; p="
"""


@dataclass(kw_only=True)
class World:
    """A configured domain, and everything that senders meet."""

    config_path: Path
    zone: Zone
    host: PolicyHost
    use: Callable[[Vantage], None]

    def configure(self, **sections: Any) -> None:
        """Change keys of the only domain."""
        values = yaml.safe_load(self.config_path.read_text())
        values["domains"][0].update(sections)
        self.config_path.write_text(yaml.safe_dump(values))

    def configure_all(self, **sections: Any) -> None:
        """Change keys of the configuration."""
        values = yaml.safe_load(self.config_path.read_text())
        values.update(sections)
        self.config_path.write_text(yaml.safe_dump(values))

    def publish(self) -> None:
        """Put into DNS what `mailposture records` says."""
        config = load(self.config_path)
        self.zone.text = BASE + zone_text_of(expectation(config, config.domains[0]).records)

    async def run(self, command: click.Command, *arguments: str) -> Result:
        """Run a command as from the shell."""
        options = ["--config", str(self.config_path), *arguments]
        return await asyncio.to_thread(CliRunner().invoke, command, options, catch_exceptions=False)


@pytest.fixture
async def world(
    zone: Zone,
    authority: CertificateAuthority,
    looking: Callable[..., Vantage],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    """All is right: the policy host serves, DNS says what our records command says. MX servers come with `mail`."""
    issued = authority.issue(["mta-sts.example.test"])
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = one.getsockname()[1], two.getsockname()[1]
    config_path = tmp_path / "mailposture.yaml"
    domain = {"name": "example.test", "mta_sts": {"mode": "enforce", "mx": ["mx1.example.test"]}}
    section = {
        "listen": f"127.0.0.1:{ports[0]}",
        "metrics": f"127.0.0.1:{ports[1]}",
        "hostname": "policies.host.test",
        "tls": [{"certificate": str(issued.certificate), "key": str(issued.key)}],
    }
    config_path.write_text(yaml.safe_dump({"domains": [domain], "policy_host": section}))
    host = PolicyHost(config_path=config_path)
    await host.start()

    def use(vantage: Vantage) -> None:
        for module in (cli.check, cli.policy, cli.records):
            monkeypatch.setattr(module, "looking_from", lambda *_: vantage)

    use(looking(https_port=ports[0], smtp_port=1))
    made = World(config_path=config_path, zone=zone, host=host, use=use)
    made.publish()
    yield made
    await host.stop()


@asynccontextmanager
async def mail(
    world: World, looking: Callable[..., Vantage], authority: CertificateAuthority, fault: Fault = Fault.NONE
) -> AsyncIterator[None]:
    """An MX server in the world."""
    context = authority.issue(["mx1.example.test"]).server_context()
    async with faulty_smtp.serving(context, fault) as (_, port):
        https_port = load(world.config_path).policy_host.listen.port
        world.use(looking(https_port=https_port, smtp_port=port))
        yield
