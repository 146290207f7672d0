"""Rows match the tables, reports keep one identity, and each policy finds its domain."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tls_rows import tls_rows

from mailposture.config.model import Config
from mailposture.domain_names import matches
from mailposture.ownership import Ownership
from reports.document import Opened
from reports.envelope import Envelope, Source
from reports.kinds import KINDS
from reports.rejection import Reason, RejectedError
from reports.tls.attribution import OwnedPolicy
from reports.tls.counting import failures_not_counting, policies_not_counting
from reports.tls.decode import FailureDetail, Policy

NOTHING_AROUND = Opened(documents=())


def naming(*domains: str) -> Opened:
    """A mail with TLS-Report-Domain."""
    return Opened(documents=(), fields={b"tls-report-domain": domains})


FILE = Envelope(source=Source.FILE, received_at=datetime(2026, 3, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("kind", "table"),
    [(kind, table) for kind in KINDS for table in (*kind.tables.parts, kind.tables.report)],
    ids=lambda value: value.name,
)
def test_rows_are_the_columns_of_the_tables_in_order(kind, table):
    (step,) = kind.schema.glob(f"*_{table.name}.sql")
    lines = step.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if " DEFAULT " not in line and " MATERIALIZED " not in line]  # theirs to fill
    columns = re.findall(r"^    (\w+) .+ COMMENT '", "\n".join(lines), re.MULTILINE)
    assert columns == list(table.columns)


def of(report, ownership, *, opened=NOTHING_AROUND, envelope=FILE, **changes):
    changed = replace(report, **{"file_domains": (), **changes})
    return tls_rows(changed, ownership, opened=opened, envelope=envelope)


def test_trust_and_arrival_are_no_part_of_the_identity(rows, report, ownership):
    elsewhere = of(report("plain_report.eml"), ownership, envelope=replace(FILE, source=Source.IMAP, name="INBOX/7"))
    assert elsewhere.report.report_key == rows("plain_report.eml").report.report_key
    assert elsewhere.report.version < rows("plain_report.eml").report.version


def test_a_report_about_a_foreign_domain_is_rejected_with_the_next_step(report, ownership):
    foreign = Ownership(Config.model_validate({"domains": [{"name": "other.example"}]}))
    with pytest.raises(RejectedError) as caught:
        of(report("plain_report.eml"), foreign)
    assert caught.value.fault.reason is Reason.FOREIGN_DOMAIN
    assert "'example.com'" in caught.value.fault.detail
    assert "domains:" in caught.value.fault.detail


UNNAMED = (Policy.model_validate({"policy": {"policy-type": "no-policy-found"}}),)


POST = replace(FILE, source=Source.HTTPS, token_domain="example.net")
NAMES_ANOTHER = naming("foreign.example")


@pytest.mark.parametrize(
    ("around", "envelope", "files", "domain"),
    [
        (naming("example.net"), FILE, ("example.com",), "example.net"),
        (NOTHING_AROUND, FILE, ("example.net",), "example.net"),
        (NOTHING_AROUND, replace(FILE, name="/in/a.example!example.net!1!2.json"), (), "example.net"),
        (NOTHING_AROUND, replace(POST, recipients=("a@example.com",)), (), "example.net"),
    ],
    ids=["header", "attachment name", "file name", "secret path"],
)
def test_an_unnamed_policy_domain_is_found_around_the_report(report, ownership, *, around, envelope, files, domain):
    found = of(
        report("plain_report.eml"),
        ownership,
        opened=around,
        envelope=envelope,
        policies=UNNAMED,
        file_domains=files,
    )
    assert found.report.policy_domains == (domain,)


FOREIGN = Policy.model_validate({"policy": {"policy-type": "sts", "policy-domain": "foreign.example"}})
OURS = naming("example.com")


@pytest.mark.parametrize(
    ("around", "envelope", "changes"),
    [
        (NOTHING_AROUND, FILE, {}),
        (NOTHING_AROUND, replace(FILE, source=Source.SMTP, recipients=("a@example.com",)), {}),
        (NOTHING_AROUND, replace(FILE, source=Source.SMTP, name="a!example.com!1!2.json"), {}),
        (NAMES_ANOTHER, POST, {}),
        (NAMES_ANOTHER, FILE, {"file_domains": ("example.com",)}),
        (OURS, FILE, {"file_domains": ("foreign.example",)}),
        (OURS, FILE, {"policies": (*UNNAMED, FOREIGN)}),
        (naming("example.com", "example.net"), FILE, {}),
        (naming("exa mple.com"), FILE, {"file_domains": ("example.com",)}),
    ],
    ids=[
        "nothing says",
        "the recipient says nothing",
        "the name of a mail says nothing",
        "the header names a foreign domain, the secret path ours",
        "the header names a foreign domain, the file ours",
        "the file names a foreign domain, the header ours",
        "another policy names a foreign domain, the header ours",
        "two headers",
        "the header names no domain",
    ],
)
def test_an_unnamed_policy_domain_is_never_guessed(report, ownership, around, envelope, changes):
    with pytest.raises(RejectedError) as caught:
        of(report("plain_report.eml"), ownership, opened=around, envelope=envelope, **{"policies": UNNAMED, **changes})
    assert caught.value.fault.reason is Reason.FOREIGN_DOMAIN


def test_a_tlsa_policy_about_an_unknown_host_is_not_counted_for_a_domain_that_another_policy_names(report, ownership):
    stray = Policy.model_validate({"policy": {"policy-type": "tlsa", "policy-domain": "mx.foreign.example"}})
    (policy,) = report("plain_report.eml").policies
    found = of(report("plain_report.eml"), ownership, policies=(policy, stray))
    assert [row.policy_index for row in found.policies] == [0]


def test_reports_without_a_policy_domain_differ_by_the_domain_they_are_about(report, ownership):
    keys = {
        of(
            report("plain_report.eml"),
            ownership,
            opened=naming(domain),
            policies=UNNAMED,
        ).report.report_key
        for domain in ("example.com", "example.net")
    }
    assert len(keys) == 2


def test_a_report_stays_the_same_when_another_domain_of_it_becomes_ours(report):
    (policy,) = report("plain_report.eml").policies
    policies = (policy, policy.model_copy(update={"domain": "later.example"}))

    def rows_with(*names: str):
        ownership = Ownership(Config.model_validate({"domains": [{"name": name} for name in names]}))
        return of(report("plain_report.eml"), ownership, policies=policies)

    before, after = rows_with("example.com"), rows_with("example.com", "later.example")
    assert before.report.report_key == after.report.report_key
    assert set(before.policies) < set(after.policies)


def test_an_unknown_mx_host_is_not_ours_when_nothing_else_says_so(report, ownership):
    stray = (Policy.model_validate({"policy": {"policy-type": "tlsa", "policy-domain": "mx7.provider.example"}}),)
    with pytest.raises(RejectedError):
        of(report("plain_report.eml"), ownership, policies=stray)


@pytest.mark.parametrize(
    ("strings", "mode"),
    [
        (["version: STSv1", "mode: testing"], "testing"),
        ("version: STSv1\r\nmode:  Enforce\r\nmx: a.example.com", "enforce"),
        (["mode:none"], "none"),
        (["modest: enforce"], ""),
        ([], ""),
    ],
)
def test_the_mode_is_read_from_the_policy_string(report, ownership, strings, mode):
    policy = Policy.model_validate(
        {"policy": {"policy-type": "STS", "policy-string": strings, "policy-domain": "example.com"}}
    )
    (row,) = of(report("plain_report.eml"), ownership, policies=(policy,)).policies
    assert (row.policy_type, row.sts_mode) == ("sts", mode)


def test_absurd_counts_are_capped_so_that_sums_stay_within_the_column(report, ownership):
    policy = Policy.model_validate(
        {"policy": {"policy-domain": "example.com"}, "summary": {"total-failure-session-count": 2**63 - 1}}
    )
    assert of(report("plain_report.eml"), ownership, policies=(policy,) * 3).report.failed_sessions == 3 * 10**12


def policy(policy_type, successful, failed, *failures, domain="example.com", position=0):
    details = [
        FailureDetail.model_validate({"result-type": name, "failed-session-count": count}) for name, count in failures
    ]
    found = Policy.model_validate({"policy": {"policy-type": policy_type}}).model_copy(
        update={"successful_sessions": successful, "failed_sessions": failed, "failures": tuple(details)}
    )
    return OwnedPolicy(domain, position, found)


@pytest.mark.parametrize(
    ("sts", "tlsa", "not_counting"),
    [
        ((10, 0), (9, 2), {0}),
        ((10, 2), (9, 2), {1}),
        ((10, 2), (9, 3), {0}),
        ((10, 2), (10, 2), {1}),
    ],
    ids=["more sessions: tlsa", "more sessions: sts", "as many, more failures: tlsa", "equal: sts"],
)
def test_of_sts_and_tlsa_the_larger_counts(sts, tlsa, not_counting):
    assert policies_not_counting([policy("sts", *sts), policy("tlsa", *tlsa, position=1)]) == not_counting


def test_all_tlsa_policies_together_are_compared_with_sts():
    owned = [policy("sts", 10, 0), policy("tlsa", 6, 0, position=1), policy("tlsa", 6, 0, position=2)]
    assert policies_not_counting(owned) == {0}


def test_sts_and_tlsa_of_different_domains_and_other_types_all_count():
    owned = [policy("sts", 1, 0), policy("tlsa", 5, 0, domain="example.net"), policy("no-policy-found", 9, 9)]
    assert policies_not_counting(owned) == frozenset()
    assert failures_not_counting(owned) == frozenset()


def test_equal_failures_of_sts_and_tlsa_count_once_and_others_each():
    owned = [
        policy("sts", 0, 5, ("certificate-expired", 2), ("validation-failure", 3)),
        policy("tlsa", 0, 5, ("certificate-expired", 3), ("tlsa-invalid", 2), position=1),
    ]
    assert failures_not_counting(owned) == {(0, 0)}
    owned[1] = policy("tlsa", 0, 5, ("certificate-expired", 2), position=1)
    assert failures_not_counting(owned) == {(1, 0)}


def test_the_index_of_domains_answers_as_the_configuration_does():
    config = Config.model_validate(
        {
            "domains": [
                {"name": "example.com", "mx": ["*.mx.example.org", "mail.example.net"]},
                {"name": "sub.example.com"},
                {"name": "example.net", "mx": ["sub.example.com", "mail.example.net"]},
                {"name": "mail.example.net"},
            ]
        }
    )
    ownership = Ownership(config)
    hosts = (
        *("example.com", "a.example.com", "sub.example.com", "x.sub.example.com", "example.net", "mail.example.net"),
        *("a.mx.example.org", "b.a.mx.example.org", "mx.example.org", "example.org", "com", "notexample.com"),
    )
    for host in hosts:
        own = [domain for domain in config.domains if receives_at(domain, host)]
        best = max(own, key=lambda domain: (domain.name == host, len(domain.name)), default=None)
        found = ownership.owners_of(host)
        assert (found.best or None) == (best.name if best else None), host
        assert {domain.name for domain in config.domains if domain.name in found} == {each.name for each in own}, host
        assert found.several == (len(own) > 1), host


def receives_at(domain, host):
    """Said as simply as it can be: the host is the domain, lies below it, or is one of its MX hosts."""
    return host == domain.name or host.endswith("." + domain.name) or any(matches(host, mx) for mx in domain.mx)
