"""What DMARC reports can find, and what their absence shows."""

from __future__ import annotations

from typing import Final

from reports.causes.cause import About, Cause, Severity

FROM_DMARC_REPORTS: Final = (
    Cause(
        "dmarc-own-failing",
        Severity.WARNING,
        "Mail of ours fails DMARC",
        "Messages of a source that sends for us pass neither SPF nor DKIM for the domain in From, more than the "
        "domain's threshold allows. Under an enforced policy (then it is critical) receivers put them into quarantine "
        "or refuse them; under none they deliver them, and cannot distinguish them from forgeries.",
        "`mailposture summary --domain example.com` names the source and the reason; `mailposture explain REASON` says "
        "what to do at the source. Ask what was changed there on the first day of it.",
        About.SOURCE,
    ),
    Cause(
        "dmarc-new-source",
        Severity.INFO,
        "A new source authenticates as us",
        "A source sends mail that passes DMARC as the domain, for the first time within a month: a new server or "
        "service of ours, or somebody who got hold of a key or of an address in our SPF record.",
        "Does somebody know it? Then name it under `senders:` of the domain in the configuration, or acknowledge it. "
        "If nobody does, take its addresses out of the SPF record, and change the DKIM key that it signs with.",
        About.SOURCE,
    ),
    Cause(
        "dmarc-unknown-source",
        Severity.INFO,
        "An unknown source keeps sending in your name",
        "Mail with your domain in From fails DMARC and comes back from the same source (a domain that it authenticates "
        "as, or a network), on three days or after a week, and seen by several receivers, which do not refuse it of "
        "their own accord. Forgers change their addresses and domains; this may be a service or server of yours that "
        "nobody remembers. A stricter policy would refuse its mail.",
        "`mailposture readiness example.com` names it. If it is yours, name it under `senders:` of the domain and fix "
        "what is wrong with its mail (docs/dmarc.md). If it is not: `mailposture acknowledge example.com "
        "dmarc-unknown-source SOURCE --until DAY --because TEXT`.",
        About.SOURCE,
    ),
    Cause(
        "dmarc-forged-delivered",
        Severity.WARNING,
        "Mail in our name that nothing shows to be ours is delivered",
        "Receivers deliver mail in the domain's name that passes neither SPF nor DKIM, more than the domain's "
        "threshold allows, because the policy that they apply is none: `p=none`, or `p=quarantine` in a test (`t=y`) "
        "or for a part of the mail (`pct`). It is forged, or from a sender that nobody has named.",
        "`mailposture readiness example.com` says whether the policy may go to quarantine, which stops it. If a source "
        "is yours, name it under `senders:` first.",
    ),
    Cause(
        "dmarc-forgery-surge",
        Severity.INFO,
        "Far more forged mail than usual",
        "On one of the last three report days there was more than ten times the usual mail in the domain's name that "
        "nothing shows to be ours. Where receivers refuse it, the policy does what it is for; where they deliver some "
        "of it in spite of the policy (then it is a warning), their users see it.",
        "Let your support know that a phishing wave is under way. Is it delivered: a policy of quarantine or reject, "
        "without t=y, and no subdomain with a weaker one (`mailposture check example.com`).",
    ),
    Cause(
        "dmarc-policy-weakened",
        Severity.WARNING,
        "The DMARC policy is weaker than it was",
        "Our probe finds a _dmarc record by which receivers do less than within the last two weeks, be it for mail of "
        "the domain (p), of names below it (sp) or of such that do not exist (np), or since it is in a test (t=y) or "
        "for a part of the mail (pct): forged mail that was refused is delivered.",
        "Was it meant? Then acknowledge it. Else publish the earlier record again, and find out who changed the zone; "
        "`mailposture check example.com` shows the record.",
        About.RECORD,
    ),
    Cause(
        "parked-forged-delivered",
        Severity.WARNING,
        "Forged mail of a parked domain is delivered",
        "Nobody sends in the name of a parked domain, so what receivers report is forged. They delivered some, because "
        "they found no DMARC policy that asks to reject it: neither of the domain, nor, for a name below it, of `sp`.",
        "`mailposture check example.com` says which record is weak, and prints the line to publish: "
        "`p=reject; sp=reject` has receivers refuse it.",
    ),
    Cause(
        "parked-mail-authenticates",
        Severity.WARNING,
        "Mail passes DMARC as a parked domain",
        "A source sends mail that passes SPF or DKIM as a domain that is to send none: somebody of yours has set up a "
        "sender, or somebody else can change the zone or has a key. Receivers cannot distinguish it from true mail.",
        "Does somebody know the source? Then the domain is not parked: take `parked: true` out of its configuration. "
        "Else publish `v=spf1 -all`, take its DKIM keys out, and find out who changed the zone: `mailposture check "
        "example.com`.",
        About.SOURCE,
    ),
    Cause(
        "dmarc-no-reports",
        Severity.WARNING,
        "No DMARC report any more",
        "Nobody has sent a DMARC report about the domain for longer than it usually takes, weekdays considered: "
        "failing and forged mail goes unnoticed.",
        "`mailposture check example.com` says whether the _dmarc record still asks for reports, and whether the record "
        "that lets them go to another domain's address is there. Then check on the dashboard Collector health whether "
        "other reports arrive.",
    ),
    Cause(
        "dmarc-policy-none-long",
        Severity.INFO,
        "DMARC policy none for four weeks",
        "For four weeks reporters have found a policy that asks for nothing: `p=none`, or `p=quarantine` in a test "
        "(`t=y`) or for a part of the mail (`pct`). It protects nobody: forged mail is delivered.",
        "Four weeks are enough to decide: `mailposture readiness example.com` says whether quarantine would lose mail "
        "of yours.",
    ),
)
