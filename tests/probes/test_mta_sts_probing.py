"""The MTA-STS probe against policy hosts and records with each single fault."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import faulty_policy_server
import pytest
from faulty_policy_server import Answer
from outside import DOMAIN, MX, configuration, measured, policy_of

from exporter.probes.mta_sts import probe_mta_sts
from exporter.probes.policies import KeptPolicies
from mailposture.checks.reason import Reason

if TYPE_CHECKING:
    from outside import World

    from exporter.probes.outcome import ProbeOutcome

HOST = "mta-sts.example.test"


async def probe(world: World, answer: Answer, *, names: tuple[str, ...] = (HOST,), patience: float = 5) -> ProbeOutcome:
    context = world.authority.issue(names).server_context()
    async with faulty_policy_server.serving(answer, context) as port:
        return await probe_mta_sts(world.domain, world.context(https_port=port, timeout=patience))


async def test_right_policy_is_a_success_with_all_facts(world: World) -> None:
    outcome = await probe(world, Answer(body=policy_of(world.config)))
    assert (outcome.success, outcome.reason) == (True, None)
    assert measured(outcome) == {
        "mta_sts_policy_fetched": 1,
        "mta_sts_policy_agrees": 1,
        "mta_sts_record_agrees": 1,
        "mta_sts_policy_max_age_seconds": 1_209_600,
        "mta_sts_policy_mode enforce": 1,
        "mta_sts_policy_mode testing": 0,
        "mta_sts_policy_mode none": 0,
        f"mta_sts_mx_covered {MX}": 1,
    }
    (row,) = outcome.findings
    assert (row.sts_mode, row.sts_mx_hosts, row.policy_agrees, row.record_agrees, row.mx_covered) == (
        "enforce", (MX,), True, True, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=404), Reason.POLICY_STATUS),
        (Answer(status=302, headers={"Location": "/elsewhere"}), Reason.POLICY_REDIRECTED),
        (Answer(headers={"Content-Type": "text/html"}), Reason.POLICY_CONTENT_TYPE),
        (Answer(body=b"x" * 100_000), Reason.POLICY_TOO_LARGE),
        (Answer(body=b"version: STSv1\r\nmode: strict\r\n"), Reason.POLICY_INVALID),
        (Answer(hang=True), Reason.POLICY_TIMEOUT),
    ],
)
async def test_policy_that_senders_refuse_is_not_fetched(world: World, answer: Answer, reason: Reason) -> None:
    outcome = await probe(world, answer, patience=1 if answer.hang else 60)
    assert (outcome.success, outcome.reason) == (False, reason)
    assert measured(outcome) == {"mta_sts_policy_fetched": 0, "mta_sts_record_agrees": 1}
    assert outcome.findings[0].mx_covered is None


async def test_policy_that_cannot_be_fetched_any_more_is_kept_as_senders_keep_it(world: World) -> None:
    """Policy host and MX of one box lose their certificates together: senders still enforce, and refuse the MX."""
    clock = [0.0]
    kept = KeptPolicies(now=lambda: clock[0])

    async def samples(names: tuple[str, ...]) -> dict[str, float]:
        tls = world.authority.issue(names).server_context()
        async with faulty_policy_server.serving(Answer(body=policy_of(world.config)), tls) as port:
            outcome = await probe_mta_sts(world.domain, replace(world.context(https_port=port), policies=kept))
        assert outcome.findings[0].sts_mode == ("enforce" if names == (HOST,) else "")
        return measured(outcome)

    mode, covered = "mta_sts_policy_mode enforce", f"mta_sts_mx_covered {MX}"
    assert (await samples((HOST,)))["mta_sts_policy_fetched"] == 1
    clock[0] = 1_209_599
    later = await samples(("other.test",))
    assert (later["mta_sts_policy_fetched"], later[mode], later[covered]) == (0, 1, 1)
    clock[0] = 1_209_600
    assert not {mode, covered} & set(await samples(("other.test",)))


async def test_policy_host_with_the_wrong_certificate_is_not_fetched(world: World) -> None:
    outcome = await probe(world, Answer(body=policy_of(world.config)), names=(DOMAIN,))
    assert outcome.reason is Reason.CERTIFICATE_HOST_MISMATCH
    assert measured(outcome)["mta_sts_policy_fetched"] == 0


async def test_mx_outside_of_the_policy_comes_before_every_other_fault(world: World) -> None:
    world.zone.text += f"{DOMAIN}. 300 IN MX 20 new.example.test.\nnew.example.test. 300 IN A 127.0.0.1\n"
    world.zone.text = world.zone.text.replace("id=", "id=0")
    outcome = await probe(world, Answer(body=policy_of(world.config)))
    assert outcome.reason is Reason.MX_NOT_COVERED
    samples = measured(outcome)
    assert (samples[f"mta_sts_mx_covered {MX}"], samples["mta_sts_mx_covered new.example.test"]) == (1, 0)
    assert samples["mta_sts_record_agrees"] == 0
    assert outcome.findings[0].mx_covered is False
    assert "new.example.test" in outcome.findings[0].detail


async def test_policy_that_is_not_the_configured_one_is_said(world: World) -> None:
    outcome = await probe(world, Answer(body=policy_of(world.config).replace(b"enforce", b"testing")))
    assert outcome.reason is Reason.POLICY_DIFFERS
    samples = measured(outcome)
    assert samples["mta_sts_policy_agrees"] == 0
    assert (samples["mta_sts_policy_mode testing"], samples["mta_sts_policy_mode enforce"]) == (1, 0)


async def test_stale_record_id_is_said(world: World) -> None:
    world.zone.text = world.zone.text.replace("id=", "id=0")
    outcome = await probe(world, Answer(body=policy_of(world.config)))
    assert outcome.reason in {Reason.ID_DIFFERS, Reason.RECORD_INVALID}
    assert measured(outcome)["mta_sts_record_agrees"] == 0
    assert measured(outcome)["mta_sts_policy_agrees"] == 1


async def test_policy_that_others_host_is_probed_but_compared_with_nothing(world: World) -> None:
    elsewhere = replace(world, config=configuration(domains=[{"name": DOMAIN}]))
    outcome = await probe(elsewhere, Answer(body=policy_of(world.config)))
    assert outcome.success
    assert not {name for name in measured(outcome) if "agrees" in name}


async def test_domain_without_mta_sts_is_left_in_peace(world: World) -> None:
    world.zone.text = f"{DOMAIN}. 300 IN MX 10 {MX}.\n"
    elsewhere = replace(world, config=configuration(domains=[{"name": DOMAIN}]))
    outcome = await probe_mta_sts(elsewhere.domain, elsewhere.context(https_port=1))
    assert (outcome.success, outcome.samples, outcome.findings) == (True, (), ())


async def test_domain_that_nobody_says_has_mta_sts_is_not_said_to_lack_its_policy(world: World) -> None:
    """Its nameserver fails for unknown names, as some do: there may be no record, and no policy to be missed."""
    world.zone.text = f"{DOMAIN}. 300 IN MX 10 {MX}.\n"
    world.zone.broken = {f"_mta-sts.{DOMAIN}"}
    elsewhere = replace(world, config=configuration(domains=[{"name": DOMAIN}]))
    outcome = await probe_mta_sts(elsewhere.domain, elsewhere.context(https_port=1))
    assert (outcome.success, outcome.reason, measured(outcome)) == (False, Reason.DNS_ERROR, {})
    assert [row.reason for row in outcome.findings] == [Reason.DNS_ERROR]


async def test_policy_that_can_be_fetched_is_told_of_though_its_record_was_not_answered(world: World) -> None:
    world.zone.broken = {f"_mta-sts.{DOMAIN}"}
    elsewhere = replace(world, config=configuration(domains=[{"name": DOMAIN}]))
    outcome = await probe(elsewhere, Answer(body=policy_of(world.config)))
    assert outcome.reason is Reason.DNS_ERROR
    assert measured(outcome)["mta_sts_policy_mode enforce"] == 1


async def test_dns_that_does_not_answer_proves_nothing_about_the_policy(world: World) -> None:
    world.zone.broken = {DOMAIN, HOST, f"_mta-sts.{DOMAIN}"}
    outcome = await probe(world, Answer(body=policy_of(world.config)))
    assert (outcome.success, outcome.reason) == (False, Reason.DNS_ERROR)
    assert measured(outcome) == {}


async def test_mode_none_covers_whatever_there_is(world: World) -> None:
    domain = {"name": DOMAIN, "mta_sts": {"mode": "none", "max_age": 86_400}}
    ending = replace(world, config=configuration(domains=[domain]))
    outcome = await probe(ending, Answer(body=policy_of(ending.config)))
    samples = measured(outcome)
    assert samples["mta_sts_policy_mode none"] == 1
    assert not {name for name in samples if name.startswith("mta_sts_mx_covered")}
