"""`mailposture check` in a world on loopback."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from engine import DOMAIN, days_ago
from faulty_smtp import Fault
from ports import free_port
from served_world import World, mail, world

import cli.check
import cli.policy
import cli.records
from mailposture.config.file import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine import Storage
    from pki import CertificateAuthority

    from mailposture.checks.vantage import Vantage

__all__ = ["world"]


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
        "subdomains": "good",
        "spf": "good",
        "dmarc": "good",
        "dkim": "good",
    }
    assert result.exit_code == 0


async def test_null_mx_of_a_domain_that_is_to_receive_mail_is_an_outage(world: World) -> None:
    world.zone.text = world.zone.text.replace("IN MX 10 mx1.example.test.", "IN MX 0 .")
    result = await world.run(cli.check.command, "example.test", "--format", "json")
    mx = json.loads(result.stdout)[0]
    assert (mx["outcome"], mx["reason"]) == ("wrong", "null-mx")
    assert "or write `parked: true` into its configuration" in mx["instruction"]
    world.zone.text = world.zone.text.replace("v=spf1 mx -all", "v=spf1 -all")
    mx = json.loads((await world.run(cli.check.command, "example.test", "--format", "json")).stdout)[0]
    assert (mx["outcome"], mx["reason"]) == ("wrong", "not-marked-as-parked"), "somebody meant it"


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
