"""Real senders judge our policy host, and refuse with us each single fault of another.

mta-sts-query and mta-sts-daemon are what Postfix administrators run (postfix-mta-sts-resolver); checkdmarc and curl are
what people look with.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import checkdmarc.mta_sts
import faulty_policy_server
import loopback_dns
import pytest
import yaml
from dns.nameserver import Do53Nameserver
from eventually import eventually
from faulty_policy_server import GOOD_POLICY, Answer, tunnel_to
from loopback_dns import Zone
from pki import self_signed
from ports import free_port, listens
from programs import program

from mailposture.checks.dns import check_mta_sts_record
from mailposture.checks.policy import fetch_policy
from mailposture.checks.resolver import Resolver
from mailposture.checks.vantage import Vantage
from mailposture.expectation import Expectation
from mailposture.records.mta_sts import LARGEST_POLICY, render_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from hosting import Running
    from pki import CertificateAuthority, Issued

pytestmark = pytest.mark.slow
pytest.importorskip("postfix_mta_sts_resolver", reason="postfix-mta-sts-resolver is not installed (extra `dev`)")

SENDER = Path(__file__).with_name("sender.py")
HOSTED = ("mta-sts.enforced.example", "mta-sts.tested.example")


@pytest.fixture
def zone() -> Zone:
    """A DNS in which every policy host is here, and every policy is announced."""
    hosts = "".join(f"{host}. 60 IN A 127.0.0.1\n" for host in (*HOSTED, "mta-sts.example.test"))
    return Zone(hosts + '_mta-sts.example.test. 60 IN TXT "v=STSv1; id=1;"\n')


@pytest.fixture
def dns_port(zone: Zone) -> Iterator[int]:
    """Where it listens."""
    with loopback_dns.serving(zone) as port:
        yield port


@dataclass(frozen=True, kw_only=True)
class Sender:
    """A sending server's surroundings: DNS, the way to the policy host, and whom it trusts."""

    dns_port: int
    proxy_port: int
    root: Path

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """Command line and environment of a sender's program."""
        environment = {
            "PATH": os.environ["PATH"],
            "HTTPS_PROXY": f"http://127.0.0.1:{self.proxy_port}",
            "SSL_CERT_FILE": str(self.root),
        }
        return [sys.executable, str(SENDER), str(self.dns_port), *arguments], environment

    async def query(self, domain: str, *known_id: str) -> str:
        """What mta-sts-query prints."""
        command, environment = self.command("query", domain, *known_id)
        child = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        output, _ = await child.communicate()
        return output.decode()


@asynccontextmanager
async def sending(dns_port: int, policy_port: int, authority: CertificateAuthority) -> AsyncIterator[Sender]:
    """A sender for whom every policy host is at one loopback port."""
    async with tunnel_to(policy_port) as proxy_port:
        yield Sender(dns_port=dns_port, proxy_port=proxy_port, root=authority.certificate)


def announce(zone: Zone, running: Running) -> None:
    """Publish the ids of the policies that a policy host serves."""
    for policy in running.host.policies.values():
        zone.text += f'_mta-sts.{policy.domain}. 60 IN TXT "{render_record(policy.body)}"\n'


async def test_mta_sts_query_accepts_our_policies(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority, zone: Zone, dns_port: int
) -> None:
    running = await start(authority.issue(HOSTED[:1]), authority.issue(HOSTED[1:]))
    announce(zone, running)
    async with sending(dns_port, running.port, authority) as sender:
        enforced = await sender.query("enforced.example")
        tested = await sender.query("tested.example")
        known = re.search(r"'([0-9a-f]{32})'", enforced)
        assert known is not None, enforced
        unchanged = await sender.query("enforced.example", known[1])
    assert "STSFetchResult.VALID" in enforced
    assert "'mode': 'enforce'" in enforced
    assert "'mx': ['mx1.enforced.example', '*.backup.example']" in enforced
    assert "STSFetchResult.VALID" in tested
    assert "'mode': 'testing'" in tested
    assert "STSFetchResult.NOT_CHANGED" in unchanged


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong with a policy host, and the reason that we name."""

    reason: str
    answer: Answer = field(default_factory=Answer)
    certificate: Callable[[CertificateAuthority], Issued] = lambda ca: ca.issue(["mta-sts.example.test"])


FAULTS = {
    "content-type": Fault(reason="policy-content-type", answer=Answer(headers={"Content-Type": "text/html"})),
    "no-content-type": Fault(reason="policy-content-type", answer=Answer(headers={})),
    "redirect": Fault(
        reason="policy-redirected",
        answer=Answer(status=302, headers={"Location": "/elsewhere", "Content-Type": "text/plain"}),
    ),
    "not-found": Fault(reason="policy-status", answer=Answer(status=404)),
    "oversize": Fault(reason="policy-too-large", answer=Answer(body=GOOD_POLICY + b"x: " + b"y" * LARGEST_POLICY)),
    "no-version": Fault(reason="policy-invalid", answer=Answer(body=GOOD_POLICY.replace(b"version: STSv1\r\n", b""))),
    "wrong-version": Fault(reason="policy-invalid", answer=Answer(body=GOOD_POLICY.replace(b"STSv1", b"STSv2"))),
    "no-mode": Fault(reason="policy-invalid", answer=Answer(body=GOOD_POLICY.replace(b"mode: enforce\r\n", b""))),
    "wrong-mode": Fault(reason="policy-invalid", answer=Answer(body=GOOD_POLICY.replace(b"enforce", b"Enforce"))),
    "no-max-age": Fault(reason="policy-invalid", answer=Answer(body=GOOD_POLICY.replace(b"max_age: 1209600\r\n", b""))),
    "max-age-too-long": Fault(
        reason="policy-invalid", answer=Answer(body=GOOD_POLICY.replace(b"1209600", b"31557601"))
    ),
    "no-mx": Fault(reason="policy-invalid", answer=Answer(body=GOOD_POLICY.replace(b"mx: mx1.example.test\r\n", b""))),
    "wrong-name": Fault(reason="certificate-host-mismatch", certificate=lambda ca: ca.issue(["example.test"])),
    "expired": Fault(
        reason="certificate-expired",
        certificate=lambda ca: ca.issue(["mta-sts.example.test"], not_after=datetime.now(UTC) - timedelta(days=1)),
    ),
    "self-signed": Fault(
        reason="certificate-self-signed", certificate=lambda ca: self_signed(ca.folder, ["mta-sts.example.test"])
    ),
}


def looking(dns_port: int, policy_port: int, authority: CertificateAuthority) -> Vantage:
    """Our checker in the same surroundings."""
    return Vantage(
        resolver=Resolver(nameservers=[f"127.0.0.1@{dns_port}"]),
        hostname="probe.test",
        timeout=10,
        certificate_authority=authority.certificate,
        https_port=policy_port,
    )


async def test_policy_without_fault_is_accepted_by_both(authority: CertificateAuthority, dns_port: int) -> None:
    context = authority.issue(["mta-sts.example.test"]).server_context()
    async with (
        faulty_policy_server.serving(Answer(), context) as port,
        sending(dns_port, port, authority) as sender,
    ):
        assert "STSFetchResult.VALID" in await sender.query("example.test")
        assert (await fetch_policy("example.test", vantage=looking(dns_port, port, authority))).result.success


@pytest.mark.parametrize("name", FAULTS)
async def test_each_single_fault_is_refused_by_both(authority: CertificateAuthority, dns_port: int, name: str) -> None:
    fault = FAULTS[name]
    async with (
        faulty_policy_server.serving(fault.answer, fault.certificate(authority).server_context()) as port,
        sending(dns_port, port, authority) as sender,
    ):
        theirs = await sender.query("example.test")
        ours = await fetch_policy("example.test", vantage=looking(dns_port, port, authority))
    assert "STSFetchResult.FETCH_ERROR" in theirs
    assert (ours.policy, ours.result.reason) == (None, fault.reason)


@pytest.mark.parametrize(
    "records",
    [
        "",
        '_mta-sts.example.test. 60 IN TXT "v=STSv2; id=1;"\n',
        '_mta-sts.example.test. 60 IN TXT "v=STSv1;"\n',
        '_mta-sts.example.test. 60 IN TXT "v=STSv1; id=1;"\n_mta-sts.example.test. 60 IN TXT "v=STSv1; id=2;"\n',
    ],
)
async def test_wrong_record_means_no_policy_for_both(
    authority: CertificateAuthority, zone: Zone, dns_port: int, records: str
) -> None:
    zone.text = "mta-sts.example.test. 60 IN A 127.0.0.1\n" + records
    context = authority.issue(["mta-sts.example.test"]).server_context()
    async with (
        faulty_policy_server.serving(Answer(), context) as port,
        sending(dns_port, port, authority) as sender,
    ):
        assert "STSFetchResult.NONE" in await sender.query("example.test")
    resolver = Resolver(nameservers=[f"127.0.0.1@{dns_port}"])
    assert (await check_mta_sts_record(Expectation(domain="example.test"), resolver=resolver)).id is None


async def test_postfix_daemon_enforces_our_enforce_policy_and_leaves_testing_alone(
    start: Callable[..., Awaitable[Running]],
    authority: CertificateAuthority,
    zone: Zone,
    dns_port: int,
    tmp_path: Path,
) -> None:
    running = await start(authority.issue(HOSTED))
    announce(zone, running)
    port = free_port()
    config = tmp_path / "mta-sts-daemon.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "host": "127.0.0.1",
                "port": port,
                "default_zone": {"strict_testing": False},
                "zones": {"strict": {"strict_testing": True}},
            }
        )
    )
    async with sending(dns_port, running.port, authority) as sender:
        command, environment = sender.command("daemon", "-c", str(config))
        child = await asyncio.create_subprocess_exec(*command, env=environment)
        try:
            enforced = await socketmap(port, "postfix enforced.example")
            tested = await socketmap(port, "postfix tested.example")
            strict = await socketmap(port, "strict tested.example")
            unknown = await socketmap(port, "postfix plain.example")
        finally:
            child.terminate()
            await child.wait()
    match = re.match(r"OK secure match=(\S+) servername=hostname", enforced)
    assert match is not None, enforced
    assert set(match[1].split(":")) == {"mx1.enforced.example", ".backup.example"}
    assert tested == "NOTFOUND "
    assert strict.startswith("OK secure match=mx.tested.example")
    assert unknown == "NOTFOUND "


async def socketmap(port: int, request: str) -> str:
    """Ask as Postfix does (socketmap_table(5)): netstrings over TCP; waits for the daemon to listen."""
    await asyncio.to_thread(eventually, "the daemon", lambda: listens(port))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{len(request)}:{request},".encode())
    length = int((await reader.readuntil(b":"))[:-1])
    answer = await reader.readexactly(length)
    writer.close()
    return answer.decode()


async def test_checkdmarc_finds_nothing_wrong(
    start: Callable[..., Awaitable[Running]],
    authority: CertificateAuthority,
    zone: Zone,
    dns_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = await start(authority.issue(HOSTED))
    announce(zone, running)
    async with tunnel_to(running.port) as proxy_port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy_port}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.certificate))
        found = await asyncio.to_thread(
            checkdmarc.mta_sts.check_mta_sts,
            "enforced.example",
            nameservers=[Do53Nameserver("127.0.0.1", dns_port)],
        )
    assert found["valid"], found
    assert found["policy"]["mode"] == "enforce"
    assert found["policy"]["mx"] == ["mx1.enforced.example", "*.backup.example"]
    assert found["warnings"] == []


async def test_curl_verifies_the_certificate_and_is_never_redirected(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    running = await start(authority.issue(HOSTED[:1]), authority.issue(HOSTED[1:]))
    for host in HOSTED:
        child = await asyncio.create_subprocess_exec(
            program("curl"), "--silent", "--show-error", "--max-redirs", "0", "--cacert", str(authority.certificate),
            "--resolve", f"{host}:{running.port}:127.0.0.1",
            "--write-out", "%{http_code} %{content_type} %{num_redirects}",
            f"https://{host}:{running.port}/.well-known/mta-sts.txt",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await child.communicate()
        assert child.returncode == 0
        assert output.startswith(b"version: STSv1\r\n")
        assert output.endswith(b"\r\n200 text/plain 0")
