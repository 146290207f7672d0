"""A parked domain, from its records as published to each that weakens it, as `mailposture check` says it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from served_world import World, world

import cli.check
import cli.records
from mailposture.checks.dkim import KeyInUse
from mailposture.checks.parked import check_no_keys

if TYPE_CHECKING:
    from loopback_dns import Zone

    from mailposture.checks.resolver import Resolver

__all__ = ["world"]

DOMAIN = "example.test"
KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


@pytest.fixture
async def parked(world: World) -> World:
    """The domain, with what `mailposture records` prints published."""
    world.configure(parked=True, mta_sts=None)
    world.configure_all(recipients=["dmarc@mail.test"])
    printed = await world.run(cli.records.command)
    assert printed.exit_code == 0
    world.zone.text = printed.stdout
    return world


async def found(world: World) -> tuple[int, list[dict[str, Any]]]:
    result = await world.run(cli.check.command, "--format", "json")
    return result.exit_code, json.loads(result.stdout)


async def test_what_records_prints_is_all_that_check_wants(parked: World) -> None:
    code, results = await found(parked)
    assert [(one["check"], one["outcome"]) for one in results] == [
        (check, "good") for check in ("mx", "subdomains", "spf", "dmarc", "dmarc-authorization", "dkim")
    ]
    assert code == 0
    (policy,) = [one for one in results if one["check"] == "dmarc"]
    assert policy["detail"] == (
        "p=reject of _dmarc.example.test is for all names below too, which need no SPF record of their own for that"
    )


async def test_domain_without_any_record_takes_no_mail_and_may_be_forged(parked: World) -> None:
    parked.zone.text = "other.test. 60 IN A 127.0.0.1\n"
    code, results = await found(parked)
    assert {one["check"]: one["reason"] for one in results} == {
        "mx": None,
        "subdomains": None,
        "spf": "no-record",
        "dmarc": "no-record",
        "dkim": "no-record",
    }
    assert code == 1
    for one in results:
        if one["reason"]:
            assert f"{one['subject']}. 3600 IN TXT " in one["instruction"]


@pytest.mark.parametrize(
    ("published", "instead", "check", "reason", "words"),
    [
        ("IN MX 0 .", "IN MX 10 mx.other.test.", "mx", "parked-but-receives", "mail for it goes to mx.other.test"),
        ("IN MX 0 .", "IN A 127.0.0.1", "mx", "parked-but-receives", "senders try its address"),
        ("v=spf1 -all", "v=spf1 +all", "spf", "parked-but-sends", "lets everybody send"),
        ("v=spf1 -all", "v=spf1 ~all", "spf", "parked-but-sends", "does not ask to refuse whoever does (~all)"),
        ("v=spf1 -all", "v=spf1", "spf", "parked-but-sends", "does not ask to refuse whoever does (no -all)"),
        ("v=spf1 -all", "v=spf1 include:x.test -all", "spf", "parked-but-sends", "passes SPF and DMARC as the domain"),
        ("p=reject; sp=reject", "p=none", "dmarc", "parked-but-not-rejected", "applies: forged mail is delivered"),
        ("p=reject; sp=reject", "p=quarantine", "dmarc", "parked-but-not-rejected", "is put into the spam folder"),
        ("; sp=reject", "; sp=none", "dmarc", "parked-but-not-rejected", "sp=none applies to names below it: forged"),
        ("; sp=reject", "; np=none", "dmarc", "parked-but-not-rejected", "np=none applies to names below it that do"),
        ("; sp=reject", "; t=y", "dmarc", "parked-but-not-rejected", "so receivers apply quarantine: forged mail is"),
        (
            "; sp=reject",
            "; pct=5",
            "dmarc",
            "parked-but-not-rejected",
            "for a part of the mail (pct=5), so older receivers apply quarantine to the rest: f",
        ),
        ("p=reject; sp=reject", "p=reject", "dmarc", None, "is for all names below too"),
        ("mailto:dmarc@mail.test", "mailto:x@mail.test", "dmarc", "reports-go-elsewhere", "not to us"),
        ("mailto:dmarc@mail.test", "mailto:dmarc@example.test", "dmarc", "reports-go-elsewhere", "not to us"),
        ("v=DKIM1; p=", KEY, "dkim", "parked-but-signs", "what is signed with it passes DKIM, and so DMARC"),
        ("v=DKIM1; p=", "some other text", "dkim", "no-record", "there is no empty key"),
    ],
)
async def test_record_that_weakens_it_is_said(
    *, parked: World, published: str, instead: str, check: str, reason: str | None, words: str
) -> None:
    assert parked.zone.text.count(published) == 1
    parked.zone.text = parked.zone.text.replace(published, instead)
    code, results = await found(parked)
    wrong = {one["check"]: one["reason"] for one in results if one["reason"]}
    assert wrong == ({check: reason} if reason else {})
    assert code == (1 if reason else 0)
    assert words in next(one["detail"] for one in results if one["check"] == check)


@pytest.mark.parametrize(
    ("wildcard", "reason", "words", "instruction"),
    [
        ("MX 10 mx.other.test.", "parked-but-receives", "a wildcard MX record leads to 'mx.other.test'", "IN MX 0 ."),
        ("A 192.0.2.7", "parked-but-receives", "a wildcard leads to 192.0.2.7, and senders try", "IN MX 0 ."),
        ("CNAME other.test.", "parked-but-receives", "a wildcard leads to 192.0.2.9", "in the place of the wildcard C"),
        ('TXT "v=spf1 ?all"', "parked-but-sends", "does not ask to refuse whoever does", "v=spf1 -all"),
        ('TXT "v=DMARC1; p=none"', "parked-but-not-rejected", "as its own DMARC policy", "take that out"),
        ("MX 0 .", None, "take no mail (null MX)", ""),
        ('TXT "v=spf1 -all"', None, "take no mail", ""),
    ],
)
async def test_wildcard_that_weakens_names_below_it_is_said(
    *, parked: World, wildcard: str, reason: str | None, words: str, instruction: str
) -> None:
    parked.zone.text += f"other.test. 60 IN A 192.0.2.9\n*.{DOMAIN}. 60 IN {wildcard}\n"
    code, results = await found(parked)
    wrong = {one["check"]: one["reason"] for one in results if one["reason"]}
    assert wrong == ({"subdomains": reason} if reason else {})
    assert code == (1 if reason else 0)
    (subdomains,) = [one for one in results if one["check"] == "subdomains"]
    assert subdomains["subject"] == f"*.{DOMAIN}"
    assert words in subdomains["detail"]
    assert instruction in subdomains["instruction"]


async def test_record_of_a_policy_that_is_left_over_is_named(parked: World) -> None:
    parked.zone.text += f'_mta-sts.{DOMAIN}. 60 IN TXT "v=STSv1; id=20260101"\n'
    code, results = await found(parked)
    (record,) = [one for one in results if one["outcome"] != "good"]
    assert (code, record["check"], record["reason"]) == (1, "mta-sts-record", "parked-but-has-policy")
    assert record["instruction"] == f"take the record at _mta-sts.{DOMAIN} out, and mta-sts.{DOMAIN} with it"
    parked.configure(parked=True, mta_sts={"mode": "none"})
    _, results = await found(parked)
    assert {one["check"]: one["reason"] for one in results}["mta-sts-record"] == "id-differs", "it is being withdrawn"


@pytest.mark.parametrize("text", ["v=spf1 -all", "v=STSv1; id="])
async def test_other_text_at_the_name_of_that_record_announces_nothing(parked: World, text: str) -> None:
    parked.zone.text += f'_mta-sts.{DOMAIN}. 60 IN TXT "{text}"\n'
    assert (await found(parked))[0] == 0


async def test_wildcard_address_beside_a_null_mx_takes_no_mail(parked: World) -> None:
    parked.zone.text += f"*.{DOMAIN}. 60 IN A 192.0.2.7\n*.{DOMAIN}. 60 IN MX 0 .\n"
    assert (await found(parked))[0] == 0


@pytest.mark.parametrize("record", ["example.test", "_dmarc.example.test"])
async def test_unanswered_questions_about_names_below_accuse_nobody(parked: World, record: str) -> None:
    parked.zone.broken.add(record.replace("example.test", "mailposture-asks-for-the-wildcard.example.test"))
    _, results = await found(parked)
    (subdomains,) = [one for one in results if one["check"] == "subdomains"]
    assert (subdomains["outcome"], subdomains["reason"]) == ("unknown", "dns-error")
    assert "mailposture-asks" not in subdomains["detail"]


async def test_key_that_reports_show_is_to_be_gone(resolver: Resolver, zone: Zone) -> None:
    zone.text = f'*._domainkey.{DOMAIN}. 60 IN TXT "v=DKIM1; p="\nnews._domainkey.{DOMAIN}. 60 IN TXT "{KEY}"\n'
    keys = [KeyInUse(domain=DOMAIN, selector=selector) for selector in ("news", "old")]
    results = await check_no_keys(DOMAIN, keys, resolver=resolver)
    assert [(one.subject, one.reason) for one in results] == [
        (f"*._domainkey.{DOMAIN}", None),
        (f"news._domainkey.{DOMAIN}", "parked-but-signs"),
        (f"old._domainkey.{DOMAIN}", None),
    ]
