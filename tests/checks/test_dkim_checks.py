"""DKIM keys in DNS, as receivers read them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailposture.checks.dkim import MOST_KEYS, KeyInUse, check_key, check_keys
from mailposture.checks.result import Outcome

if TYPE_CHECKING:
    from loopback_dns import Zone

    from mailposture.checks.resolver import Resolver

KEY = KeyInUse(domain="example.test", selector="s1")
NAME = "s1._domainkey.example.test"


def rsa_key(bits: int) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def ed25519_key() -> str:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def txt(text: str) -> str:
    return (
        f"{NAME}. 60 IN TXT " + " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200)) + "\n"
    )


GOOD = rsa_key(2048)
MADE = {"rsa 2048": GOOD, "rsa 1024": rsa_key(1024), "ed25519": ed25519_key()}  # names of tests are the same each time


@pytest.mark.parametrize(
    ("text", "outcome", "reason", "detail"),
    [
        ("v=DKIM1; k=rsa; p={rsa 2048}", Outcome.GOOD, None, "rsa key of 2048 bits"),
        ("p={rsa 2048}", Outcome.GOOD, None, "rsa key of 2048 bits"),
        ("v=DKIM1; p={rsa 1024}", Outcome.GOOD, None, "rsa key of 1024 bits; 2048 are advised"),
        ("v=DKIM1; k=ed25519; p={ed25519}", Outcome.GOOD, None, "ed25519 key"),
        ("v=DKIM1; t=s; p={rsa 2048}", Outcome.GOOD, None, "rsa key"),
        ("v=DKIM1; p=", Outcome.MISSING, "key-revoked", "is revoked"),
        ("v=DKIM1; t=y:s; p={rsa 2048}", Outcome.WRONG, "key-in-test", "t=y"),
        ("v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALyG", Outcome.WRONG, "record-invalid", "cannot be read"),
        ("v=DKIM1; k=rsa", Outcome.WRONG, "record-invalid", "no DKIM key"),
        ("v=spf1 -all", Outcome.WRONG, "record-invalid", "no DKIM key"),
        ("v=DKIM1; k=dsa; p=AAAA", Outcome.WRONG, "record-invalid", "unknown type 'dsa'"),
    ],
)
async def test_key(
    *, resolver: Resolver, zone: Zone, text: str, outcome: Outcome, reason: str | None, detail: str
) -> None:
    text = text.format_map(MADE)
    zone.text = txt(text)
    found = await check_key(KEY, resolver=resolver)
    assert (found.outcome, found.reason, found.subject) == (outcome, reason, NAME)
    assert detail in found.detail
    assert found.published == text


async def test_short_key_is_refused_by_receivers(resolver: Resolver, zone: Zone) -> None:
    # 512 bits; cryptography makes no such key any more.
    short = (
        "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKLriIM0y/HzZlSpFCQ7b3WjL2iROsRXitAdIG1l+8bASes4R6hSdd5Okli1uQzGyR2mYfhnWfZC"
        "aAIejcqBwg0CAwEAAQ=="
    )
    zone.text = txt(f"v=DKIM1; p={short}")
    result = await check_key(KEY, resolver=resolver)
    assert (result.outcome, result.reason) == (Outcome.WRONG, "key-too-short")
    assert "512 bits" in result.detail


@pytest.mark.parametrize("text", ["", txt("v=DKIM1; p=")])
async def test_key_that_nothing_signs_with_may_be_gone(resolver: Resolver, zone: Zone, text: str) -> None:
    zone.text = text
    assert (await check_key(KEY, resolver=resolver)).outcome is Outcome.MISSING
    replaced = KeyInUse(domain="example.test", selector="s1", unused_since="2026-11-01")
    result = await check_key(replaced, resolver=resolver)
    assert result.success
    assert "since 2026-11-01" in result.detail


async def test_several_records_are_wrong_and_silence_accuses_nobody(resolver: Resolver, zone: Zone) -> None:
    zone.text = txt(f"v=DKIM1; p={GOOD}") + txt("v=DKIM1; p=")
    assert (await check_key(KEY, resolver=resolver)).reason == "several-records"
    zone.broken = {NAME}
    result = await check_key(KEY, resolver=resolver)
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, "dns-error")


async def test_keys_of_a_domain_are_bounded(resolver: Resolver, zone: Zone) -> None:
    zone.text = ""
    keys = [KeyInUse(domain="example.test", selector=f"s{number}") for number in range(MOST_KEYS + 10)]
    assert len(await check_keys(keys, resolver=resolver)) == MOST_KEYS
