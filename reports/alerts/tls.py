"""One row per alert about TLS reports."""

from __future__ import annotations

from typing import Final

from reports.alerts.alert import Alert
from reports.causes import Severity

_SENDERS: Final = "mailposture-senders?var-domain={{ $labels.policy_domain }}&from=now-14d&to=now"


def _failures(category: str) -> str:
    return (
        f"mailposture-failures?var-domain={{{{ $labels.policy_domain }}}}&var-category={category}&from=now-14d&to=now"
    )


TLS_ALERTS: Final = (
    Alert(
        name="TlsFailureRatioHigh",
        cause="failure-ratio",
        severity=Severity.WARNING,
        summary="Too many of the mail sessions to {{ $labels.policy_domain }} fail TLS",
        description="In the newest reports of all senders, more of the sessions to {{ $labels.policy_domain }} "
        "failed than the domain's threshold allows, and no single cause is above it alone.",
    ),
    Alert(
        name="TlsCertificateRejected",
        cause="certificate",
        severity=Severity.CRITICAL,
        summary="Senders reject the TLS certificate of a mail server of {{ $labels.policy_domain }}",
        description="In the newest reports, sessions to {{ $labels.policy_domain }} failed because the certificate "
        "of a receiving server is expired, not trusted or for another name. Senders that enforce MTA-STS "
        "or DANE do not deliver: they retry, and return the mail after some days. Look at the "
        "certificate with `openssl s_client -starttls smtp -connect MX:25 -servername MX`, and renew or "
        "replace it.",
        dashboard=_failures("certificate"),
    ),
    Alert(
        name="TlsStarttlsMissing",
        cause="starttls-not-supported",
        severity=Severity.CRITICAL,
        summary="A mail server of {{ $labels.policy_domain }} offers no STARTTLS",
        description="In the newest reports, sessions to {{ $labels.policy_domain }} found no STARTTLS. Mail is sent "
        "in plaintext, or not delivered where a policy enforces encryption. Either a server lost its TLS "
        "configuration, or something in the path removes STARTTLS: the runbook says how to find out "
        "which.",
        dashboard=_failures("starttls-not-supported"),
    ),
    Alert(
        name="MtaStsPolicyFailing",
        cause="mta-sts-policy",
        severity=Severity.WARNING,
        summary="Senders cannot use the MTA-STS policy of {{ $labels.policy_domain }}",
        description="In the newest reports, sessions to {{ $labels.policy_domain }} ran into a policy that could "
        "not be fetched, was not valid, or did not name the receiving server. Look at it as senders do:"
        " `curl -v https://mta-sts.{{ $labels.policy_domain }}/.well-known/mta-sts.txt`.",
        dashboard=_failures("mta-sts-policy"),
    ),
    Alert(
        name="DaneFailing",
        cause="dane",
        severity=Severity.CRITICAL,
        summary="The TLSA records of a mail server of {{ $labels.policy_domain }} do not match its certificate",
        description="In the newest reports, sessions to {{ $labels.policy_domain }} failed DANE. Senders that check "
        "TLSA records do not deliver: make the records match the certificate, most often by publishing "
        "the record of the new key.",
        dashboard=_failures("dane"),
    ),
    Alert(
        name="TlsDnsFailing",
        cause="dns",
        severity=Severity.WARNING,
        summary="Senders cannot resolve what they need for secure mail to {{ $labels.policy_domain }}",
        description="In the newest reports, sessions to {{ $labels.policy_domain }} failed in DNS: a name did not "
        "resolve or DNSSEC did not validate. Ask all nameservers for the MX, _mta-sts and TLSA records,"
        " and check the zone signatures.",
        dashboard=_failures("dns"),
    ),
    Alert(
        name="TlsConnectionsTimingOut",
        cause="timeout",
        severity=Severity.WARNING,
        summary="TLS connections to a mail server of {{ $labels.policy_domain }} time out or break off",
        description="In the newest reports, sessions to {{ $labels.policy_domain }} timed out, were refused or "
        "broke off during the TLS handshake: an overloaded server, a firewall, or a path that loses "
        "large packets.",
        dashboard=_failures("timeout"),
    ),
    Alert(
        name="TlsFailuresUnclear",
        cause="other",
        severity=Severity.WARNING,
        summary="Sessions to {{ $labels.policy_domain }} fail TLS for a cause that senders do not name",
        description="In the newest reports, sessions to {{ $labels.policy_domain }} failed, and what senders write "
        "about it names none of the usual causes. Their own words are on the dashboard.",
        dashboard=_failures("other"),
    ),
    Alert(
        name="MtaStsMailRefused",
        cause="mail-refused",
        severity=Severity.CRITICAL,
        summary="Mail to {{ $labels.policy_domain }} is being refused: its MTA-STS policy is enforced and fails",
        description="In the newest reports, sessions to {{ $labels.policy_domain }} failed under a policy in mode "
        "enforce. Those senders do not deliver: they retry, and return the mail after some days. Fix "
        "the cause first. Only if that takes longer than hours, and no downgrade is suspected (then the"
        " policy protects you), set its mode to testing.",
    ),
    Alert(
        name="TlsDowngradeLikely",
        cause="suspected-downgrade",
        severity=Severity.CRITICAL,
        summary="Somebody may be removing encryption from mail to {{ $labels.policy_domain }}",
        description="{{ $value | humanize }} sender(s) that had TLS to {{ $labels.policy_domain }} in the past "
        "weeks now found no STARTTLS, from one network, while others had it on the same day. That is "
        "what an attacker in the path looks like, and also a broken middlebox on the sender side. "
        "Suspected, not proven: the evidence is on the dashboard.",
        dashboard=_SENDERS,
    ),
    Alert(
        name="TlsDowngradePossible",
        cause="suspected-downgrade",
        severity=Severity.WARNING,
        summary="A sender lost TLS to {{ $labels.policy_domain }} that it had before",
        description="{{ $value | humanize }} sender(s) that had TLS to {{ $labels.policy_domain }} in the past "
        "weeks now found no STARTTLS. The evidence neither points at the path nor clears it. Suspected,"
        " not proven: compare with other senders on the dashboard.",
        dashboard=_SENDERS,
    ),
    Alert(
        name="MtaStsDowngradeLikely",
        cause="mta-sts-not-applied",
        severity=Severity.WARNING,
        summary="Somebody may be keeping a sender from the MTA-STS policy of {{ $labels.policy_domain }}",
        description="{{ $value | humanize }} sender(s) that applied the enforced MTA-STS policy of {{ "
        "$labels.policy_domain }} in the past weeks now had sessions without it, for more than a day, "
        "while they apply the policy of another domain and others find this one. That is what an "
        "attacker does who blocks the record or the policy file before removing encryption. Suspected, "
        "not proven: the evidence is on the dashboard.",
        dashboard=_SENDERS,
    ),
    Alert(
        name="MtaStsDowngradePossible",
        cause="mta-sts-not-applied",
        severity=Severity.INFO,
        summary="A sender no longer applies the MTA-STS policy of {{ $labels.policy_domain }}",
        description="{{ $value | humanize }} sender(s) that applied the enforced MTA-STS policy of {{ "
        "$labels.policy_domain }} in the past weeks now had sessions without it. Mostly that sender has"
        " changed something. The evidence neither points at the path nor clears it: compare on the "
        "dashboard.",
        dashboard=_SENDERS,
    ),
    Alert(
        name="TlsReceivingServerNewlyFailing",
        cause="server-newly-failing",
        severity=Severity.WARNING,
        summary="{{ $value | humanize }} receiving server(s) of {{ $labels.policy_domain }} began to fail",
        description="{{ $value | humanize }} server(s) that receive mail for {{ $labels.policy_domain }} had failed"
        " TLS sessions in the last three report days, and none in the four weeks before: something was "
        "changed there. The dashboard names them.",
    ),
    Alert(
        name="TlsReportsMissing",
        cause="no-reports",
        severity=Severity.WARNING,
        summary="No TLS reports about {{ $labels.policy_domain }} any more",
        description="Nobody has reported about {{ $labels.policy_domain }} for longer than its threshold, weekdays "
        "without usual reports left out. Failures go unnoticed. Most often the record at _smtp._tls.{{ "
        "$labels.policy_domain }} or the route of the reports changed: compare with `mailposture records "
        "{{ $labels.policy_domain }}`.",
        after="30m",
    ),
    Alert(
        name="TlsReportsNeverArrived",
        cause="never-reported",
        severity=Severity.INFO,
        summary="No TLS report about {{ $labels.policy_domain }} that counts has arrived yet",
        description="{{ $labels.policy_domain }} is configured, and no reporter that counts has reported about it in "
        "35 days. Is the record at _smtp._tls.{{ $labels.policy_domain }} published? `mailposture "
        "records {{ $labels.policy_domain }}` prints it.",
        after="1d",
    ),
    Alert(
        name="ParkedDomainGetsMail",
        cause="parked-gets-mail",
        severity=Severity.WARNING,
        summary="{{ $labels.policy_domain }} is parked, and gets mail",
        description="In the newest reports there are sessions to {{ $labels.policy_domain }}, which is to take no "
        "mail: some server takes it.",
    ),
    Alert(
        name="TlsReportsLate",
        cause="reports-late",
        severity=Severity.INFO,
        summary="TLS reports about {{ $labels.policy_domain }} come late",
        description="Half of the reports about {{ $labels.policy_domain }} arrive later after the day they cover "
        "than the domain's threshold for missing reports, so alerts come as late. Either they wait on "
        "our side (mail queue, mailbox, spool) or the senders are late.",
        dashboard="mailposture-collector?from=now-14d&to=now",
        after="1h",
    ),
    Alert(
        name="MtaStsTestingTooLong",
        cause="policy-testing-long",
        severity=Severity.INFO,
        summary="The MTA-STS policy of {{ $labels.policy_domain }} has been in mode testing for four weeks",
        description="Senders have seen the policy of {{ $labels.policy_domain }} in mode testing for four weeks. It "
        "protects no mail: it only makes them report. Four weeks are enough to decide: `mailposture readiness {{ "
        "$labels.policy_domain }}` says whether mode enforce would refuse anything.",
        dashboard="mailposture-mta-sts?var-domain={{ $labels.policy_domain }}&from=now-30d&to=now",
        after="1d",
    ),
)
