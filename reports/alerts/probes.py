"""Alerts about what our own probes find at domains that take mail; parked.py has those about the others."""

from __future__ import annotations

from typing import Final

from reports.alerts.alert import DOMAIN_DASHBOARD, Alert
from reports.causes import Severity

_MTA_STS: Final = "mailposture-mta-sts?var-domain={{ $labels.policy_domain }}&from=now-30d&to=now"


def _alert(
    name: str,
    cause: str,
    severity: Severity,
    summary: str,
    description: str,
    *,
    dashboard: str = DOMAIN_DASHBOARD,
    after: str = "5m",  # the view waits for a second probe already
) -> Alert:
    return Alert(
        name=name,
        kind="outside",
        cause=cause,
        severity=severity,
        summary=summary,
        description=description,
        dashboard=dashboard,
        after=after,
    )


PROBE_ALERTS: Final = (
    _alert(
        "MtaStsMxNotCovered",
        "mx-not-covered",
        Severity.CRITICAL,
        "Senders refuse mail: the enforced MTA-STS policy of {{ $labels.policy_domain }} does not name every MX",
        "The MTA-STS policy of {{ $labels.policy_domain }} is in mode enforce and does not cover an MX of the "
        "domain, so senders that honor MTA-STS do not deliver there, now. Add the host to the policy, or take it out "
        "of DNS.",
        dashboard=_MTA_STS,
    ),
    _alert(
        "MtaStsMxNotCoveredYet",
        "mx-not-covered",
        Severity.WARNING,
        "The MTA-STS policy of {{ $labels.policy_domain }} does not name every MX",
        "The MTA-STS policy of {{ $labels.policy_domain }} does not cover an MX of the domain. Nobody refuses mail "
        "for it, because the policy is not enforced; in mode enforce senders would.",
        dashboard=_MTA_STS,
    ),
    _alert(
        "MxCertificateInvalid",
        "mx-certificate-invalid",
        Severity.CRITICAL,
        "Senders refuse mail for {{ $labels.mx }}: its certificate is not valid, and {{ $labels.policy_domain }} "
        "enforces MTA-STS",
        "Our probe is shown a certificate by {{ $labels.mx }} that is expired, not trusted or for another name. {{ "
        "$labels.policy_domain }} has an MTA-STS policy in mode enforce, or one that senders still keep, so they do "
        "not deliver: they retry, and return the mail after some days.",
    ),
    _alert(
        "MxNotFitForEnforce",
        "mx-certificate-invalid",
        Severity.WARNING,
        "{{ $labels.mx }} of {{ $labels.policy_domain }} is not fit for MTA-STS mode enforce",
        "Our probe is shown a certificate by {{ $labels.mx }} that is expired, not trusted or for another name. Nobody "
        "refuses mail for it, because {{ $labels.policy_domain }} does not enforce MTA-STS; in mode enforce senders "
        "would.",
        dashboard=_MTA_STS,
    ),
    _alert(
        "MxCertificateExpiring",
        "mx-certificate-expiring",
        Severity.WARNING,
        "The certificate of {{ $labels.mx }} must be renewed",
        "The certificate that the mail server {{ $labels.mx }} of {{ $labels.policy_domain }} shows expires sooner "
        "than the domain's threshold (thresholds.certificate_expiry). It should have been renewed automatically: "
        "check why not, and whether the server has read the new file.",
        after="20m",
    ),
    _alert(
        "MxStarttlsMissing",
        "mx-without-starttls",
        Severity.CRITICAL,
        "{{ $labels.mx }} offers no STARTTLS to our probe",
        "The mail server {{ $labels.mx }} of {{ $labels.policy_domain }} answers on port 25 and offers no STARTTLS. "
        "Mail to it is sent in plaintext, or not delivered where a policy enforces encryption. Either the server "
        "lost its TLS configuration, or something between it and our probe removes STARTTLS.",
    ),
    _alert(
        "MxTlsaMismatch",
        "mx-tlsa-mismatch",
        Severity.CRITICAL,
        "The TLSA records of {{ $labels.mx }} do not name the certificate that it shows",
        "None of the TLSA records of {{ $labels.mx }} matches the certificate that our probe is shown, so senders that "
        "check DANE do not deliver mail for {{ $labels.policy_domain }}. Most often the certificate was renewed with a "
        "new key: publish its record, or go back to the old key.",
    ),
    _alert(
        "MxNull",
        "mx-null",
        Severity.CRITICAL,
        "{{ $labels.policy_domain }} publishes a null MX: senders return all mail to it",
        "The MX record of {{ $labels.policy_domain }} says that the domain accepts no mail, and its configuration does "
        "not. Senders return mail to it at once. Publish its MX hosts again, or configure it as parked.",
    ),
    _alert(
        "MxUnreachable",
        "mx-unreachable",
        Severity.WARNING,
        "{{ $labels.mx }} does not answer on port 25",
        "Our probe cannot connect to the mail server {{ $labels.mx }} of {{ $labels.policy_domain }}, at one of its "
        "addresses or all, while it can reach others by port 25. Senders try again and use other MX hosts meanwhile; "
        "without any they return the mail after some days.",
    ),
    _alert(
        "MxFailing",
        "mx-failing",
        Severity.WARNING,
        "{{ $labels.mx }} fails our probe",
        "The mail server {{ $labels.mx }} of {{ $labels.policy_domain }} answers on port 25, and then refuses the "
        "greeting or STARTTLS, is too slow, or fails the TLS handshake. Senders may meet the same.",
    ),
    _alert(
        "MtaStsPolicyUnfetchable",
        "policy-unfetchable",
        Severity.WARNING,
        "Senders cannot get the MTA-STS policy of {{ $labels.policy_domain }}",
        "Our probe cannot fetch or read the policy at mta-sts.{{ $labels.policy_domain }}, and senders cannot either. "
        "Those that have a cached copy use it until its max_age is over; the others deliver without protection.",
        dashboard=_MTA_STS,
    ),
    _alert(
        "MtaStsNotAsConfigured",
        "policy-not-as-configured",
        Severity.WARNING,
        "What senders see of the MTA-STS policy of {{ $labels.policy_domain }} is not what is configured",
        "For two hours the policy served for {{ $labels.policy_domain }}, or the id in its _mta-sts record, has not "
        "been that of the configuration. Senders with a cached copy do not notice the change. `mailposture policy {{ "
        "$labels.policy_domain }}` says the next step.",
        dashboard=_MTA_STS,
        after="2h",
    ),
    _alert(
        "MtaStsMaxAgeSmall",
        "policy-max-age-small",
        Severity.INFO,
        "Senders forget the MTA-STS policy of {{ $labels.policy_domain }} within a week",
        "The policy of {{ $labels.policy_domain }} is enforced with a max_age of less than a week. An attacker who "
        "keeps a sender from fetching it for that long can read the mail afterwards. RFC 8461 advises weeks: raise "
        "mta_sts.max_age.",
        dashboard=_MTA_STS,
        after="1d",
    ),
    _alert(
        "DnsRecordWrong",
        "record-wrong",
        Severity.WARNING,
        "The {{ $labels.record }} record of {{ $labels.policy_domain }} is missing or wrong",
        "Our probe finds the {{ $labels.record }} record of {{ $labels.policy_domain }} missing, or not as it must "
        "be, for an hour.",
        after="1h",
    ),
    _alert(
        "DnsUnanswered",
        "dns-unanswered",
        Severity.WARNING,
        "No nameserver answers our probe about {{ $labels.policy_domain }}",
        "For half an hour nobody has answered the query for the MX record of {{ $labels.policy_domain }}. Either the "
        "nameservers of the domain fail, and its mail with them, or the resolver that the exporter asks does: then "
        "every domain is affected.",
        after="30m",
    ),
)
