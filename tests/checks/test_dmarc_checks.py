"""Which DMARC policy applies, found by DNS tree walk (RFC 9989, section 4.10), and whether reports reach us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mailposture.checks.dmarc import DmarcLookup, check_dmarc, next_record, walk
from mailposture.checks.result import Outcome
from mailposture.config.model import Config
from mailposture.expectation import Expectation, expectation

if TYPE_CHECKING:
    from loopback_dns import Zone

    from mailposture.checks.resolver import Resolver

DOMAIN = "example.test"
OURS = "rua=mailto:dmarc@example.test"


def ours(**sections: Any) -> Expectation:
    config = Config.model_validate({"domains": [{"name": DOMAIN}], **sections})
    return expectation(config, config.domains[0])


def txt(name: str, *texts: str) -> str:
    return "".join(f'{name}. 60 IN TXT "{text}"\n' for text in texts)


async def look(
    resolver: Resolver, domain: str = DOMAIN, *, parked: bool = False, expected: Expectation | None = None
) -> DmarcLookup:
    return await check_dmarc(expected or Expectation(domain=domain), parked=parked, resolver=resolver)


@pytest.mark.parametrize(
    ("text", "above", "policies"),
    [
        ("v=DMARC1; p=reject", "", ("reject", "reject", "reject")),
        ("v=DMARC1; p=reject; sp=none; np=quarantine", "", ("reject", "none", "quarantine")),
        ("v=DMARC1; p=reject; sp=quarantine; t=y", "", ("quarantine", "none", "none")),
        ("v=DMARC1; p=reject; pct=0", "", ("quarantine", "quarantine", "quarantine")),
        ("v=DMARC1; p=monitor", "", ("none", "none", "none")),
        ("", "v=DMARC1; p=none; sp=reject; np=quarantine", ("reject", "reject", "quarantine")),
        ("", "", ()),
    ],
)
async def test_what_receivers_apply_to_the_domain_and_below_it(
    *, resolver: Resolver, zone: Zone, text: str, above: str, policies: tuple[str, ...]
) -> None:
    zone.text = "".join(
        txt(name, each) for name, each in (("_dmarc.a.example.test", text), ("_dmarc.example.test", above)) if each
    )
    assert (await look(resolver, "a.example.test")).result.policies == policies


@pytest.mark.parametrize(
    ("texts", "parked", "outcome", "reason"),
    [
        (["v=DMARC1; p=reject"], True, Outcome.GOOD, None),
        (["v=DMARC1; p=none"], True, Outcome.WRONG, "parked-but-not-rejected"),
        (["v=DMARC1; p=reject; t=y"], True, Outcome.WRONG, "parked-but-not-rejected"),
        (["v=DMARC1; p=none"], False, Outcome.GOOD, None),
        (["v=DMARC1; p=monitor"], False, Outcome.WRONG, "record-invalid"),
        (["v=DMARC1; p=monitor; rua=mailto:a@b.test"], False, Outcome.WRONG, "record-invalid"),
        (["v=DMARC1; rua=mailto:a@b.test"], False, Outcome.GOOD, None),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], False, Outcome.WRONG, "several-records"),
        (["v=DMARC1; p=none", "google-site-verification=1"], False, Outcome.GOOD, None),
        (["v=spf1 -all"], False, Outcome.MISSING, "no-record"),
    ],
)
async def test_record_of_the_domain(
    *, resolver: Resolver, zone: Zone, texts: list[str], parked: bool, outcome: Outcome, reason: str | None
) -> None:
    zone.text = txt("_dmarc.example.test", *texts)
    result = (await look(resolver, parked=parked)).result
    assert (result.outcome, result.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("records", "domain", "detail"),
    [
        ({"example.test": "p=none; sp=reject"}, "a.b.example.test", "sp=reject of _dmarc.example.test"),
        ({"example.test": "p=quarantine"}, "a.example.test", "p=quarantine of _dmarc.example.test"),
        # The fewest labels are the organization's; what lies between does not count.
        (
            {"b.example.test": "p=none", "example.test": "p=reject"},
            "a.b.example.test",
            "p=reject of _dmarc.example.test",
        ),
        ({"b.example.test": "p=none; psd=n", "example.test": "p=reject"}, "a.b.example.test", "p=none of _dmarc.b."),
        ({"a.example.test": "p=none", "example.test": "p=reject"}, "a.example.test", "p=none of _dmarc.a.example.test"),
        # Below a public suffix that says so lies the organization.
        ({"test": "p=none; psd=y", "example.test": "p=reject"}, "a.example.test", "p=reject of _dmarc.example.test"),
        ({"test": "p=reject; psd=y"}, "example.test", "p=reject of _dmarc.test"),
        ({"test": "p=reject; psd=y", "b.example.test": "p=none"}, "a.b.example.test", "p=reject of _dmarc.test"),
        ({"example.test": "p=reject; t=y"}, "example.test", "receivers apply quarantine"),
    ],
)
async def test_policy_that_applies(
    resolver: Resolver, zone: Zone, records: dict[str, str], domain: str, detail: str
) -> None:
    zone.text = "".join(txt(f"_dmarc.{place}", f"v=DMARC1; {tags}") for place, tags in records.items())
    result = (await look(resolver, domain)).result
    assert result.success, result
    assert detail in result.detail


async def test_several_records_above_count_as_none(resolver: Resolver, zone: Zone) -> None:
    zone.text = txt("_dmarc.b.example.test", "v=DMARC1; p=none", "v=DMARC1; p=reject")
    result = (await look(resolver, "a.b.example.test")).result
    assert (result.outcome, result.reason) == (Outcome.WRONG, "several-records")
    zone.text += txt("_dmarc.example.test", "v=DMARC1; p=reject")
    assert (await look(resolver, "a.b.example.test")).result.detail == "p=reject of _dmarc.example.test"


async def test_long_name_costs_eight_questions(resolver: Resolver, zone: Zone) -> None:
    zone.text = ""
    await look(resolver, ".".join("abcdefghijklmnop") + ".example.test")
    assert len([name for name, _ in zone.asked if name.startswith("_dmarc.")]) == 8


async def test_place_that_does_not_answer_leaves_everything_unknown(resolver: Resolver, zone: Zone) -> None:
    zone.text = txt("_dmarc.test", "v=DMARC1; p=reject")
    zone.broken = {"_dmarc.example.test"}
    result = (await look(resolver, "a.example.test")).result
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, "dns-error")


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        (OURS, None),
        ("rua=mailto:a@vendor.test,mailto:DMARC@Example.Test!10m", None),
        ("adkim=s", "no-report-address"),
        ("rua=mailto:a@vendor.test", "reports-go-elsewhere"),
    ],
)
async def test_reports_about_a_domain_of_ours_are_to_reach_us(
    resolver: Resolver, zone: Zone, tags: str, reason: str | None
) -> None:
    zone.text = txt("_dmarc.example.test", f"v=DMARC1; p=reject; {tags}")
    result = (await look(resolver, expected=ours())).result
    assert result.reason == reason
    if reason is not None:
        assert result.instruction.startswith('_dmarc.example.test. 3600 IN TXT "v=DMARC1; p=reject; ')
        assert OURS in result.instruction
    zone.text = txt("_dmarc.example.test", "v=DMARC1; p=reject; rua=mailto:a@vendor.test")
    assert (await look(resolver)).result.success, "of a domain that is not ours nothing is known"


@pytest.mark.parametrize(
    ("texts", "outcome", "reason"),
    [
        (["v=DMARC1"], Outcome.GOOD, None),
        (["v=DMARC1; rua=mailto:other@reports.example"], Outcome.GOOD, None),
        ([], Outcome.MISSING, "no-record"),
        (["v=spf1 -all"], Outcome.MISSING, "no-record"),
        (["v=DMARC1", "v=DMARC1;"], Outcome.WRONG, "several-records"),
    ],
)
async def test_address_elsewhere_is_to_take_reports_about_the_domain(
    resolver: Resolver, zone: Zone, texts: list[str], outcome: Outcome, reason: str | None
) -> None:
    name = "example.test._report._dmarc.reports.example"
    zone.text = txt("_dmarc.example.test", "v=DMARC1; p=none; rua=mailto:x@vendor.test,mailto:r@reports.example")
    zone.text += txt(name, *texts)
    found = await look(resolver, expected=ours(recipients=["r@reports.example"]))
    assert found.result.success
    assert found.authorization is not None
    assert (found.authorization.subject, found.authorization.outcome, found.authorization.reason) == (
        name,
        outcome,
        reason,
    )
    if outcome is Outcome.MISSING:
        assert found.authorization.instruction == f'{name}. 3600 IN TXT "v=DMARC1"'
    assert "x@vendor.test" not in {question for question, _ in zone.asked}, "theirs is no matter of ours"
    zone.broken = {name}
    unanswered = await look(resolver, expected=ours(recipients=["r@reports.example"]))
    assert unanswered.authorization is not None
    assert unanswered.authorization.outcome is Outcome.UNKNOWN


async def test_address_of_the_same_organization_needs_no_record(resolver: Resolver, zone: Zone) -> None:
    zone.text = txt("_dmarc.example.test", "v=DMARC1; p=none; rua=mailto:r@mail.example.test")
    assert (await look(resolver, expected=ours(recipients=["r@mail.example.test"]))).authorization is None


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ({}, f"v=DMARC1; p=none; {OURS}"),
        ({"example.test": ["v=DMARC1; p=reject; adkim=s"]}, f"v=DMARC1; p=reject; adkim=s; {OURS}"),
        ({"example.test": [f"v=DMARC1; p=reject; {OURS}"]}, f"v=DMARC1; p=reject; {OURS}"),
        ({"example.test": ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}, f"v=DMARC1; p=none; {OURS}"),
        ({"test": ["v=DMARC1; p=quarantine; psd=y"]}, f"v=DMARC1; p=quarantine; {OURS}"),  # none would weaken it
        ({"test": ["v=DMARC1; p=none; psd=y; sp=reject"]}, f"v=DMARC1; p=reject; {OURS}"),
    ],
)
async def test_record_to_publish_keeps_the_policy(
    resolver: Resolver, zone: Zone, records: dict[str, list[str]], text: str
) -> None:
    zone.text = "".join(txt(f"_dmarc.{place}", *texts) for place, texts in records.items())
    assert next_record(ours(), await walk(DOMAIN, resolver=resolver), parked=False) == text
