"""The records as senders read them, from a real DNS server."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

import dns.zonefile
import faulty_smtp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailposture.checks.certificates import key_of
from mailposture.checks.dmarc import check_dmarc
from mailposture.checks.dns import check_mta_sts_record, check_mx, check_tls_rpt
from mailposture.checks.mx import probe_mx
from mailposture.checks.resolver import Resolver, Status
from mailposture.checks.result import Outcome
from mailposture.checks.spf import check_spf
from mailposture.checks.tlsa import check_tlsa, tlsa_name
from mailposture.config.model import Config
from mailposture.expectation import Expectation, expectation
from mailposture.records.dns_records import tlsa_record
from mailposture.records.formats import zone_line
from mailposture.records.mta_sts import policy_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loopback_dns import Zone
    from pki import CertificateAuthority

    from mailposture.checks.result import CheckResult
    from mailposture.checks.vantage import Vantage

DOMAIN = "example.test"
ANY = Expectation(domain=DOMAIN)  # not ours


def ours(*, policy: bool = False, parked: bool = False, **sections: Any) -> Expectation:
    """Our domain, as configured."""
    domain = {"name": DOMAIN, "token": "0123456789abcdef", "parked": parked}
    if policy:
        domain["mta_sts"] = {"mode": "testing", "mx": ["mx1.example.test"]}
    config = Config.model_validate(
        {
            "domains": [domain],
            "recipients": ["tls@reports.test", "second@reports.test"],
            "https": {"public_url": "https://reports.test"},
            **sections,
        }
    )
    return expectation(config, config.domains[0])


POLICY_ID = policy_id(b"version: STSv1\r\nmode: testing\r\nmx: mx1.example.test\r\nmax_age: 1209600\r\n")


async def test_good_records_are_good(resolver: Resolver) -> None:
    assert (await check_mx(ANY, resolver=resolver)).hosts == ("mx1.example.test",)
    assert (await check_tls_rpt(ANY, resolver=resolver)).success
    record = await check_mta_sts_record(ANY, resolver=resolver)
    assert (record.result.success, record.id, record.ttl) == (True, "1", 300)
    assert (await check_spf(DOMAIN, parked=False, resolver=resolver)).success
    assert (await check_dmarc(ANY, parked=False, resolver=resolver)).result.success


async def test_missing_records_are_missing_with_the_line_to_paste(resolver: Resolver, zone: Zone) -> None:
    zone.text = "example.test. 300 IN A 127.0.0.1\n"
    results = [
        (await check_mx(ANY, resolver=resolver)).result,
        await check_tls_rpt(ours(recipients=["r@reports.test"], https={}), resolver=resolver),
        (await check_mta_sts_record(ours(policy=True), resolver=resolver)).result,
        await check_spf(DOMAIN, parked=False, resolver=resolver),
        (await check_dmarc(ANY, parked=False, resolver=resolver)).result,
    ]
    assert {result.outcome for result in results} == {Outcome.MISSING}
    assert results[1].instruction == '_smtp._tls.example.test. 3600 IN TXT "v=TLSRPTv1; rua=mailto:r@reports.test"'
    line, _, condition = (results[2].instruction).partition("   ; ")
    assert line == f'_mta-sts.example.test. 3600 IN TXT "v=STSv1; id={POLICY_ID};"'
    assert condition == "once `mailposture policy example.test` says so", "the policy is to be served first"


async def test_nameservers_that_do_not_answer_prove_nothing(resolver: Resolver, zone: Zone) -> None:
    zone.broken = {DOMAIN, f"_smtp._tls.{DOMAIN}", f"_mta-sts.{DOMAIN}", f"_dmarc.{DOMAIN}"}
    results = [
        (await check_mx(ANY, resolver=resolver)).result,
        await check_tls_rpt(ANY, resolver=resolver),
        (await check_mta_sts_record(ANY, resolver=resolver)).result,
        await check_spf(DOMAIN, parked=False, resolver=resolver),
        (await check_dmarc(ANY, parked=False, resolver=resolver)).result,
    ]
    assert {(result.outcome, result.reason) for result in results} == {(Outcome.UNKNOWN, "dns-error")}


async def test_mx_hosts_come_best_first_and_in_normal_form(resolver: Resolver, zone: Zone) -> None:
    zone.text = """
example.test. 60 IN MX 20 MX2.Example.test.
example.test. 60 IN MX 10 mx1.example.test.
mx1.example.test. 60 IN A 127.0.0.1
mx2.example.test. 60 IN AAAA ::1
"""
    found = await check_mx(ANY, resolver=resolver)
    assert found.result.success, found.result
    assert found.hosts == ("mx1.example.test", "mx2.example.test")


@pytest.mark.parametrize(
    ("records", "detail"),
    [
        ("example.test. 60 IN MX 10 gone.example.test.", "gone.example.test has no address"),
        ("example.test. 60 IN MX 10 192.0.2.25.", "192.0.2.25 is an address, where an MX record must name a host"),
        (
            "example.test. 60 IN MX 10 a.example.test.\na.example.test. 60 IN CNAME b.example.test.\n"
            "b.example.test. 60 IN A 127.0.0.1",
            "a.example.test is an alias (CNAME)",
        ),
    ],
)
async def test_unusable_mx_is_wrong(resolver: Resolver, zone: Zone, records: str, detail: str) -> None:
    zone.text = records
    result = (await check_mx(ANY, resolver=resolver)).result
    assert (result.outcome, result.reason) == (Outcome.WRONG, "mx-unusable")
    assert detail in result.detail


async def test_one_slow_nameserver_does_not_add_up_over_the_mx_hosts(dns_port: int, zone: Zone) -> None:
    """Answers about the hosts come only once all of them have been asked for."""
    together = threading.Barrier(19)

    def answer_together(name: str, type_: str) -> None:
        if type_ == "CNAME":
            together.wait(25)

    zone.text += "".join(
        f"{DOMAIN}. 60 IN MX 20 n{one}.{DOMAIN}.\nn{one}.{DOMAIN}. 60 IN A 127.0.0.1\n" for one in range(18)
    )
    zone.before_answering = answer_together
    patient = Resolver(nameservers=[f"127.0.0.1@{dns_port}"], timeout=30)
    assert (await check_mx(ANY, resolver=patient)).result.success
    assert not together.broken


async def test_reports_that_go_elsewhere_are_told_from_those_that_come_to_us(resolver: Resolver, zone: Zone) -> None:
    assert (await check_tls_rpt(ours(), resolver=resolver)).reason == "reports-go-elsewhere"
    zone.text = '_smtp._tls.example.test. 60 IN TXT "v=TLSRPTv1; rua=mailto:a@other.test,mailto:tls@reports.test"\n'
    assert (await check_tls_rpt(ours(), resolver=resolver)).success


@pytest.mark.parametrize(
    "uri",
    [
        "mailto:second@reports.test",  # accepted too, though our own record would name the first
        "mailto:TLS@Reports.Test",
        "mailto:t%6cs@reports.test?subject=tls",
        "https://reports.test/v1/tls-reports/0123456789abcdef",
    ],
)
async def test_whatever_reaches_us_is_ours(resolver: Resolver, zone: Zone, uri: str) -> None:
    zone.text = f'_smtp._tls.example.test. 60 IN TXT "v=TLSRPTv1; rua={uri}"\n'
    assert (await check_tls_rpt(ours(), resolver=resolver)).success


async def test_line_to_paste_is_a_zone_line_however_long(resolver: Resolver, zone: Zone) -> None:
    zone.text = "example.test. 60 IN A 127.0.0.1\n"
    host = ".".join("x" * 60 for _ in range(4))
    expected = ours(https={"public_url": f"https://{host}"})
    text = f"v=TLSRPTv1; rua=mailto:second@reports.test,https://{host}/v1/tls-reports/0123456789abcdef"
    line = (await check_tls_rpt(expected, resolver=resolver)).instruction
    [pasted] = dns.zonefile.read_rrsets(line, rdclass=None)[0]
    assert len(text) > 255
    assert b"".join(pasted.strings).decode() == text


async def test_mx_host_of_which_dns_does_not_answer_is_not_passed_over(resolver: Resolver, zone: Zone) -> None:
    zone.broken = {"mx1.example.test"}
    result = (await check_mx(ANY, resolver=resolver)).result
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, "dns-error")
    assert "--nameserver" in result.instruction


async def tlsa(host: str, chains: list[Sequence[bytes]], resolver: Resolver, *, mx_signed: bool = True) -> CheckResult:
    return check_tlsa(host, await resolver.lookup(tlsa_name(host), "TLSA"), chains, mx_signed=mx_signed)


def pinned(certificate: bytes) -> str:
    """The record that pins the key of a (DER) certificate of the MX."""
    key = key_of(certificate)
    assert key is not None
    return zone_line(tlsa_record("mx1.example.test", key))


async def test_every_address_of_an_mx_must_show_what_tlsa_names(
    resolver: Resolver, zone: Zone, authority: CertificateAuthority
) -> None:
    issued = [authority.issue(["mx1.example.test"]).certificate.read_bytes() for _ in range(2)]
    one, other = (x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER) for pem in issued)
    zone.text += pinned(one)
    zone.authenticated = True
    assert (await tlsa("mx1.example.test", [[one], [one]], resolver)).success
    forgeable = await tlsa("mx1.example.test", [[one]], resolver, mx_signed=False)
    assert forgeable.detail.endswith("but the MX record is not, so mail can be led elsewhere")
    mixed = await tlsa("mx1.example.test", [[one], [other]], resolver)
    assert (mixed.reason, mixed.instruction) == ("tlsa-mismatch", pinned(other))


async def test_id_that_is_not_the_configured_policys_is_wrong(resolver: Resolver) -> None:
    found = await check_mta_sts_record(ours(policy=True), resolver=resolver)
    assert (found.result.outcome, found.result.reason, found.id) == (Outcome.WRONG, "id-differs", "1")


async def test_text_in_several_strings_is_one_record(resolver: Resolver, zone: Zone) -> None:
    zone.text = '_mta-sts.example.test. 60 IN TXT "v=STSv1; i" "d=12;"\n'
    assert (await check_mta_sts_record(ANY, resolver=resolver)).id == "12"


async def test_invalid_record_is_wrong_and_its_fault_named(resolver: Resolver, zone: Zone) -> None:
    zone.text = '_mta-sts.example.test. 60 IN TXT "v=STSv1; id=2026-11-24;"\n'
    result = (await check_mta_sts_record(ANY, resolver=resolver)).result
    assert (result.outcome, result.reason) == (Outcome.WRONG, "record-invalid")
    assert "'2026-11-24' is not 1 to 32 letters and digits" in result.detail


async def test_tlsa_record_that_we_print_fits_the_server_it_was_made_from(
    looking: Callable[..., Vantage], authority: CertificateAuthority, zone: Zone, resolver: Resolver
) -> None:
    host = "mx1.example.test"
    async with faulty_smtp.serving(authority.issue([host]).server_context()) as (_, port):
        probe = await probe_mx(host, "127.0.0.1", vantage=looking(smtp_port=port))
    assert (await tlsa(host, [probe.chain], resolver)).success, "no record means no DANE, which is allowed"
    zone.text += pinned(probe.chain[0])
    unsigned = await tlsa(host, [probe.chain], resolver)
    assert (unsigned.outcome, unsigned.reason) == (Outcome.UNKNOWN, "not-authenticated")
    zone.authenticated = True
    assert (await tlsa(host, [probe.chain], resolver)).success
    other = authority.issue([host]).server_context()
    async with faulty_smtp.serving(other) as (_, port):
        renewed = await probe_mx(host, "127.0.0.1", vantage=looking(smtp_port=port))
    mismatch = await tlsa(host, [renewed.chain], resolver)
    assert (mismatch.outcome, mismatch.reason) == (Outcome.WRONG, "tlsa-mismatch")
    assert mismatch.instruction.startswith("_25._tcp.mx1.example.test. 3600 IN TLSA 3 1 1 ")
    zone.text = "\n".join(
        line.replace("TLSA 3", "TLSA 1") if line.startswith("_25._tcp") else line for line in zone.text.splitlines()
    )
    skipped = await tlsa(host, [renewed.chain], resolver)
    assert (skipped.outcome, skipped.reason) == (Outcome.WRONG, "tlsa-unusable")


@pytest.mark.parametrize(
    ("usage", "selector", "matching", "position", "fits"),
    [
        (3, 1, 1, 0, True),
        (3, 0, 1, 0, True),
        (3, 1, 2, 0, True),
        (3, 0, 0, 0, True),
        (2, 0, 1, 1, True),
        (2, 1, 1, 1, True),
        (3, 1, 1, 1, False),  # an authority's key is not the server's
        (2, 1, 1, 0, False),
        (1, 1, 1, 0, False),  # PKIX usages do not exist for SMTP
        (0, 0, 1, 1, False),
        (3, 1, 9, 0, False),
    ],
)
async def test_tlsa_usages_selectors_and_digests(
    *,
    authority: CertificateAuthority,
    zone: Zone,
    resolver: Resolver,
    usage: int,
    selector: int,
    matching: int,
    position: int,
    fits: bool,
) -> None:
    pem = authority.issue(["mx1.example.test"]).certificate.read_bytes()
    chain = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(pem)]
    data = chain[position]
    if selector == 1:
        key = x509.load_der_x509_certificate(data).public_key()
        data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    association = {0: data, 1: hashlib.sha256(data).digest(), 2: hashlib.sha512(data).digest()}.get(matching, data)
    zone.text += f"_25._tcp.mx1.example.test. 60 IN TLSA {usage} {selector} {matching} {association.hex()}\n"
    zone.authenticated = True
    assert (await tlsa("mx1.example.test", [chain], resolver)).success is fits


@pytest.mark.parametrize("text", ["", "example.test", "127.0.0.1@x", "127.0.0.1@70000", "1.2.3"])
def test_nameserver_must_be_an_address_with_an_optional_port(text: str) -> None:
    with pytest.raises(ValueError, match="is not IP or IP@port"):
        Resolver(nameservers=[text])


async def test_hostile_names_are_failed_lookups_not_exceptions(resolver: Resolver) -> None:
    for name in ("a..b", "x" * 64 + ".test", ".".join(["x" * 60] * 5), "\\999.test"):
        assert (await resolver.lookup(name, "TXT")).status is Status.FAILED
