"""Which domain of ours each policy of a report is about.

A policy names its domain, except where a sender leaves it out (Postfix, with no-policy-found) or where DANE is the
policy: then it names the MX host, and one host may receive for many domains. What the report carries around it then
decides: TLS-Report-Domain, the Subject, the name of its file, and for a post the secret path.

Anybody may have a true report about his own domain mailed to an address of ours, by naming it in his TLSRPT record, and
his mail sent to a host of ours, by naming it in his MX record. So the recipient says nothing, a foreign name anywhere
ends the search, and of an authenticated mail the message around a report is only what was signed
(collector/documents/signed_mail.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mailposture.quoting import quoted
from reports.file_names import policy_domain_of_file_name
from reports.rejection import Reason, RejectedError
from reports.tls.header import named_domains, subject_domain

if TYPE_CHECKING:
    from mailposture.ownership import Ownership
    from reports.document import Opened
    from reports.envelope import Envelope
    from reports.rows import Rows
    from reports.tls.decode import Policy, TlsReport

TLSA = "tlsa"


class OwnedPolicy(NamedTuple):
    """A policy of the report, its position there, and the domain of ours that it is about."""

    domain: str
    position: int
    policy: Policy


class Attribution(NamedTuple):
    """What of a report is ours."""

    domains: tuple[str, ...]  # sorted, at least one
    policies: tuple[OwnedPolicy, ...]
    warnings: tuple[str, ...]


def attribute(report: TlsReport, opened: Opened, envelope: Envelope, ownership: Ownership) -> Attribution:
    """Find the policies that are about domains of ours. Raises RejectedError if nothing in the report is.

    There is no authorisation record for TLS reports as DMARC has one, so a receiver keeps only what is about its own.
    """
    around = _read_around(report, opened, envelope, ownership)
    owned: list[OwnedPolicy] = []
    warnings: list[str] = []
    for index, policy in enumerate(report.policies):
        if policy.domain is None:
            continue  # no domain name; reading it has left a remark
        domain = _owner(policy, around, ownership)
        if policy.policy_type == TLSA and domain and not ownership.owners_of(policy.domain or domain):
            warnings.append(f"{policy.domain} is not among the mx hosts configured for {domain}; counted for it anyway")
        if domain:
            owned.append(OwnedPolicy(domain, index, policy))
        else:
            warnings.append(f"a policy about {policy.domain or 'an unnamed domain'} was left out: not a domain of ours")
    domains = {policy.domain for policy in owned}
    if not report.policies and around.stated:
        domains.add(around.stated)  # a day without traffic
    if not domains:
        raise _nothing_ours(report, opened)
    return Attribution(tuple(sorted(domains)), tuple(owned), tuple(dict.fromkeys(warnings)))


def attribution_of(report: TlsReport, stored: Rows) -> Attribution:
    """What was found when the report came: what decided it besides the report is kept nowhere else."""
    known = sorted((row.policy_index, row.policy_domain) for row in stored.parts[0])
    owned = (
        OwnedPolicy(domain, index, report.policies[index]) for index, domain in known if index < len(report.policies)
    )
    return Attribution(stored.report.policy_domains, tuple(owned), ())


class _Around(NamedTuple):
    """What a report says, around its policies and in those that name a domain, about whom it is."""

    stated: str  # the domain of ours that the whole report is about by what is said around it, or empty
    beside: tuple[str, ...]  # domains of ours that policies name themselves
    foreign: bool  # a name that is not ours: the report may be about anything


def _read_around(report: TlsReport, opened: Opened, envelope: Envelope, ownership: Ownership) -> _Around:
    """The names that DANE policies have are those of hosts, and say nothing here."""
    named = named_domains(opened)
    outside = [*named, subject_domain(opened), *report.file_domains]
    if envelope.source.is_file:
        outside.append(policy_domain_of_file_name(envelope.name))
    if envelope.source.is_post:
        outside.append(envelope.token_domain)
    outside = list(filter(None, outside))
    inside = [policy.domain for policy in report.policies if policy.domain and policy.policy_type != TLSA]
    beside = dict.fromkeys(owners.best for name in inside if (owners := ownership.owners_of(name)))
    foreign = not all(ownership.owners_of(name) for name in (*outside, *inside))
    clear = not foreign and len(named) < 2 and all(policy.domain is not None for policy in report.policies)
    stated = ownership.owners_of(outside[0]).best if outside and clear else ""
    return _Around(stated, tuple(beside), foreign)


def _owner(policy: Policy, around: _Around, ownership: Ownership) -> str:
    """The domain of ours that a policy is about, or empty: of those that share an MX host, the stated one."""
    dane = policy.policy_type == TLSA
    if not policy.domain or (dane and around.foreign and not around.beside):
        return around.stated
    owners = ownership.owners_of(policy.domain)
    if not owners:
        return around.stated if dane else ""
    if not owners.several or (not dane and policy.domain == owners.best):
        return owners.best
    if around.stated in owners:
        return around.stated
    return next((domain for domain in around.beside if domain in owners), owners.best)


def _nothing_ours(report: TlsReport, opened: Opened) -> RejectedError:
    unusable = next((remark for remark in report.warnings if remark.startswith("policy-domain ")), None)
    if unusable and all(policy.domain is None for policy in report.policies):
        return RejectedError(Reason.INVALID_FIELD, unusable)
    inside = (policy.domain for policy in report.policies if policy.domain)
    names = dict.fromkeys(filter(None, (*inside, *named_domains(opened), subject_domain(opened), *report.file_domains)))
    about = ", ".join(quoted(name) for name in list(names)[:3]) or "no domain that it names"
    return RejectedError(
        Reason.FOREIGN_DOMAIN,
        f"about {about}: not a domain of the configuration; if it is yours, list it under `domains:`",
    )
