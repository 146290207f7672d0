"""One row per alert about DMARC reports."""

from __future__ import annotations

from typing import Final

from reports.alerts.alert import Alert
from reports.causes import Severity

_DOMAIN: Final = "mailposture-dmarc-domain?var-domain={{ $labels.policy_domain }}&from=now-14d&to=now"

DMARC_ALERTS: Final = (
    Alert(
        name="DmarcOwnMailRefused",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-own-failing",
        severity=Severity.CRITICAL,
        summary="Mail of {{ $labels.policy_domain }} is quarantined or rejected: it fails DMARC",
        description="In the newest reports, messages of {{ $value | humanize }} source(s) that send for {{ "
        "$labels.policy_domain }} fail DMARC, and receivers put them into quarantine or reject them as its policy "
        "says. The mail does not reach its readers. Most often a key or an SPF entry was changed at the source.",
    ),
    Alert(
        name="DmarcOwnMailFailing",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-own-failing",
        severity=Severity.WARNING,
        summary="Mail of {{ $labels.policy_domain }} fails DMARC",
        description="In the newest reports, messages of {{ $value | humanize }} source(s) that send for {{ "
        "$labels.policy_domain }} fail DMARC. Receivers deliver them, and cannot distinguish them from forgeries. A "
        "stricter policy would lose them.",
    ),
    Alert(
        name="DmarcForgedMailDelivered",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-forged-delivered",
        severity=Severity.WARNING,
        summary="Mail in the name of {{ $labels.policy_domain }} that nothing shows to be its own is delivered",
        description="In the newest reports, receivers delivered mail in the name of {{ $labels.policy_domain }} that "
        "passes neither SPF nor DKIM, because the policy that they apply is none: forged, or from a sender that nobody "
        "has named.",
    ),
    Alert(
        name="DmarcForgerySurgeDelivered",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-forgery-surge",
        severity=Severity.WARNING,
        summary="A wave of forged mail in the name of {{ $labels.policy_domain }} is partly delivered",
        description="In the newest reports there is more than ten times the usual mail in the name of {{ "
        "$labels.policy_domain }} that nothing shows to be its own, and receivers delivered some of it in spite of the "
        "policy.",
    ),
    Alert(
        name="DmarcForgerySurge",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-forgery-surge",
        severity=Severity.INFO,
        summary="A wave of forged mail in the name of {{ $labels.policy_domain }} is refused",
        description="In the newest reports there is more than ten times the usual mail in the name of {{ "
        "$labels.policy_domain }} that nothing shows to be its own. Receivers refuse it, which is what the policy is "
        "for.",
    ),
    Alert(
        name="ParkedForgedMailDelivered",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="parked-forged-delivered",
        severity=Severity.WARNING,
        summary="Forged mail in the name of {{ $labels.policy_domain }}, which is parked, is delivered",
        description="Nobody sends in the name of {{ $labels.policy_domain }}. In the newest reports receivers "
        "delivered mail in its name, because they found no DMARC policy that asks to reject it. `mailposture check {{ "
        "$labels.policy_domain }}` says which record is weak.",
    ),
    Alert(
        name="ParkedMailAuthenticates",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="parked-mail-authenticates",
        severity=Severity.WARNING,
        summary="Mail passes DMARC as {{ $labels.policy_domain }}, which is parked",
        description="{{ $value | humanize }} source(s) send mail that passes DMARC as {{ $labels.policy_domain }}, "
        "which is to send none: somebody has set up a sender, or somebody else can change its zone.",
    ),
    Alert(
        name="DmarcPolicyWeakened",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-policy-weakened",
        severity=Severity.WARNING,
        summary="The DMARC policy of {{ $labels.policy_domain }} is weaker than it was",
        description="Our probe finds a _dmarc record of {{ $labels.policy_domain }} by which receivers do less than "
        "within the last two weeks, for mail of the domain or of names below it: forged mail that was refused is "
        "delivered.",
        after="30m",
    ),
    Alert(
        name="DmarcReportsMissing",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-no-reports",
        severity=Severity.WARNING,
        summary="No DMARC reports about {{ $labels.policy_domain }} any more",
        description="Nobody has sent a DMARC report about {{ $labels.policy_domain }} for longer than its threshold, "
        "weekdays without usual reports left out. Failing and forged mail goes unnoticed.",
        after="30m",
    ),
    Alert(
        name="DmarcNewSource",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-new-source",
        severity=Severity.INFO,
        summary="{{ $value | humanize }} new source(s) authenticate as {{ $labels.policy_domain }}",
        description="{{ $value | humanize }} source(s) send mail that passes DMARC as {{ $labels.policy_domain }} for "
        "the first time within a month: a new server or service, or somebody who got hold of a key or of an address "
        "in the SPF record.",
    ),
    Alert(
        name="DmarcUnknownSource",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-unknown-source",
        severity=Severity.INFO,
        summary="{{ $value | humanize }} unknown source(s) keep sending in the name of {{ $labels.policy_domain }}",
        description="{{ $value | humanize }} source(s) that nothing shows to be of {{ $labels.policy_domain }} come "
        "back on several days, seen by several reporters: perhaps a vendor whom nobody remembers.",
        after="1d",
    ),
    Alert(
        name="DmarcPolicyNoneLong",
        kind="dmarc",
        dashboard=_DOMAIN,
        cause="dmarc-policy-none-long",
        severity=Severity.INFO,
        summary="The DMARC policy of {{ $labels.policy_domain }} has been none for four weeks",
        description="Reporters have found the policy none for {{ $labels.policy_domain }} for four weeks. It protects "
        "nobody. `mailposture readiness {{ $labels.policy_domain }}` says whether quarantine would lose own mail.",
        after="1d",
    ),
)
