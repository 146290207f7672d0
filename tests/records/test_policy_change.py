"""A change of policy, step by step (RFC 8461, sections 8.2 and 8.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailposture.config.domains import PolicyMode
from mailposture.records.mta_sts import Policy, policy_id, render, render_record
from mailposture.records.policy_change import Situation, Stage, next_step, words_for

OLD = Policy(mode=PolicyMode.TESTING, mx=("mx1.example.com",), max_age=1_209_600)
NEW = Policy(mode=PolicyMode.ENFORCE, mx=("mx1.example.com",), max_age=1_209_600)
GONE = Policy(mode=PolicyMode.NONE, max_age=86_400)

SETTLED = Situation(
    domain="example.com",
    wanted=True,
    configured=OLD,
    served=render(OLD),
    record_id=policy_id(render(OLD)),
    record_ttl=3600,
    mx_hosts=("mx1.example.com",),
)


def test_nothing_to_do_where_all_agree() -> None:
    assert next_step(SETTLED).stage is Stage.DONE


def test_body_changes_before_the_id() -> None:
    changed = replace(SETTLED, configured=NEW)
    step = next_step(changed)
    assert (step.stage, step.record) == (Stage.SERVE, None)
    served = replace(changed, served=render(NEW))
    step = next_step(served)
    assert (step.stage, step.record) == (Stage.ANNOUNCE, render_record(render(NEW)))
    assert "wait 1 hour" in step.instruction
    announced = replace(served, record_id=policy_id(render(NEW)))
    assert next_step(announced).stage is Stage.DONE


def test_id_published_too_early_is_no_reason_to_skip_the_body() -> None:
    step = next_step(replace(SETTLED, configured=NEW, record_id=policy_id(render(NEW))))
    assert step.stage is Stage.SERVE


def test_first_policy_is_served_before_it_is_announced() -> None:
    step = next_step(replace(SETTLED, served=None, serving_fault="mta-sts.example.com has no address", record_id=None))
    assert step.stage is Stage.SERVE
    assert "mta-sts.example.com has no address" in step.instruction


def test_policy_is_withdrawn_through_mode_none_and_long_waiting() -> None:
    going = replace(SETTLED, configured=GONE)
    assert next_step(going).stage is Stage.SERVE
    going = replace(going, served=render(GONE))
    assert next_step(going).stage is Stage.ANNOUNCE
    going = replace(going, record_id=policy_id(render(GONE)))
    step = next_step(going)
    assert step.stage is Stage.WITHDRAW
    assert "longest max_age" in step.instruction


def test_policy_that_senders_know_is_never_just_dropped() -> None:
    dropped = replace(SETTLED, wanted=False, configured=None)
    assert next_step(dropped).stage is Stage.RETIRE_FIRST
    assert next_step(replace(dropped, served=None)).stage is Stage.RETIRE_FIRST
    assert next_step(replace(dropped, served=None, record_id=None)).stage is Stage.NOT_CONFIGURED


def test_silent_dns_is_no_proof_that_senders_know_no_policy() -> None:
    unanswered = ("_mta-sts.example.com",)
    blind = replace(SETTLED, wanted=False, configured=None, served=None, record_id=None, unanswered=unanswered)
    assert next_step(blind).stage is Stage.UNKNOWN
    assert next_step(replace(blind, unanswered=())).stage is Stage.NOT_CONFIGURED
    assert next_step(replace(blind, served=render(OLD))).stage is Stage.RETIRE_FIRST
    assert next_step(replace(blind, record_id="1")).stage is Stage.RETIRE_FIRST


@pytest.mark.parametrize(
    "blind",
    [
        replace(SETTLED, mx_hosts=(), unanswered=("example.com",)),
        replace(SETTLED, served=None, unanswered=("mta-sts.example.com",)),
        replace(SETTLED, record_id=None, unanswered=("_mta-sts.example.com",)),
    ],
)
def test_no_step_is_told_while_dns_is_silent(blind: Situation) -> None:
    step = next_step(blind)
    assert (step.stage, step.record) == (Stage.UNKNOWN, None)
    assert blind.unanswered[0] in step.instruction


def test_parked_domain_needs_no_policy_and_may_still_have_one_to_withdraw() -> None:
    parked = replace(SETTLED, wanted=False, configured=None, served=None, record_id=None, mx_hosts=(), parked=True)
    assert "takes no mail" in next_step(parked).instruction
    assert next_step(replace(parked, record_id="1")).stage is Stage.RETIRE_FIRST


def test_looked_up_mx_is_shown_and_not_trusted() -> None:
    step = next_step(replace(SETTLED, configured=None, served=None, record_id=None))
    assert step.stage is Stage.NAME_MX
    assert "compare" in step.instruction
    assert "mta_sts.mx: [mx1.example.com]" in step.instruction


@pytest.mark.parametrize("policy", [OLD, NEW])
def test_mx_that_the_policy_does_not_cover_stops_the_change(policy: Policy) -> None:
    step = next_step(replace(SETTLED, configured=policy, mx_hosts=("mx1.example.com", "mx2.example.com")))
    assert step.stage is Stage.COVER_MX
    assert "mx2.example.com" in step.instruction


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (1, "1 second"), (300, "5 minutes"), (5400, "1 hour 30 minutes"), (1_209_600, "14 days")],
)
def test_durations_are_said_in_words(seconds: int, words: str) -> None:
    assert words_for(seconds) == words
