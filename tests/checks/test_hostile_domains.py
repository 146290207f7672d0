"""Domains made to break whoever looks at them: each gets a sentence of its own, and ends nothing for the others."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import faulty_policy_server
import faulty_smtp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from dnslib import QTYPE, RD, RR
from faulty_policy_server import GOOD_POLICY, Answer

from mailposture.checks.certificates import expiry_of, key_of, names_of
from mailposture.checks.outside import for_each, look_at
from mailposture.checks.port25 import Port25
from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Resolver
from mailposture.checks.result import CheckResult, Outcome
from mailposture.expectation import Expectation
from mailposture.records.dns_records import tlsa_record
from mailposture.records.formats import zone_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from loopback_dns import Zone
    from pki import CertificateAuthority

    from mailposture.checks.vantage import Vantage

pytestmark = pytest.mark.slow

GOOD, EVIL = Expectation(domain="example.test"), Expectation(domain="evil.test")


async def found(vantage: Vantage, *expected: Expectation) -> dict[str, tuple[CheckResult, ...]]:
    """All findings by domain, as `mailposture check` gathers them."""

    async def look(one: Expectation) -> tuple[CheckResult, ...]:
        view = await look_at(one, vantage=vantage)
        return view.results(port_25=Port25())

    results = await for_each(expected, look, broken=lambda _, result: (result,))
    return {one.domain: result for one, result in zip(expected, results, strict=True)}


def assert_nothing_broke(results: dict[str, tuple[CheckResult, ...]]) -> None:
    for one in (one for of_domain in results.values() for one in of_domain):
        assert one.reason is not Reason.BROKEN, one
        assert one.detail.isprintable(), one


@pytest.mark.parametrize("seed", range(12))
async def test_garbled_answers_of_one_domain_are_failed_lookups_and_the_others_are_looked_at(
    seed: int, zone: Zone, dns_port: int, looking: Callable[..., Vantage]
) -> None:
    chance = random.Random(seed)

    def garble(name: str, wire: bytes) -> bytes:
        if not name.endswith("evil.test"):
            return wire
        spoilt = bytearray(wire)
        for _ in range(chance.randrange(1, 4)):
            spoilt[chance.randrange(6, len(spoilt))] = chance.randrange(256)  # the id and the flags are right
        return bytes(spoilt[: chance.randrange(12, len(spoilt) + 1)] if chance.random() < 0.3 else spoilt)

    zone.text += zone.text.replace("example.test", "evil.test") + "_25._tcp.mx1.evil.test. 60 IN TLSA 3 1 1 abcd\n"
    zone.garble = garble
    resolver = Resolver(nameservers=[f"127.0.0.1@{dns_port}"], timeout=1)
    results = await found(looking(resolver=resolver, smtp_port=1, https_port=1, timeout=1), GOOD, EVIL)
    assert_nothing_broke(results)
    assert [one.outcome for one in results["example.test"] if one.check in {"mx", "tls-rpt", "spf"}] == ["good"] * 3
    assert {"mx", "spf", "dmarc"} <= {one.check for one in results["evil.test"]}


@pytest.mark.parametrize("data", [b"", b"\x03", b"\x03\x01", b"\x03\x01\x01", bytes(3), b"\xff" * 300])
async def test_malformed_tlsa_record_is_a_result(data: bytes, zone: Zone, looking: Callable[..., Vantage]) -> None:
    class Malformed(RD):
        def __init__(self) -> None:
            super().__init__(data)

    answer = zone._answer
    zone._answer = lambda request: with_record(answer(request), request, Malformed())  # type: ignore[method-assign]

    def with_record(reply: object, request: object, record: RD) -> object:
        if str(request.q.qname) == "_25._tcp.mx1.example.test.":  # type: ignore[attr-defined]
            reply.header.rcode = 0  # type: ignore[attr-defined]
            reply.add_answer(RR(request.q.qname, QTYPE.TLSA, ttl=60, rdata=record))  # type: ignore[attr-defined]
        return reply

    results = await found(looking(smtp_port=1, https_port=1), GOOD)
    assert_nothing_broke(results)
    (tlsa,) = (one for one in results["example.test"] if one.check == "tlsa")
    assert tlsa.reason in {Reason.TLSA_UNUSABLE, Reason.NO_CERTIFICATE}
    assert "no nameserver answered" not in tlsa.detail


SHORT = "_25._tcp.mx1.example.test. 60 IN TLSA 3 1 1 " + "ab" * 31


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (SHORT, "the record `3 1 1 ...` has 31 bytes, where SHA-256 has 32; senders skip it"),
        (SHORT.replace("3 1 1", "3 1 2"), "the record `3 1 2 ...` has 31 bytes, where SHA-512 has 64; senders skip it"),
        (f"{SHORT}\n{SHORT}cdef", "has 33 bytes, where SHA-256 has 32; senders skip it"),
    ],
)
async def test_tlsa_record_of_a_wrong_length_is_said_to_be_that(
    records: str, said: str, zone: Zone, authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    zone.text += records + "\n"
    async with faulty_smtp.serving(authority.issue(["mx1.example.test"]).server_context()) as (_, port):
        results = await found(looking(smtp_port=port, https_port=1), GOOD)
    assert_nothing_broke(results)
    (tlsa,) = (one for one in results["example.test"] if one.check == "tlsa")
    assert (tlsa.outcome, tlsa.reason) == (Outcome.WRONG, Reason.TLSA_UNUSABLE)
    assert tlsa.detail.startswith("TLSA of _25._tcp.mx1.example.test: ")
    assert tlsa.detail.endswith(said)
    assert tlsa.instruction.startswith("_25._tcp.mx1.example.test. 3600 IN TLSA 3 1 1 ")


@pytest.mark.parametrize("parameters", ["0 1 1", "1 0 1", "4 1 1", "255 1 1", "3 2 1", "3 1 3", "2 255 255"])
async def test_tlsa_record_that_mail_does_not_know_is_said_to_be_that(
    parameters: str, zone: Zone, authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    zone.text += f"_25._tcp.mx1.example.test. 60 IN TLSA {parameters} {'ab' * 32}\n"
    async with faulty_smtp.serving(authority.issue(["mx1.example.test"]).server_context()) as (_, port):
        results = await found(looking(smtp_port=port, https_port=1), GOOD)
    (tlsa,) = (one for one in results["example.test"] if one.check == "tlsa")
    assert tlsa.reason is Reason.TLSA_UNUSABLE
    assert tlsa.detail.endswith("the usages 2 and 3, the selectors 0 and 1 and the matching types 0, 1 and 2")


async def test_tlsa_record_that_can_be_read_counts_beside_one_that_cannot(
    zone: Zone, authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    issued = authority.issue(["mx1.example.test"])
    key = key_of(x509.load_pem_x509_certificates(issued.certificate.read_bytes())[0].public_bytes(Encoding.DER))
    assert key is not None
    zone.text += f"{SHORT}\n{zone_line(tlsa_record('mx1.example.test', key))}\n"
    zone.authenticated = True
    async with faulty_smtp.serving(issued.server_context()) as (_, port):
        results = await found(looking(smtp_port=port, https_port=1), GOOD)
    (tlsa,) = (one for one in results["example.test"] if one.check == "tlsa")
    assert tlsa.success
    assert "has 31 bytes, where SHA-256 has 32, so senders skip that one" in tlsa.detail


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        ("3 1 1", "none of 1 TLSA records fits the certificate shown; and "),
        ("1 1 1", "and the matching types 0, 1 and 2; and "),
    ],
)
async def test_tlsa_record_that_cannot_be_read_is_named_beside_one_that_does_not_help(
    beside: str, said: str, zone: Zone, authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    zone.text += f"{SHORT}\n_25._tcp.mx1.example.test. 60 IN TLSA {beside} {'cd' * 32}\n"
    async with faulty_smtp.serving(authority.issue(["mx1.example.test"]).server_context()) as (_, port):
        results = await found(looking(smtp_port=port, https_port=1), GOOD)
    (tlsa,) = (one for one in results["example.test"] if one.check == "tlsa")
    assert tlsa.outcome is Outcome.WRONG
    assert f"{said}the record `3 1 1 ...` has 31 bytes, where SHA-256 has 32, so senders skip that one" in tlsa.detail


def _cut(wire: bytes) -> bytes:
    return wire[: len(wire) * 2 // 3]


def _of_chaos(wire: bytes) -> bytes:
    return wire.replace(b"\x00\x10\x00\x01\x00\x00", b"\x00\x10\x00\x03\x00\x00")


def _too_long(wire: bytes) -> bytes:
    at = wire.index(b"\x00\x10\x00\x01\x00\x00") + 8
    return wire[:at] + b"\xff\xff" + wire[at + 2 :]


def _with_code(code: int) -> Callable[[bytes], bytes]:
    return lambda wire: wire[:3] + bytes((wire[3] & 0xF0 | code,)) + wire[4:]


@pytest.mark.parametrize(
    ("spoil", "reason", "said"),
    [
        (_cut, Reason.ANSWER_MALFORMED, "bytes is cut off or damaged"),
        (lambda wire: wire[:5], Reason.ANSWER_MALFORMED, "the answer of 5 bytes is cut off or damaged"),
        (_of_chaos, Reason.ANSWER_MALFORMED, "the answer is of class CH, where IN was asked for"),
        (_too_long, Reason.ANSWER_MALFORMED, "bytes is cut off or damaged"),
        (_with_code(2), Reason.DNS_ERROR, "every nameserver failed: 'SERVFAIL'"),
        (_with_code(5), Reason.DNS_ERROR, "every nameserver failed: 'REFUSED'"),
        (lambda wire: bytes((wire[0] ^ 1,)) + wire[1:], Reason.DNS_ERROR, "no nameserver answered within 2 s"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_said_to_be_that_for_its_domain_only(
    spoil: Callable[[bytes], bytes],
    reason: Reason,
    said: str,
    zone: Zone,
    looking: Callable[..., Vantage],
) -> None:
    zone.text += zone.text.replace("example.test", "evil.test")
    zone.garble = lambda name, wire: spoil(wire) if name == "_smtp._tls.evil.test" else wire
    results = await found(looking(smtp_port=1, https_port=1), GOOD, EVIL)
    assert_nothing_broke(results)
    good, evil = ({one.check: one for one in results[name]} for name in ("example.test", "evil.test"))
    assert good["tls-rpt"].success
    assert evil["mx"].success
    assert evil["tls-rpt"].reason is reason
    assert said in evil["tls-rpt"].detail


@pytest.mark.parametrize(
    ("records", "check", "said"),
    [
        (
            "_smtp._tls.evil.test. 60 IN CNAME a.evil.test.\na.evil.test. 60 IN CNAME b.evil.test.\n"
            "b.evil.test. 60 IN CNAME a.evil.test.\n",
            "tls-rpt",
            "its aliases (CNAME) lead in a circle",
        ),
        ("evil.test. 60 IN MX 10 a\\000b.evil.test.\n", "mx", "is not a host name"),
        (
            f"_smtp._tls.evil.test. 60 IN TXT {' '.join([chr(34) + 'x' * 250 + chr(34)] * 40)}\n",
            "tls-rpt",
            "v=TLSRPTv1",
        ),
        ('_mta-sts.evil.test. 60 IN TXT "v=STSv1; id=\\000\\027[2J;"\n', "mta-sts-record", "id"),
        ('evil.test. 60 IN TXT "v=spf1 \\000include:\\255 -all"\n', "spf", "v=spf1"),
        ('_dmarc.evil.test. 60 IN TXT "v=DMARC1; p=\\000"\n', "dmarc", "p"),
    ],
)
async def test_records_that_no_zone_should_have_get_a_sentence(
    records: str, check: str, said: str, zone: Zone, looking: Callable[..., Vantage]
) -> None:
    zone.text += records + "evil.test. 60 IN A 127.0.0.1\n"
    results = await found(looking(smtp_port=1, https_port=1), GOOD, EVIL)
    assert_nothing_broke(results)
    one = next(one for one in results["evil.test"] if one.check == check)
    assert not one.success
    assert said in one.detail
    assert {one.check for one in results["example.test"] if one.success} >= {"mx", "tls-rpt", "spf"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (GOOD_POLICY.replace(b"mx1.example.test", b"192.0.2.25"), None),  # senders take it, and find no such MX
        (GOOD_POLICY.replace(b"mx1.example.test", b"999"), None),
        (GOOD_POLICY.replace(b"mx1", b"xn--zz--9"), None),
        (GOOD_POLICY.replace(b"mx1", b"xn--\xff"), Reason.POLICY_INVALID),
        (b"\x1b]0;evil\x07: \x00\r\n" * 1000, Reason.POLICY_INVALID),
        (b"version: STSv1\r\nmode: enforce\r\nmax_age: 1\r\n" + b"mx: a.test\r\n" * 5000, None),
        (b"version: STSv1\r\nmode: enforce\r\nmax_age: 99999999999999999999\r\nmx: a.test", Reason.POLICY_INVALID),
    ],
)
async def test_whatever_a_policy_holds_is_a_result(
    body: bytes, reason: Reason | None, authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    context = authority.issue(["mta-sts.example.test"]).server_context()
    async with faulty_policy_server.serving(Answer(body=body), context) as port:
        results = await found(looking(https_port=port, smtp_port=1), GOOD)
    assert_nothing_broke(results)
    policy = next(one for one in results["example.test"] if one.check == "mta-sts-policy")
    assert policy.reason is reason, policy
    assert len(policy.detail) < 3000


async def test_thousands_of_mx_hosts_and_patterns_are_compared_in_no_time_and_named_in_few_words(
    zone: Zone, authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    zone.text += "".join(f"example.test. 60 IN MX 20 n{one}.test.\n" for one in range(20))
    body = b"version: STSv1\r\nmode: enforce\r\nmax_age: 1\r\n" + b"".join(b"mx: x%d.test\r\n" % n for n in range(4000))
    async with faulty_policy_server.serving(
        Answer(body=body), authority.issue(["mta-sts.example.test"]).server_context()
    ) as port:
        results = await found(looking(https_port=port, smtp_port=1), GOOD)
    assert_nothing_broke(results)
    by_check = {one.check: one for one in results["example.test"]}
    assert by_check["mta-sts-mx"].reason is Reason.MX_NOT_COVERED
    assert by_check["mta-sts-mx"].detail.endswith("and 1 more: senders refuse to deliver there")
    assert "and 3980 more" in by_check["mta-sts-policy"].detail


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_certificates_that_are_made_to_hurt_are_unreadable_and_nothing_else(authority: CertificateAuthority) -> None:
    pem = authority.issue(["mx1.example.test"]).certificate.read_bytes()
    good = x509.load_pem_x509_certificates(pem)[0].public_bytes(Encoding.DER)
    assert names_of(good) == ("mx1.example.test",)
    assert key_of(good) is not None
    chance = random.Random(7672)
    for _ in range(3000):
        spoilt = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        one = bytes(spoilt)
        assert isinstance(names_of(one), tuple)
        expiry_of(one)
        key_of(one)
    # An alternative name of a kind that nobody uses (x400Address), an unknown version, and an unknown kind of key.
    assert names_of(good.replace(b"\x82\x10mx1.example.test", b"\xa3\x10mx1.example.test")) == ()
    assert names_of(good.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09", 1)) == ()
    assert key_of(good.replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d027f"))) is None


async def test_a_fault_of_ours_at_one_domain_is_said_there_and_ends_nothing_for_the_others() -> None:
    async def look(expected: Expectation) -> CheckResult | None:
        await asyncio.sleep(0)
        if expected is EVIL:
            raise ZeroDivisionError("\x1b[2J division by zero")
        return None

    good, evil = await for_each([GOOD, EVIL], look, broken=lambda _, result: result)
    assert good is None
    assert evil is not None
    assert (evil.outcome, evil.reason) == (Outcome.UNKNOWN, Reason.BROKEN)
    assert "the check itself failed (ZeroDivisionError: '\\x1b[2J division by zero')" in evil.detail
