"""`mailposture policy` and `records` in a world on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from served_world import World, mail, world

import cli.check
import cli.policy
import cli.records

if TYPE_CHECKING:
    from collections.abc import Callable

    from pki import CertificateAuthority

    from mailposture.checks.vantage import Vantage

__all__ = ["world"]


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
