"""What is acknowledged alerts nobody, is shown as such, and is over on its day."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from clock import NOW
from engine import TODAY, set_clock

from mailposture.config.model import Config
from reports.acknowledging import Acknowledgement, acknowledge, acknowledgements, withdraw, write_acknowledgements

if TYPE_CHECKING:
    from engine import Storage
    from sample_reports import Reports
    from two_domains import Attention, Gauges

pytestmark = pytest.mark.slow

DOMAIN = "shop.example"
MX1, MX2 = "mx1.shop.example", "mx2.shop.example"
NEXT_WEEK = TODAY + timedelta(days=7)


def known(cause: str, subject: str = "") -> Acknowledgement:
    return Acknowledgement(
        policy_domain=DOMAIN, cause=cause, subject=subject, until=NEXT_WEEK, because="renewed on Monday"
    )


@pytest.fixture
def failing(reports: Reports) -> Storage:
    for organization, mx in (("A", MX1), ("B", MX2)):
        reports.add(DOMAIN, organization=organization, day=1, failures={"certificate-expired": 100}, receiving_mx=mx)
    return reports.storage


def test_an_acknowledged_server_is_shown_as_such_and_alerts_nobody(
    failing: Storage, attention: Attention, gauges: Gauges
) -> None:
    acknowledge(failing.client(), failing.config, known("certificate", MX1))
    rows = attention.read()
    assert (rows["certificate", MX1].acknowledged, rows["certificate", MX1].because) == (True, "renewed on Monday")
    assert not rows["certificate", MX2].acknowledged
    numbers = {
        name.strip(): value
        for name, value in gauges.read().items()
        if f"attention {DOMAIN}" in name or f"acknowledged {DOMAIN}" in name
    }
    assert numbers == {
        "mailposture_attention shop.example tls certificate critical": 1,
        "mailposture_attention_acknowledged shop.example tls certificate critical": 1,
    }


def test_a_cause_is_acknowledged_wherever_it_is(failing: Storage, attention: Attention) -> None:
    acknowledge(failing.client(), failing.config, known("certificate"))
    assert attention.causes() == {}
    assert len(attention.read()) == 2


@pytest.mark.parametrize(("days", "counts"), [(1, True), (2, False)])
def test_it_is_over_on_its_day(failing: Storage, attention: Attention, days: int, *, counts: bool) -> None:
    """A sender's newest report counts for three days."""
    over = replace(known("certificate"), until=TODAY + timedelta(days=days))
    acknowledge(failing.client(), failing.config, over)
    assert attention.causes() == {}
    set_clock(failing.client(), failing.config, NOW + timedelta(days=1))
    assert attention.causes() == ({"certificate": "critical"} if counts else {})


def test_what_is_left_is_judged_without_it(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, organization="A", day=1, failures={"certificate-expired": 500}, receiving_mx=MX1)
    reports.add(DOMAIN, organization="B", day=1, failures={"certificate-expired": 19}, receiving_mx=MX2)
    acknowledge(reports.storage.client(), reports.storage.config, known("certificate", MX1))
    assert attention.causes() == {}


def test_all_failures_together_leave_it_out_and_refused_mail_does_not(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, day=1, successful=500, sts_mode="enforce", failures={"certificate-expired": 500})
    acknowledge(reports.storage.client(), reports.storage.config, known("certificate"))
    assert attention.causes() == {"mail-refused": "critical"}


def test_it_can_be_withdrawn_and_said_again(failing: Storage, attention: Attention) -> None:
    for _ in range(2):
        acknowledge(failing.client(), failing.config, known("certificate"))
        assert attention.causes() == {}
        withdraw(failing.client(), failing.config, known("certificate"))
        assert attention.causes() == {"certificate": "critical"}
    assert acknowledgements(failing.client()) == []


def test_the_configuration_acknowledges_too_and_what_leaves_it_is_withdrawn(
    failing: Storage, attention: Attention
) -> None:
    acknowledged = [{"cause": "certificate", "until": NEXT_WEEK.isoformat(), "because": "not ours"}]
    domains = [{"name": DOMAIN, "acknowledged": acknowledged}]
    with_it = Config.model_validate({"domains": domains})
    write_acknowledgements(failing.client(), with_it)
    assert attention.causes() == {}
    assert [each.origin for each in acknowledgements(failing.client())] == ["configuration"]
    write_acknowledgements(failing.client(), failing.config)
    assert attention.causes() == {"certificate": "critical"}
