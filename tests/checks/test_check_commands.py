"""`mailposture check`, `policy` and `records --tlsa` in a world on loopback: DNS, our policy host, an MX server."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import faulty_smtp
import pytest
import yaml
from click.testing import CliRunner
from engine import DOMAIN, days_ago, engine, storage
from faulty_smtp import Fault
from ports import free_port

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
    from engine import Storage
    from loopback_dns import Zone
    from pki import CertificateAuthority

    from mailposture.checks.vantage import Vantage

__all__ = ["engine", "storage"]

BASE = """
example.test.            300 IN MX 10 mx1.example.test.
example.test.            300 IN TXT "v=spf1 mx -all"
mx1.example.test.        300 IN A 127.0.0.1
policies.host.test.      300 IN A 127.0.0.1
parked.test.             300 IN MX 0 .
parked.test.             300 IN TXT "v=spf1 -all"
_dmarc.parked.test.      300 IN TXT "v=DMARC1; p=reject"
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


async def test_domain_with_everything_right_is_all_good(
    world: World, looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    async with mail(world, looking, authority):
        result = await world.run(cli.check.command, "example.test", "--format", "json")
    found = json.loads(result.stdout)
    assert {one["outcome"] for one in found} == {"good"}, found
    assert [one["check"] for one in found] == [
        "mx",
        "tls-rpt",
        "mta-sts-record",
        "mta-sts-policy",
        "mta-sts-mx",
        "starttls",
        "tlsa",
        "spf",
        "dmarc",
    ]
    assert result.exit_code == 0


async def test_what_is_missing_is_said_with_the_line_to_paste_and_exit_1(
    world: World, looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    lines = [line for line in world.zone.text.splitlines() if not line.startswith("_smtp._tls")]
    removed = next(line for line in world.zone.text.splitlines() if line.startswith("_smtp._tls"))
    world.zone.text = "\n".join(lines)
    async with mail(world, looking, authority):
        result = await world.run(cli.check.command, "example.test")
    assert result.exit_code == 1
    assert "missing" in result.output
    assert f"-> {removed}" in result.output
    assert result.output.endswith("\n1 domain: 8 good, 1 missing\n")


async def test_dkim_keys_are_looked_at_by_name(world: World) -> None:
    world.zone.text += 's1._domainkey.example.test. 60 IN TXT "v=DKIM1; p="\n'
    result = await world.run(
        cli.check.command, "example.test", "--selector", "S1", "--selector", "s2", "--format", "json"
    )
    found = [(one["subject"], one["reason"]) for one in json.loads(result.stdout) if one["check"] == "dkim"]
    assert found == [
        ("s1._domainkey.example.test", "key-revoked"),
        ("s2._domainkey.example.test", "no-record"),
    ]
    wrong = await world.run(cli.check.command, "example.test", "--selector", "a b")
    assert wrong.exit_code == 2


async def test_dkim_keys_that_reports_show_in_use_are_looked_at(
    world: World, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = {"dkim_aligned": True, "dkim_results": ["pass"], "dkim_domains": [DOMAIN], "dkim_details": [""]}
    storage.put(
        "dmarc_records",
        {**signed, "report_key": 1, "dkim_selectors": ["s1"]},
        {**signed, "report_key": 2, "dkim_selectors": ["old"], "day": days_ago(9)},
        {**signed, "report_key": 3, "dkim_selectors": ["s3"], "policy_domain": "other.test"},
    )
    world.configure_all(domains=[{"name": DOMAIN}], data=str(storage.config.data))
    world.zone.text += f's1._domainkey.{DOMAIN}. 60 IN TXT "v=DKIM1; p="\n'
    result = await world.run(cli.check.command, DOMAIN, "--selector", "old", "--selector", "s2", "--format", "json")
    found = {one["subject"]: one["reason"] for one in json.loads(result.stdout) if one["check"] == "dkim"}
    assert found == {
        f"old._domainkey.{DOMAIN}": None,  # reports show that it is not in use any more
        f"s2._domainkey.{DOMAIN}": "no-record",
        f"s1._domainkey.{DOMAIN}": "key-revoked",
    }
    assert result.stderr == "DKIM keys that DMARC reports show in use: 2\n"
    storage.empty()
    result = await world.run(cli.check.command, DOMAIN)
    assert result.stderr == "DKIM keys that DMARC reports show in use: none; name keys by --selector\n"


async def test_without_a_database_the_other_checks_go_on(world: World, tmp_path: Path) -> None:
    world.configure_all(data=str(tmp_path / "nothing"))
    result = await world.run(cli.check.command, "example.test", "--format", "json")
    assert {one["check"] for one in json.loads(result.stdout)} >= {"mx", "spf", "dmarc"}
    assert result.stderr.startswith("DKIM keys in use are not known: ")
    assert result.stderr.endswith("has no reports yet; name keys by --selector\n")
    assert not (tmp_path / "nothing").exists(), "looking makes no database"
    world.configure_all(clickhouse={"url": f"http://127.0.0.1:{free_port()}"})
    result = await world.run(cli.check.command, "example.test", "--format", "json")
    assert {one["check"] for one in json.loads(result.stdout)} >= {"mx", "spf", "dmarc"}
    assert result.stderr.startswith("DKIM keys in use are not known: ClickHouse at http://127.0.0.1:")
    assert result.stderr.count("\n") == 1
    foreign = await world.run(cli.check.command, "parked.test")
    assert foreign.stderr == "", "reports are about configured domains"


async def test_mx_that_dns_does_not_tell_is_not_said_to_be_covered(world: World) -> None:
    world.zone.broken.add("example.test")
    result = await world.run(cli.check.command, "example.test", "--format", "json")
    found = {one["check"]: one["outcome"] for one in json.loads(result.stdout)}
    assert (found["mx"], found["mta-sts-policy"]) == ("unknown", "good")
    assert "mta-sts-mx" not in found


async def test_faulty_server_is_wrong_and_exit_1(
    world: World, looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    async with mail(world, looking, authority, Fault.NO_STARTTLS):
        result = await world.run(cli.check.command, "example.test")
    assert result.exit_code == 1
    assert "wrong   starttls" in result.output
    assert "mx1.example.test [127.0.0.1]: does not offer STARTTLS" in result.output


async def test_closed_port_25_accuses_nobody_and_is_exit_0(world: World, looking: Callable[..., Vantage]) -> None:
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    filling = [socket.socket() for _ in range(4)]
    for one in filling:
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    https_port = load(world.config_path).policy_host.listen.port
    world.use(looking(https_port=https_port, smtp_port=full.getsockname()[1], timeout=1))
    try:
        result = await world.run(cli.check.command, "example.test")
    finally:
        for one in (full, *filling):
            one.close()
    assert "unknown starttls" in result.output
    assert result.exit_code == 0, result.output


async def test_served_policy_that_is_not_the_configured_one_is_wrong(
    world: World, looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    world.configure(mta_sts={"mode": "testing", "mx": ["mx1.example.test"]})
    async with mail(world, looking, authority):
        result = await world.run(cli.check.command, "example.test", "--format", "json")
    wrong = {one["check"]: one["reason"] for one in json.loads(result.stdout) if one["outcome"] == "wrong"}
    assert wrong == {"mta-sts-record": "id-differs", "mta-sts-policy": "policy-differs"}


async def test_parked_domain_that_is_not_configured_is_judged_as_parked(world: World) -> None:
    result = await world.run(cli.check.command, "parked.test", "--format", "json")
    assert {one["check"]: one["outcome"] for one in json.loads(result.stdout)} == {
        "mx": "good",
        "spf": "good",
        "dmarc": "good",
    }
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("zone_text", "wrong"),
    [
        ("", {}),  # as published by `mailposture records`
        ("example.test. 300 IN MX 10 mx1.example.test.\n", {"mx": "parked-but-receives", "spf": "no-record"}),
        ("example.test. 300 IN A 127.0.0.1\n", {"mx": "parked-but-receives", "spf": "no-record"}),
        ('example.test. 300 IN TXT "v=spf1 -all"\n', {}),  # neither MX record nor address
        ('example.test. 300 IN TXT "v=spf1 mx -all"\n', {"spf": "parked-but-sends"}),
    ],
)
async def test_parked_domain_is_to_have_no_mail_and_nothing_else(
    world: World, zone_text: str, wrong: dict[str, str]
) -> None:
    world.configure(parked=True, mta_sts=None)
    config = load(world.config_path)
    published = zone_text_of(expectation(config, config.domains[0]).records)
    dmarc = next(line for line in published.splitlines() if line.startswith("_dmarc"))
    world.zone.text = f"{zone_text}{dmarc}\n" if zone_text else published
    result = await world.run(cli.check.command, "example.test", "--format", "json")
    found = json.loads(result.stdout)
    assert [one["check"] for one in found] == ["mx", "spf", "dmarc"]
    assert {one["check"]: one["reason"] for one in found if one["outcome"] != "good"} == wrong
    assert result.exit_code == (1 if wrong else 0)


async def test_null_mx_of_a_domain_that_is_to_receive_mail_is_an_outage(world: World) -> None:
    world.zone.text = world.zone.text.replace("IN MX 10 mx1.example.test.", "IN MX 0 .")
    result = await world.run(cli.check.command, "example.test", "--format", "json")
    mx = json.loads(result.stdout)[0]
    assert (mx["outcome"], mx["reason"]) == ("wrong", "null-mx")
    assert "or write `parked: true` into its configuration" in mx["instruction"]


async def test_nameservers_that_do_not_answer_are_no_success(world: World) -> None:
    world.zone.broken.add("parked.test")
    result = await world.run(cli.check.command, "parked.test")
    assert "unknown mx" in result.output
    assert "MX of parked.test: every nameserver failed: 'SERVFAIL'" in result.output
    assert result.exit_code == 1


@pytest.mark.parametrize("arguments", [("not a domain",), ("localhost",), ("example.test", "--format", "xml")])
async def test_wrong_usage_is_exit_2(world: World, arguments: tuple[str, ...]) -> None:
    assert (await world.run(cli.check.command, *arguments)).exit_code == 2


async def test_nameserver_that_is_no_address_is_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "mailposture.yaml"
    path.write_text("domains: [{name: example.test}]\n")
    result = CliRunner().invoke(cli.check.command, ["--config", str(path), "example.test", "--nameserver", "dns.test"])
    assert result.exit_code == 2
    assert "is not IP or IP@port" in result.output


async def test_change_of_policy_is_led_from_body_to_id(world: World) -> None:
    assert (await world.run(cli.policy.command, "example.test")).exit_code == 0
    world.configure(mta_sts={"mode": "testing", "mx": ["mx1.example.test"]})
    first = await world.run(cli.policy.command, "example.test")
    assert "Next step (serve)" in first.output
    assert "_mta-sts.example.test. 3600 IN TXT" not in first.output
    world.host.reload()
    second = await world.run(cli.policy.command, "example.test")
    assert "Next step (announce)" in second.output
    assert "_mta-sts.example.test. 3600 IN TXT" in second.output
    assert second.exit_code == 1
    world.publish()
    last = await world.run(cli.policy.command, "example.test")
    assert "Next step (done)" in last.output
    assert last.exit_code == 0


async def test_no_step_of_a_change_is_told_while_dns_is_silent(world: World) -> None:
    world.zone.broken.add("_mta-sts.example.test")
    result = await world.run(cli.policy.command, "example.test")
    assert "Next step (unknown): DNS does not answer for _mta-sts.example.test" in result.output
    assert result.exit_code == 1


async def test_next_steps_of_all_domains_are_a_line_each(world: World) -> None:
    values = yaml.safe_load(world.config_path.read_text())
    values["domains"] += [{"name": "parked.test"}, {"name": "new.test", "mta_sts": {"mx": ["mx1.example.test"]}}]
    world.config_path.write_text(yaml.safe_dump(values))
    result = await world.run(cli.policy.command)
    assert result.output.splitlines() == [
        "example.test  done",
        "parked.test   not-configured",
        "new.test      serve           mailposture policy new.test",
        "",
        "3 domains: 1 with a next step",
    ]
    assert result.exit_code == 1


async def test_mx_hosts_are_shown_before_they_are_trusted(world: World) -> None:
    world.configure(mta_sts={"mode": "enforce"})
    result = await world.run(cli.policy.command, "example.test")
    assert "MX hosts of example.test in DNS (not authenticated by DNSSEC):\n    mx1.example.test\n" in result.output
    assert "Next step (name-mx)" in result.output


async def test_domain_that_is_not_configured_has_no_policy_of_ours(world: World) -> None:
    result = await world.run(cli.policy.command, "parked.test")
    assert result.exit_code == 2
    assert "parked.test is not among the configured domains" in result.output


async def test_tlsa_records_pin_what_the_servers_show(
    world: World, looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    async with mail(world, looking, authority):
        result = await world.run(cli.records.command, "example.test", "--tlsa")
        world.zone.text += result.output
        world.zone.authenticated = True
        checked = await world.run(cli.check.command, "example.test", "--format", "json")
    assert "_25._tcp.mx1.example.test. 3600 IN TLSA 3 1 1 " in result.output
    tlsa = next(one for one in json.loads(checked.stdout) if one["check"] == "tlsa")
    assert tlsa["detail"] == "the certificate is the one that TLSA names, authenticated by DNSSEC"


@pytest.mark.slow
async def test_zone_that_names_hundreds_of_servers_does_not_have_us_connect_to_them_all(
    world: World, looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    """Whoever has us check his domain must not have us knock at everybody's door."""
    world.zone.text += "".join(
        f"example.test. 60 IN MX 20 n{one}.test.\nn{one}.test. 60 IN A 127.0.0.1\n" for one in range(60)
    )
    async with mail(world, looking, authority):
        checked = json.loads((await world.run(cli.check.command, "example.test", "--format", "json")).stdout)
    servers = [one for one in checked if one["check"] == "starttls"]
    assert len(servers) == 21
    assert servers[-1]["detail"].startswith("41 more MX hosts, from n")


async def test_server_that_cannot_be_seen_gets_no_tlsa_record_and_that_is_said(world: World) -> None:
    result = await world.run(cli.records.command, "example.test", "--tlsa", "--format", "json")
    assert "TLSA" not in {one["type"] for one in json.loads(result.stdout)}
    assert "no TLSA record for mx1.example.test [127.0.0.1]: the connection is refused" in result.stderr
    assert result.exit_code == 1, "who publishes the keys of some servers has mail to the others refused"


async def test_records_of_all_domains_are_printed_at_once(world: World) -> None:
    values = yaml.safe_load(world.config_path.read_text())
    values["domains"].append({"name": "other.test"})
    world.config_path.write_text(yaml.safe_dump(values))
    result = await world.run(cli.records.command, "--format", "json")
    assert [(one["domain"], one["name"]) for one in json.loads(result.stdout)] == [
        ("example.test", "_smtp._tls.example.test"),
        ("example.test", "mta-sts.example.test"),
        ("example.test", "_mta-sts.example.test"),
        ("example.test", "_dmarc.example.test"),
        ("other.test", "_smtp._tls.other.test"),
        ("other.test", "_dmarc.other.test"),
    ]
    assert result.exit_code == 0


async def test_dmarc_policy_that_is_published_is_kept_in_what_to_publish(world: World) -> None:
    world.zone.text = '_dmarc.example.test. 300 IN TXT "v=DMARC1; p=reject; rua=mailto:a@vendor.test"\n'
    result = await world.run(cli.records.command)
    wanted = '"v=DMARC1; p=reject; rua=mailto:dmarc@example.test,mailto:a@vendor.test"'
    assert f"_dmarc.example.test. 3600 IN TXT {wanted}\n" in result.stdout
    assert result.exit_code == 0


async def test_no_dmarc_policy_is_proposed_over_one_that_dns_does_not_show(world: World) -> None:
    world.zone.broken = {"_dmarc.example.test"}
    result = await world.run(cli.records.command)
    assert "; _dmarc.example.test. 3600 IN TXT ?\n" in result.stdout
    assert "no _dmarc record for example.test: a policy may be published" in result.stderr
    assert result.exit_code == 1
