"""The MX probe against servers with each single fault: what metrics and history say, and what they leave unsaid."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import faulty_smtp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from faulty_smtp import Fault
from outside import DOMAIN, MX, measured
from pki import self_signed
from stripping import stripping

from exporter.probes.mx import probe_mx
from mailposture.checks.mx import MxProbe
from mailposture.checks.port25 import Port25
from mailposture.checks.reason import Reason
from mailposture.checks.tlsa import Tlsa

if TYPE_CHECKING:
    from pathlib import Path

    from outside import World

pytestmark = pytest.mark.slow

FACTS = ("reachable", "starttls_offered", "certificate_valid")


async def test_good_server_is_a_success_with_all_facts_and_gets_no_mail(world: World) -> None:
    expiry = (datetime.now(UTC) + timedelta(days=60)).replace(microsecond=0)
    context = world.authority.issue([MX], not_after=expiry).server_context()
    async with faulty_smtp.serving(context) as (server, port):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    assert (outcome.success, outcome.reason) == (True, None)
    samples = measured(outcome)
    assert samples.pop(f"mx_server_duration_seconds {MX}") > 0
    assert samples == {
        f"mx_server_success {MX}": 1,
        f"mx_server_reachable {MX}": 1,
        f"mx_server_starttls_offered {MX}": 1,
        f"mx_server_certificate_valid {MX}": 1,
        f"mx_server_certificate_not_after_timestamp_seconds {MX}": expiry.timestamp(),
        f"mx_server_tls_info {MX} TLSv1.3": 1,
    }
    (row,) = outcome.findings
    assert (row.receiving_mx, row.receiving_ip, row.tlsa, row.certificate_names) == (MX, "127.0.0.1", "absent", (MX,))
    assert server.commands[:3] == ["EHLO PROBE.TEST", "STARTTLS", "QUIT"]


@pytest.mark.parametrize(
    ("fault", "reason", "facts"),
    [
        (Fault.SILENT, Reason.TIMEOUT, (True, None, None)),
        (Fault.TURNED_AWAY, Reason.GREETING_REFUSED, (True, None, None)),
        (Fault.NOT_SMTP, Reason.SMTP_ERROR, (True, None, None)),
        (Fault.NO_STARTTLS, Reason.STARTTLS_NOT_OFFERED, (True, False, None)),
        (Fault.STARTTLS_REFUSED, Reason.STARTTLS_REFUSED, (True, True, None)),
        (Fault.STARTTLS_HANGS_UP, Reason.TLS_FAILED, (True, True, None)),
        (Fault.SILENT_AFTER_STARTTLS, Reason.TIMEOUT, (True, True, None)),
    ],
)
async def test_each_fault_has_its_reason_and_nothing_is_claimed_that_was_not_seen(
    world: World, fault: Fault, reason: Reason, facts: tuple[bool | None, ...]
) -> None:
    async with faulty_smtp.serving(world.authority.issue([MX]).server_context(), fault) as (_, port):
        patience = 2 if reason is Reason.TIMEOUT else 60
        outcome = await probe_mx(world.domain, world.context(smtp_port=port, timeout=patience))
    assert (outcome.success, outcome.reason) == (False, reason)
    samples = measured(outcome)
    assert samples[f"mx_server_success {MX}"] == 0
    assert samples[f"mx_server_failure {MX} {reason}"] == 1
    assert tuple(samples.get(f"mx_server_{fact} {MX}") for fact in FACTS) == facts
    (row,) = outcome.findings
    assert (row.success, row.reason) == (False, reason)
    assert tuple(getattr(row, fact) for fact in FACTS) == facts


async def test_starttls_stripped_in_the_path_is_seen_as_missing(world: World) -> None:
    async with faulty_smtp.serving(world.authority.issue([MX]).server_context()) as (_, port), stripping(port) as relay:
        outcome = await probe_mx(world.domain, world.context(smtp_port=relay))
    assert outcome.reason is Reason.STARTTLS_NOT_OFFERED
    assert measured(outcome)[f"mx_server_starttls_offered {MX}"] == 0
    assert "something in the path writes X over what it offers" in outcome.findings[0].detail


@pytest.mark.parametrize(
    ("names", "days", "reason"),
    [
        ([MX], -2, Reason.CERTIFICATE_EXPIRED),
        (["other.example.test"], 60, Reason.CERTIFICATE_HOST_MISMATCH),
    ],
)
async def test_refused_certificate_is_shown_with_its_expiry(
    world: World, names: list[str], days: int, reason: Reason
) -> None:
    expiry = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    context = world.authority.issue(names, not_after=expiry).server_context()
    async with faulty_smtp.serving(context) as (_, port):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    assert outcome.reason is reason
    samples = measured(outcome)
    assert samples[f"mx_server_certificate_valid {MX}"] == 0
    assert samples[f"mx_server_certificate_not_after_timestamp_seconds {MX}"] == expiry.timestamp()
    assert outcome.findings[0].certificate_names == tuple(names)


async def test_self_signed_certificate_is_refused(world: World, tmp_path: Path) -> None:
    async with faulty_smtp.serving(self_signed(tmp_path, [MX]).server_context()) as (_, port):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    assert outcome.reason is Reason.CERTIFICATE_SELF_SIGNED
    assert measured(outcome)[f"mx_server_certificate_valid {MX}"] == 0


async def test_one_bad_address_makes_the_mx_bad_and_the_history_says_which(world: World) -> None:
    world.zone.text += "mx1.example.test. 300 IN A 127.0.0.2\n"
    good = world.authority.issue([MX]).server_context()
    async with (
        faulty_smtp.serving(good) as (_, port),
        faulty_smtp.serving(None, Fault.NO_STARTTLS, address="127.0.0.2", port=port),
    ):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    samples = measured(outcome)
    assert samples[f"mx_server_success {MX}"] == 0
    assert samples[f"mx_server_starttls_offered {MX}"] == 0
    assert samples[f"mx_server_certificate_valid {MX}"] == 1  # of the one that showed one
    assert {row.receiving_ip: row.reason for row in outcome.findings} == {
        "127.0.0.1": None,
        "127.0.0.2": Reason.STARTTLS_NOT_OFFERED,
    }


async def test_refusing_server_is_accused_though_no_other_was_reached(world: World) -> None:
    async with faulty_smtp.serving() as (_, port):
        pass
    outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    assert outcome.reason is Reason.REFUSED
    assert measured(outcome)[f"mx_server_reachable {MX}"] == 0
    assert not world.port_25.blocked


def silent(host: str = MX) -> MxProbe:
    return MxProbe(host=host, address="192.0.2.1", reason=Reason.TIMEOUT, detail="no answer")


def test_silence_of_all_servers_accuses_our_own_port_25_until_one_is_reached(world: World) -> None:
    port_25 = world.port_25
    assert not port_25.blocked  # nothing has been tried
    port_25.note([silent(), silent("mx2.example.test")])
    assert port_25.blocked
    assert port_25.hides(silent())
    port_25.note([MxProbe(host="mx.other.test", address="192.0.2.3", reason=Reason.TIMEOUT, connected=True)])
    assert not port_25.blocked
    assert not port_25.hides(silent())


def test_a_server_that_was_reached_once_is_accused_however_long_it_is_silent() -> None:
    clock = [0.0]
    port_25 = Port25(now=lambda: clock[0])
    port_25.note([MxProbe(host=MX, address="192.0.2.1", connected=True)])
    for _ in range(10):
        clock[0] += 86_400
        port_25.note([silent()])
        assert not port_25.blocked
    port_25.note([silent("mx2.example.test")])
    assert port_25.blocked  # a day without any of several
    port_25.note([MxProbe(host=MX, address="192.0.2.1", reason=Reason.REFUSED)])
    assert not port_25.blocked


async def test_where_port_25_is_closed_the_server_is_not_accused(world: World) -> None:
    # A discard-only address (RFC 6666) has no route here, as where a cloud filters port 25.
    world.zone.text = world.zone.text.replace("IN A 127.0.0.1", "IN AAAA 100::1")
    outcome = await probe_mx(world.domain, world.context(timeout=0.5))
    assert outcome.reason is Reason.PORT_25_BLOCKED
    samples = measured(outcome)
    assert samples[f"mx_server_failure {MX} outbound-port-25-blocked"] == 1
    assert not {f"mx_server_reachable {MX}", f"mx_server_success {MX}"} & set(samples)
    (row,) = outcome.findings
    assert (row.reachable, row.starttls_offered, row.certificate_valid) == (None, None, None)


async def test_ipv6_that_cannot_be_reached_from_here_accuses_no_server_that_answers_by_ipv4(world: World) -> None:
    """As in most containers: every MX has both kinds of addresses, and we have no IPv6."""
    world.zone.text += f"{MX}. 300 IN AAAA 100::1\n"
    async with faulty_smtp.serving(world.authority.issue([MX]).server_context()) as (_, port):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port, timeout=5))
    samples = measured(outcome)
    assert (outcome.success, samples[f"mx_server_success {MX}"], samples[f"mx_server_reachable {MX}"]) == (True, 1, 1)
    assert not [name for name in samples if "failure" in name]
    assert not world.port_25.blocked
    hidden, seen = outcome.findings
    assert (hidden.receiving_ip, hidden.reason, hidden.reachable) == ("100::1", Reason.PORT_25_BLOCKED, None)
    assert hidden.detail.endswith("so it is with all servers by IPv6, which says nothing about this one")
    assert (seen.receiving_ip, seen.reason) == ("127.0.0.1", None)
    assert seen.detail.startswith("STARTTLS with TLSv1.3, certificate until ")


async def test_ipv6_address_that_is_down_is_accused_where_ipv6_works(world: World) -> None:
    world.zone.text += f"{MX}. 300 IN AAAA ::1\n{MX}. 300 IN AAAA 100::1\n"
    context = world.authority.issue([MX]).server_context()
    async with (
        faulty_smtp.serving(context) as (_, port),
        faulty_smtp.serving(context, address="::1", port=port),
    ):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port, timeout=5))
    samples = measured(outcome)
    assert samples[f"mx_server_reachable {MX}"] == 0
    assert sum(number for name, number in samples.items() if "failure" in name) == 1


def test_server_in_our_own_network_does_not_prove_that_port_25_is_open_to_the_world() -> None:
    """A cloud closes port 25 only towards the outside."""
    port_25 = Port25()
    outside = MxProbe(host="mx.outside.test", address="8.8.4.4", reason=Reason.TIMEOUT)
    port_25.note([MxProbe(host=MX, address="10.0.0.25", connected=True), outside])
    assert (port_25.blocked, port_25.hides(outside)) == (True, True)
    port_25.note([MxProbe(host="mx.other.test", address="8.8.8.8", connected=True), outside])
    assert (port_25.blocked, port_25.hides(outside)) == (False, False)
    port_25.note([MxProbe(host=MX, address="10.0.0.25", reason=Reason.TIMEOUT)])
    assert not port_25.hides(MxProbe(host=MX, address="10.0.0.25", reason=Reason.TIMEOUT))


def tlsa_line(certificate: Path) -> str:
    der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(Encoding.DER)
    return f"_25._tcp.{MX}. 300 IN TLSA 3 0 1 {hashlib.sha256(der).hexdigest()}\n"


@pytest.mark.parametrize(
    ("authenticated", "same", "tlsa", "match"),
    [
        (True, True, Tlsa.MATCH, 1),
        (False, True, Tlsa.MATCH_UNSIGNED, 1),
        (True, False, Tlsa.MISMATCH, 0),
    ],
)
async def test_tlsa_is_compared_with_the_certificate_shown(
    world: World, authenticated: bool, same: bool, tlsa: Tlsa, match: int
) -> None:
    shown, other = world.authority.issue([MX]), world.authority.issue([MX])
    world.zone.text += tlsa_line((shown if same else other).certificate)
    world.zone.authenticated = authenticated
    async with faulty_smtp.serving(shown.server_context()) as (_, port):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    assert measured(outcome)[f"mx_server_tlsa_match {MX}"] == match
    assert outcome.findings[0].tlsa == tlsa
    assert outcome.reason is (None if same else Reason.TLSA_MISMATCH)


async def test_tlsa_mismatch_says_so_in_words(world: World) -> None:
    world.zone.text += tlsa_line(world.authority.issue([MX]).certificate) * 2
    async with faulty_smtp.serving(world.authority.issue([MX]).server_context()) as (_, port):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    assert outcome.findings[0].detail == "none of 1 TLSA records fits the certificate shown"


async def test_tlsa_records_that_senders_of_mail_skip_accuse_nobody(world: World) -> None:
    """Usages 0 and 1 are for browsers: senders encrypt, and compare nothing (RFC 7672, section 3.1.3)."""
    world.zone.text += f"_25._tcp.{MX}. 300 IN TLSA 1 1 1 {'ab' * 32}\n"
    async with faulty_smtp.serving(world.authority.issue([MX]).server_context()) as (_, port):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    assert (outcome.success, outcome.findings[0].tlsa) == (True, Tlsa.UNUSABLE)
    assert f"mx_server_tlsa_match {MX}" not in measured(outcome)


async def test_mx_without_address_and_mx_that_dns_does_not_answer_are_distinguished(world: World) -> None:
    world.zone.text += f"{DOMAIN}. 300 IN MX 20 gone.example.test.\n{DOMAIN}. 300 IN MX 30 broken.example.test.\n"
    world.zone.broken = {"broken.example.test"}
    async with faulty_smtp.serving(world.authority.issue([MX]).server_context()) as (_, port):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    samples = measured(outcome)
    assert samples["mx_server_failure gone.example.test mx-without-address"] == 1
    assert samples["mx_server_failure broken.example.test dns-error"] == 1
    assert samples[f"mx_server_success {MX}"] == 1


async def test_hostile_mx_names_never_become_labels(world: World) -> None:
    world.zone.text += f"{DOMAIN}. 300 IN MX 5 evil{{x=1}}.example.test.\n"
    async with faulty_smtp.serving(world.authority.issue([MX]).server_context()) as (_, port):
        outcome = await probe_mx(world.domain, world.context(smtp_port=port))
    assert {labels[:2] for _, labels, _ in outcome.samples} == {(DOMAIN, MX)}


async def test_no_more_than_twenty_hosts_get_series(world: World) -> None:
    world.zone.text += "".join(f"{DOMAIN}. 300 IN MX 20 n{number}.example.test.\n" for number in range(100))
    outcome = await probe_mx(world.domain, world.context(timeout=0.5, smtp_port=1))
    assert len({labels[1] for _, labels, _ in outcome.samples}) == 20


async def test_domain_that_takes_no_mail_though_it_should_is_no_success(world: World) -> None:
    world.zone.text = f"{DOMAIN}. 300 IN MX 0 .\n"
    outcome = await probe_mx(world.domain, world.context())
    assert (outcome.success, outcome.reason) == (False, Reason.NULL_MX)


async def test_unanswered_mx_lookup_is_no_success(world: World) -> None:
    world.zone.broken = {DOMAIN}
    outcome = await probe_mx(world.domain, world.context())
    assert (outcome.success, outcome.reason, outcome.samples) == (False, Reason.DNS_ERROR, ())
