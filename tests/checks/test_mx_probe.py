"""The probe of an MX server against servers with each single fault."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import faulty_smtp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from faulty_smtp import Fault
from pki import self_signed

from mailposture.checks.certificates import KeyKind, key_of, kind_of_key
from mailposture.checks.mx import probe_mx
from mailposture.checks.port25 import Port25
from mailposture.checks.result import Outcome
from mailposture.checks.servers import judge_server, look_at_servers
from mailposture.checks.vantage import vantage_of
from mailposture.config.model import Probes
from mailposture.problems import ProblemError
from mailposture.records.dns_records import tlsa_record
from mailposture.records.formats import zone_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from loopback_dns import Zone
    from pki import CertificateAuthority, Issued

    from mailposture.checks.mx import MxProbe
    from mailposture.checks.result import CheckResult
    from mailposture.checks.vantage import Vantage

pytestmark = pytest.mark.slow

HOST = "mx1.example.test"
SOON = timedelta(days=14)


def judged(probes: Sequence[MxProbe], *, expiring_within: timedelta = SOON) -> list[CheckResult]:
    """The results for servers that were looked at in one round."""
    port_25 = Port25()
    port_25.note(probes)
    return [judge_server(probe, port_25=port_25, expiring_within=expiring_within) for probe in probes]


async def test_good_server_shows_certificate_and_tls_version_and_gets_no_mail(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    expiry = (datetime.now(UTC) + timedelta(days=60)).replace(microsecond=0)
    context = authority.issue([HOST], not_after=expiry).server_context()
    async with faulty_smtp.serving(context) as (server, port):
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert probe.success, probe
    assert probe.connected
    assert probe.starttls_offered
    assert probe.encrypted
    assert probe.chain_valid
    assert probe.name_valid
    assert (probe.tls_version, probe.not_after, probe.names) == ("TLSv1.3", expiry, (HOST,))
    assert len(probe.chain) == 2
    assert server.commands[:3] == ["EHLO PROBE.TEST", "STARTTLS", "QUIT"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.SILENT, "timeout"),
        (Fault.SILENT_AFTER_STARTTLS, "timeout"),
        (Fault.NO_STARTTLS, "starttls-not-offered"),
        (Fault.STARTTLS_REFUSED, "starttls-refused"),
        (Fault.STARTTLS_HANGS_UP, "tls-failed"),
        (Fault.TURNED_AWAY, "greeting-refused"),
        (Fault.NOT_SMTP, "smtp-error"),
        (Fault.ENDLESS_LINE, "smtp-error"),
        (Fault.ENDLESS_REPLY, "smtp-error"),
        (Fault.HANGS_UP, "smtp-error"),
    ],
)
async def test_each_fault_is_named(
    looking: Callable[..., Vantage], authority: CertificateAuthority, fault: Fault, reason: str
) -> None:
    async with faulty_smtp.serving(authority.issue([HOST]).server_context(), fault) as (_, port):
        patience = 2 if reason == "timeout" else 60
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port, timeout=patience))
    assert probe.connected
    assert (probe.success, probe.reason) == (False, reason)
    assert probe.detail.isprintable()
    result = judged([probe])[0]
    assert (result.outcome, result.reason) == (Outcome.WRONG, reason)
    assert result.instruction


async def test_greeting_that_is_not_ascii_is_still_a_greeting(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    context = authority.issue([HOST]).server_context()
    async with faulty_smtp.serving(context, Fault.GREETS_IN_UTF_8) as (_, port):
        assert (await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))).success


async def test_no_way_to_a_server_is_said_in_words(looking: Callable[..., Vantage]) -> None:
    probe = await probe_mx(HOST, "255.255.255.255", vantage=looking())  # nobody connects to broadcast
    assert (probe.reason, probe.detail) == ("unreachable", "Network is unreachable")


async def test_certificate_that_names_the_host_only_as_common_name_is_refused(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    """RFC 8461, section 4.1: the subject alternative name counts."""
    issued = authority.issue([HOST], alternative_names=[])
    async with faulty_smtp.serving(issued.server_context()) as (_, port):
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert (probe.reason, probe.names) == ("certificate-host-mismatch", ())


async def test_refused_connection_accuses_the_server(looking: Callable[..., Vantage]) -> None:
    async with faulty_smtp.serving() as (_, port):
        pass
    probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert (probe.connected, probe.reason) == (False, "refused")
    assert judged([probe])[0].outcome is Outcome.WRONG


@pytest.mark.parametrize(
    ("names", "accepted"),
    [
        ([HOST], True),
        (["*.example.test"], True),
        (["example.test"], False),
        (["other.example.test"], False),
        (["*.test"], False),
    ],
)
async def test_certificate_must_name_the_mx_host(
    looking: Callable[..., Vantage], authority: CertificateAuthority, names: list[str], accepted: bool
) -> None:
    async with faulty_smtp.serving(authority.issue(names).server_context()) as (_, port):
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert probe.reason == (None if accepted else "certificate-host-mismatch")
    assert probe.name_valid is accepted
    assert probe.chain_valid
    assert probe.names == tuple(names)


async def test_expired_certificate_is_shown_with_its_date(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    expiry = (datetime.now(UTC) - timedelta(days=2)).replace(microsecond=0)
    async with faulty_smtp.serving(authority.issue([HOST], not_after=expiry).server_context()) as (_, port):
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert (probe.reason, probe.not_after) == ("certificate-expired", expiry)
    assert (probe.encrypted, probe.chain_valid, probe.name_valid) == (True, False, True)


async def test_self_signed_certificate_is_refused_and_shown(looking: Callable[..., Vantage], tmp_path: Path) -> None:
    async with faulty_smtp.serving(self_signed(tmp_path, [HOST]).server_context()) as (_, port):
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert probe.reason == "certificate-self-signed"
    assert (probe.chain_valid, probe.name_valid, len(probe.chain)) == (False, True, 1)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_server_without_tls_1_2_is_refused(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    context = authority.issue([HOST]).server_context()
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with faulty_smtp.serving(context) as (_, port):
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert probe.reason == "tls-failed"


async def test_certificate_that_expires_soon_is_wrong_before_it_is_too_late(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    context = authority.issue([HOST], not_after=datetime.now(UTC) + timedelta(days=5)).server_context()
    async with faulty_smtp.serving(context) as (_, port):
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert judged([probe], expiring_within=timedelta(days=4))[0].success
    assert judged([probe])[0].reason == "certificate-expires-soon"


async def test_slow_server_delays_no_other(
    looking: Callable[..., Vantage], authority: CertificateAuthority, zone: Zone
) -> None:
    zone.text += "mx2.example.test. 300 IN A 127.0.0.2\n"
    good = authority.issue([HOST, "mx2.example.test"]).server_context()
    async with (
        faulty_smtp.serving(fault=Fault.SILENT) as (_, port),
        faulty_smtp.serving(good, address="127.0.0.2", port=port),
    ):
        probes = (await look_at_servers([HOST, "mx2.example.test"], vantage=looking(smtp_port=port, timeout=5))).probes
    slow, quick = probes
    assert (slow.reason, quick.reason) == ("timeout", None)
    assert quick.seconds < slow.seconds
    assert [one.outcome for one in judged(probes)] == [Outcome.WRONG, Outcome.GOOD]


async def test_of_many_addresses_the_same_few_of_both_kinds_are_looked_at(
    looking: Callable[..., Vantage], zone: Zone
) -> None:
    many = [f"{HOST}. 300 IN A 127.0.0.{one}" for one in range(1, 21)]
    many += [f"{HOST}. 300 IN AAAA 100::{one}" for one in range(1, 21)]
    seen = set()
    for records in (many, many[::-1]):
        zone.text = "\n".join(records)
        probes = (await look_at_servers([HOST], vantage=looking(smtp_port=1, timeout=1))).probes
        seen.add(frozenset(probe.address for probe in probes))
    (addresses,) = seen
    assert sorted(":" in one for one in addresses) == [False] * 4 + [True] * 4


async def test_where_nothing_can_be_reached_nobody_is_accused(looking: Callable[..., Vantage], zone: Zone) -> None:
    # A listener whose backlog is full drops connections, just as a cloud's packet filter does.
    zone.text += "mx2.example.test. 300 IN A 127.0.0.1\n"
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = full.getsockname()[1]
    filling = [socket.socket() for _ in range(4)]
    for one in filling:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    try:
        probes = (await look_at_servers([HOST, "mx2.example.test"], vantage=looking(smtp_port=port, timeout=1))).probes
    finally:
        for one in (full, *filling):
            one.close()
    assert [probe.reason for probe in probes] == ["timeout", "timeout"]
    results = judged(probes)
    assert {(one.outcome, one.reason) for one in results} == {(Outcome.UNKNOWN, "outbound-port-25-blocked")}
    assert "so it is with all servers by IPv4" in results[0].detail


async def test_where_there_is_no_ipv6_a_server_that_answers_by_ipv4_is_not_accused(
    looking: Callable[..., Vantage], authority: CertificateAuthority, zone: Zone
) -> None:
    zone.text += f"{HOST}. 300 IN AAAA 100::1\n"  # discard-only (RFC 6666): no route
    async with faulty_smtp.serving(authority.issue([HOST]).server_context()) as (_, port):
        probes = (await look_at_servers([HOST], vantage=looking(smtp_port=port, timeout=5))).probes
        results = judged(probes)
        assert [(one.outcome, one.reason) for one in results] == [
            (Outcome.UNKNOWN, "outbound-port-25-blocked"),
            (Outcome.GOOD, None),
        ]
        zone.text += f"{HOST}. 300 IN AAAA ::1\n"
        async with faulty_smtp.serving(authority.issue([HOST]).server_context(), address="::1", port=port):
            probes = (await look_at_servers([HOST], vantage=looking(smtp_port=port, timeout=5))).probes
    outcomes = {one.subject: one.outcome for one in judged(probes)}
    assert outcomes == {
        f"{HOST} [100::1]": Outcome.WRONG,
        f"{HOST} [::1]": Outcome.GOOD,
        f"{HOST} [127.0.0.1]": Outcome.GOOD,
    }


def test_authority_that_cannot_be_read_is_said_before_any_server_is_accused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"root\.pem: cannot be read .* let probes\.certificate_authority name"):
        vantage_of(Probes(certificate_authority=tmp_path / "root.pem"))


def test_roots_are_read_once_for_many_servers(looking: Callable[..., Vantage]) -> None:
    assert looking().trusting_context() is looking(smtp_port=26).trusting_context()


def both(*issued: Issued) -> ssl.SSLContext:
    """A server with several certificates, of keys of several kinds."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for one in issued:
        context.load_cert_chain(one.certificate, one.key)
    return context


async def test_server_with_an_rsa_and_an_ecdsa_certificate_is_looked_at_with_both(
    authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    context = both(authority.issue([HOST]), authority.issue([HOST], rsa_key=True))
    async with faulty_smtp.serving(context) as (_, port):
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert probe.success
    assert {kind_of_key(chain[0]) for chain in probe.chains} == {KeyKind.RSA, KeyKind.ECDSA}


@pytest.mark.parametrize("rsa_expired", [True, False])
async def test_each_of_two_certificates_must_be_right(
    rsa_expired: bool, authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    expired = datetime.now(UTC) - timedelta(days=1)
    context = both(
        authority.issue([HOST], rsa_key=True, not_after=expired if rsa_expired else None),
        authority.issue([HOST], not_after=None if rsa_expired else expired),
    )
    async with faulty_smtp.serving(context) as (_, port):
        probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
    assert probe.reason == "certificate-expired"
    assert probe.not_after is not None
    assert abs(probe.not_after - expired) < timedelta(seconds=2)


@pytest.mark.parametrize(("first", "whose"), [("RSA", " shown to clients that take RSA keys only"), ("ECDSA", "")])
async def test_of_two_certificates_the_one_that_expires_first_is_named(
    first: str, whose: str, authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    """The other is what everybody sees who looks by hand."""
    soon = datetime.now(UTC) + timedelta(days=4)
    context = both(
        authority.issue([HOST], rsa_key=True, not_after=soon if first == "RSA" else None),
        authority.issue([HOST], not_after=soon if first == "ECDSA" else None),
    )
    async with faulty_smtp.serving(context) as (_, port):
        (result,) = judged([await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))])
    assert result.reason == "certificate-expires-soon"
    assert result.detail == f"the certificate{whose} expires on {soon:%Y-%m-%d %H:%M} UTC"


async def test_server_with_one_certificate_has_one_whatever_its_key(
    authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    for rsa_key in (True, False):
        async with faulty_smtp.serving(authority.issue([HOST], rsa_key=rsa_key).server_context()) as (_, port):
            probe = await probe_mx(HOST, "127.0.0.1", vantage=looking(smtp_port=port))
        assert (probe.success, len(probe.chains)) == (True, 1)


async def test_tlsa_must_name_both_certificates_of_a_server(
    zone: Zone, authority: CertificateAuthority, looking: Callable[..., Vantage]
) -> None:
    ecdsa, rsa = authority.issue([HOST]), authority.issue([HOST], rsa_key=True)
    keys = [
        key_of(x509.load_pem_x509_certificates(one.certificate.read_bytes())[0].public_bytes(Encoding.DER))
        for one in (ecdsa, rsa)
    ]
    pins = [zone_line(tlsa_record(HOST, key)) for key in keys if key]
    zone.authenticated = True
    zone.text += pins[0] + "\n"
    async with faulty_smtp.serving(both(ecdsa, rsa)) as (_, port):
        (server,) = (view := await look_at_servers([HOST], vantage=looking(smtp_port=port))).servers
        (lacking,) = view.tlsa_results(mx_signed=True)
        zone.text += pins[1] + "\n"
        (complete,) = (await look_at_servers([HOST], vantage=looking(smtp_port=port))).tlsa_results(mx_signed=True)
    assert (server.tlsa, lacking.reason, lacking.instruction) == ("mismatch", "tlsa-mismatch", pins[1])
    assert lacking.detail == "none of 1 TLSA records fits the certificate shown to clients that take RSA keys only"
    assert complete.success
