"""Policies as we render them and as senders read them (RFC 8461, section 3.2)."""

from __future__ import annotations

import random
import string
from dataclasses import replace
from typing import Any

import pytest

from mailposture.config.domains import PolicyMode
from mailposture.config.model import Config
from mailposture.expectation import expectation
from mailposture.records.mta_sts import LARGEST_POLICY, Policy, covers, policy_id, read_policy, render, render_record

ENFORCED = Policy(mode=PolicyMode.ENFORCE, mx=("mx1.example.com", "*.backup.example.net"), max_age=1_209_600)
GOOD = b"version: STSv1\r\nmode: enforce\r\nmx: mx1.example.com\r\nmx: *.backup.example.net\r\nmax_age: 1209600\r\n"


def test_policy_is_rendered_in_the_rfcs_order_with_crlf() -> None:
    assert render(ENFORCED) == GOOD


def test_what_we_render_is_what_senders_read() -> None:
    reading = read_policy(render(ENFORCED))
    assert reading.policy == ENFORCED
    assert reading.faults == reading.remarks == ()


def test_mode_none_is_rendered_without_mx() -> None:
    body = render(Policy(mode=PolicyMode.NONE, mx=("mx1.example.com",), max_age=86_400))
    assert body == b"version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"
    assert read_policy(body).policy == Policy(mode=PolicyMode.NONE, mx=(), max_age=86_400)


def test_every_change_of_a_policy_changes_its_id() -> None:
    variants = [
        ENFORCED,
        replace(ENFORCED, mode=PolicyMode.TESTING),
        replace(ENFORCED, max_age=1_209_601),
        replace(ENFORCED, mx=("mx1.example.com",)),
        replace(ENFORCED, mx=ENFORCED.mx[::-1]),
    ]
    ids = [policy_id(render(policy)) for policy in variants]
    assert len(set(ids)) == len(variants)
    for policy in ids:
        assert 1 <= len(policy) <= 32
        assert set(policy) <= set(string.ascii_letters + string.digits)


def test_same_policy_keeps_its_id() -> None:
    assert render_record(render(ENFORCED)) == render_record(bytes(GOOD))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (GOOD.replace(b"version: STSv1\r\n", b""), "has no `version`"),
        (GOOD.replace(b"STSv1", b"STSv2"), "has version 'STSv2' instead of STSv1"),
        (GOOD.replace(b"STSv1", b"stsv1"), "has version 'stsv1' instead of STSv1"),
        (GOOD.replace(b"version", b"Version"), "has no `version`"),
        (GOOD.replace(b"mode: enforce\r\n", b""), "has no `mode`"),
        (GOOD.replace(b"enforce", b"Enforce"), "has mode 'Enforce'"),
        (GOOD.replace(b"enforce", b"report"), "has mode 'report'"),
        (GOOD.replace(b"max_age: 1209600\r\n", b""), "has no `max_age`"),
        (GOOD.replace(b"1209600", b"31557601"), "has max_age '31557601'"),
        (GOOD.replace(b"1209600", b"-1"), "has max_age '-1'"),
        (GOOD.replace(b"1209600", b"2 weeks"), "has max_age '2 weeks'"),
        (GOOD.replace(b"1209600", "١٢٣".encode()), "has max_age '\\u0661"),
        (GOOD.replace(b"mx: ", b"hosts: "), "has no `mx`, which mode enforce needs"),
        (GOOD.replace(b"mx1.example.com", b"*"), "has mx '*'"),
        (GOOD.replace(b"mx1.example.com", b"mx.*.example.com"), "has mx 'mx.*.example.com'"),
        (GOOD.replace(b"mx1.example.com", "mx.exämple.com".encode()), "(A-labels)"),
        (GOOD.replace(b"mx1.example.com", b"mx1.example.com."), "has mx 'mx1.example.com.'"),
        (GOOD.replace(b"mx1.example.com", b"mx1.example.com, mx2.example.com"), "has mx 'mx1.example.com, mx2"),
        (GOOD.replace(b"mode:", b"mode :"), "line 2 is not `name: value`"),
        (b"<html><body>404</body></html>", "line 1 is not `name: value`"),
        (b"", "has no `version`"),
        (b"\xff\xfe" + GOOD, "is not UTF-8 text (byte 0)"),
        (b"\xef\xbb\xbf" + GOOD, "line 1 is not `name: value`"),
        (GOOD + b"x: " + b"y" * 65_536, "is larger than 65536 bytes"),
    ],
)
def test_faulty_policy_is_refused_and_its_fault_is_named(body: bytes, fault: str) -> None:
    reading = read_policy(body)
    assert reading.policy is None
    assert any(fault in found for found in reading.faults), reading.faults


@pytest.mark.parametrize(
    ("body", "remark"),
    [
        (GOOD.replace(b"\r\n", b"\n"), "lines end in LF"),
        (GOOD + b"mode: none\r\n", "line 6 repeats mode; only the first counts"),
        (GOOD + b"x-contact: postmaster\r\n", "unknown name x-contact"),
        (GOOD + b"\r\n", "line 6 is empty"),
        (GOOD.replace(b"1209600", b"3600"), "max_age 3600 is short"),
    ],
)
def test_what_senders_tolerate_is_remarked_on(body: bytes, remark: str) -> None:
    reading = read_policy(body)
    assert reading.policy is not None
    assert reading.policy.mode is PolicyMode.ENFORCE
    assert any(remark in found for found in reading.remarks), reading.remarks


def test_policy_without_final_line_end_is_accepted() -> None:
    assert read_policy(GOOD.removesuffix(b"\r\n")).policy == ENFORCED


def test_hostile_policy_names_a_bounded_number_of_faults() -> None:
    assert len(read_policy(b"x\n" * 32_000).faults) == 20


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("mx1.example.com", True),
        ("a.backup.example.net", True),
        ("backup.example.net", False),
        ("a.b.backup.example.net", False),
        ("evilbackup.example.net", False),
        ("mx1.example.com.evil.net", False),
        ("mx11example.com", False),
    ],
)
def test_wildcard_covers_exactly_one_label(host: str, covered: bool) -> None:
    assert covers(ENFORCED.mx, host) is covered


def hosted(**domain: Any) -> Policy | None:
    config = Config.model_validate({"domains": [{"name": "example.com", "mta_sts": {"mode": "enforce"}, **domain}]})
    return expectation(config, config.domains[0]).policy


def test_policy_takes_its_mx_from_the_domain_when_it_names_none() -> None:
    policy = hosted(mx=["mx.example.com"])
    assert policy is not None
    assert policy.mx == ("mx.example.com",)


def test_policy_without_any_mx_is_not_hosted() -> None:
    assert hosted() is None


def test_address_for_an_mx_is_read_as_senders_read_it_and_remarked_on() -> None:
    reading = read_policy(GOOD.replace(b"mx1.example.com", b"192.0.2.25"))
    assert reading.policy is not None
    assert reading.policy.uncovered(["mx1.example.com", "a.backup.example.net"]) == ("mx1.example.com",)
    assert "mx 192.0.2.25 is an address" in reading.remarks[0]


def test_noise_is_refused_without_an_exception() -> None:
    chance = random.Random(8461)
    for _ in range(500):
        body = bytearray(GOOD)
        for _ in range(chance.randrange(1, 6)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        reading = read_policy(bytes(body))
        assert (reading.policy is None) is bool(reading.faults)
        assert all(fault.isprintable() for fault in (*reading.faults, *reading.remarks))
        assert read_policy(chance.randbytes(chance.randrange(300))).policy is None


def test_mad_policy_of_the_largest_size_is_read_in_linear_time() -> None:
    for filler in (b" ", b"\t", b":", b"mx:a\n", b"mx: *.\n", b"a:\n", b"\r\n", b"."):
        body = (b"mode:" + filler * LARGEST_POLICY)[: LARGEST_POLICY - 1] + b"x"
        assert read_policy(body).policy is None
