"""What needs attention of what our own probes find: the only rule about it, which alerts compare too."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from clock import NOW, TODAY

if TYPE_CHECKING:
    from sample_reports import Reports
    from two_domains import Attention, Gauges

pytestmark = pytest.mark.slow

DOMAIN, MX = "shop.example", "mx1.shop.example"
POLICY = {"probe": "mta-sts", "receiving_mx": "", "receiving_ip": "::"}
ENFORCED = {**POLICY, "sts_mode": "enforce", "sts_max_age": 1_209_600}
EXPIRED = {"success": False, "reason": "certificate-expired", "certificate_valid": False}


def put(reports: Reports, *ages: float, **row: Any) -> None:
    """The same probe, so many minutes ago."""
    for minutes in ages:
        then = NOW - timedelta(minutes=minutes)
        seen = {"policy_domain": DOMAIN, "receiving_mx": MX, "day": then.date(), "probed_at": then}
        reports.storage.put("probe_results", {**seen, **row})


def found(attention: Attention) -> dict[tuple[str, str], str]:
    return {key: row.severity for key, row in attention.read().items()}


def test_a_bad_certificate_hides_no_wrong_tlsa_record(reports: Reports, attention: Attention, gauges: Gauges) -> None:
    put(reports, 20, 5, tlsa="mismatch", detail="it has expired", **EXPIRED)
    assert found(attention) == {("mx-certificate-invalid", MX): "warning", ("mx-tlsa-mismatch", MX): "critical"}
    assert gauges.read()[f"mailposture_attention {DOMAIN} outside mx-tlsa-mismatch critical {MX} "] == 1
    ((words,),) = reports.storage.ask("SELECT detail FROM attention WHERE cause = 'mx-tlsa-mismatch'")
    assert words.startswith("None of its TLSA records names the certificate")


def test_each_fault_waits_for_a_second_probe(reports: Reports, attention: Attention) -> None:
    put(reports, 20, tlsa="match", **EXPIRED)
    put(reports, 5, tlsa="mismatch", **EXPIRED)
    assert found(attention) == {("mx-certificate-invalid", MX): "warning"}
    put(reports, 0, tlsa="mismatch", **EXPIRED)
    assert found(attention) == {("mx-certificate-invalid", MX): "warning", ("mx-tlsa-mismatch", MX): "critical"}
    put(reports, -1, tlsa="mismatch", **EXPIRED)
    assert len(found(attention)) == 2, "what is later than now is not there yet"


def test_a_policy_that_senders_keep_makes_a_bad_certificate_an_emergency(
    reports: Reports, attention: Attention
) -> None:
    put(reports, 20, 5, **EXPIRED)
    put(reports, 20, 5, success=False, reason="policy-host-unreachable", **POLICY)
    assert found(attention) == {("mx-certificate-invalid", MX): "warning", ("policy-unfetchable", ""): "warning"}
    put(reports, 15 * 24 * 60, **ENFORCED)
    assert found(attention)["mx-certificate-invalid", MX] == "warning", "nobody keeps it any more"
    put(reports, 13 * 24 * 60, **ENFORCED)
    assert found(attention) == {("mx-certificate-invalid", MX): "critical", ("policy-unfetchable", ""): "warning"}
    put(reports, 0, **{**ENFORCED, "sts_mode": "testing"})
    assert found(attention) == {("mx-certificate-invalid", MX): "warning"}


def test_the_mode_that_we_host_counts_while_nobody_has_seen_it_served(reports: Reports, attention: Attention) -> None:
    put(reports, 20, 5, **EXPIRED)
    put(reports, 20, 5, success=False, reason="policy-status", **POLICY)
    reports.storage.client().command(
        "INSERT INTO mailposture_tables.configured_domains SELECT * REPLACE ('enforce' AS hosted_sts_mode, "
        f"now64() AS updated_at) FROM mailposture_tables.configured_domains FINAL WHERE policy_domain = '{DOMAIN}'"
    )
    assert found(attention)["mx-certificate-invalid", MX] == "critical"


@pytest.mark.parametrize("reason", ["policy-timeout", "certificate-expired", "answer-malformed"])
def test_whatever_keeps_senders_from_the_policy_is_said(reports: Reports, attention: Attention, reason: str) -> None:
    put(reports, 20, 5, success=False, reason=reason, **POLICY)
    assert found(attention) == {("policy-unfetchable", ""): "warning"}


def test_a_policy_that_was_not_fetched_now_has_no_small_max_age(reports: Reports, attention: Attention) -> None:
    put(reports, 35, **ENFORCED)
    put(reports, 20, 5, success=False, reason="policy-status", **POLICY)
    assert found(attention) == {("policy-unfetchable", ""): "warning"}
    put(reports, 0, **{**ENFORCED, "sts_max_age": 604_799})
    assert found(attention) == {("policy-max-age-small", ""): "info"}


def test_an_mx_that_no_policy_names_is_as_bad_as_its_mode(reports: Reports, attention: Attention) -> None:
    put(reports, 35, 20, success=False, reason="mx-not-covered", **{**ENFORCED, "sts_mode": "testing"})
    assert found(attention) == {("mx-not-covered", ""): "warning"}
    put(reports, 5, 0, success=False, reason="mx-not-covered", **ENFORCED)
    assert found(attention) == {("mx-not-covered", ""): "critical"}


def test_probes_of_the_day_before_yesterday_find_nothing(reports: Reports, attention: Attention) -> None:
    put(reports, 2 * 24 * 60 + 800, 2 * 24 * 60 + 780, **EXPIRED)
    assert TODAY - (NOW - timedelta(minutes=2 * 24 * 60 + 780)).date() > timedelta(days=1)
    assert found(attention) == {}
