"""Which domain of ours each policy of a report is about.

A policy names its domain, except where a sender leaves it out (Postfix, with no-policy-found) or where DANE is the
policy: then it names the MX host, and one host may receive for many domains. What the report carries around it then
decides: TLS-Report-Domain, the name of its file, and for a post the secret path.

Anybody may have a true report about his own domain mailed to an address of ours, by naming it in his TLSRPT record. So
the recipient says nothing, a foreign name anywhere ends the search, and of an authenticated mail the message around a
report is only what was signed (decode/signed_mail.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from collector.decode.file_names import policy_domain_of_file_name
from collector.envelope import Source
from collector.rejection import Reason, RejectedError
from mailposture.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.decode.message import Opened
    from collector.decode.tls_report import Policy, TlsReport
    from collector.envelope import Envelope
    from mailposture.ownership import Ownership

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


def attribute(report: TlsReport, *, opened: Opened, envelope: Envelope, ownership: Ownership) -> Attribution:
    """Find the policies that are about domains of ours. Raises RejectedError if nothing in the report is.

    There is no authorisation record for TLS reports as DMARC has one, so a receiver keeps only what is about its own.
    """
    stated = _stated_domain(report, opened, envelope, ownership)
    beside = tuple(_domains_without_dane(report.policies, ownership))
    owned: list[OwnedPolicy] = []
    warnings: list[str] = []
    for index, policy in enumerate(report.policies):
        if policy.domain is None:
            continue  # no domain name; reading it has left a remark
        domain = _owner(policy.domain, policy.policy_type, stated, beside, ownership) if policy.domain else stated
        if not domain and policy.policy_type == TLSA and (domain := stated):
            warnings.append(f"{policy.domain} is not among the mx hosts configured for {domain}; counted for it anyway")
        if domain:
            owned.append(OwnedPolicy(domain, index, policy))
        else:
            warnings.append(f"a policy about {policy.domain or 'an unnamed domain'} was left out: not a domain of ours")
    domains = {policy.domain for policy in owned}
    if not report.policies and stated:
        domains.add(stated)  # a day without traffic
    if not domains:
        raise _nothing_ours(report, opened)
    return Attribution(tuple(sorted(domains)), tuple(owned), tuple(dict.fromkeys(warnings)))


def _stated_domain(report: TlsReport, opened: Opened, envelope: Envelope, ownership: Ownership) -> str:
    """The domain of ours that the whole report is about by what is said around it, or empty.

    One foreign name, around it or in it, and it is empty: such a report may be about anything. The names that DANE
    policies have are those of hosts, and say nothing here.
    """
    names = [*opened.named, *report.file_domains]
    if envelope.source is Source.FILE:
        names.append(policy_domain_of_file_name(envelope.name))
    if envelope.source is Source.HTTPS:
        names.append(envelope.token_domain)
    inside = (policy.domain for policy in report.policies if policy.policy_type != TLSA)
    owners = [ownership.owners_of(name) for name in (*names, *inside) if name]
    unreadable = any(policy.domain is None for policy in report.policies)
    if len(opened.named) > 1 or unreadable or not all(owners):
        return ""
    return next((ownership.owners_of(name).best for name in names if name), "")


def _domains_without_dane(policies: Iterable[Policy], ownership: Ownership) -> dict[str, None]:
    """The domains of ours that policies name themselves."""
    found: dict[str, None] = {}
    for policy in policies:
        if policy.domain and policy.policy_type != TLSA and (owners := ownership.owners_of(policy.domain)):
            found[owners.best] = None
    return found


def _owner(name: str, policy_type: str, stated: str, beside: tuple[str, ...], ownership: Ownership) -> str:
    """The domain of ours that a named policy is about, or empty: of those that share an MX host, the stated one."""
    owners = ownership.owners_of(name)
    if not owners.several or (policy_type != TLSA and name == owners.best):
        return owners.best
    if stated in owners:
        return stated
    return next((domain for domain in beside if domain in owners), owners.best)


def _nothing_ours(report: TlsReport, opened: Opened) -> RejectedError:
    unusable = next((remark for remark in report.warnings if remark.startswith("policy-domain ")), None)
    if unusable and all(policy.domain is None for policy in report.policies):
        return RejectedError(Reason.INVALID_FIELD, unusable)
    inside = (policy.domain for policy in report.policies if policy.domain)
    names = dict.fromkeys((*inside, *opened.named, *report.file_domains))
    about = ", ".join(quoted(name) for name in list(names)[:3]) or "no domain that it names"
    return RejectedError(
        Reason.FOREIGN_DOMAIN,
        f"about {about}: not a domain of the configuration; if it is yours, list it under `domains:`",
    )
