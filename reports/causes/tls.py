"""What comparing TLS reports, or their absence, can find beside the categories of failures."""

from __future__ import annotations

from typing import Final

from reports.causes.cause import About, Cause, Severity

FROM_TLS_REPORTS: Final = (
    Cause(
        "failure-ratio",
        Severity.WARNING,
        "Too many sessions fail, for several causes",
        "More of the domain's mail sessions fail than its threshold allows, and no single cause is above it "
        "alone: several add up, or senders do not say why.",
        "`mailposture summary --domain example.com --days 7` names causes, servers and senders. Begin with "
        "the largest; `mailposture explain CAUSE` says what to do about it.",
    ),
    Cause(
        "parked-gets-mail",
        Severity.WARNING,
        "A parked domain gets mail",
        "TLS reports show sessions to a domain that is to take no mail: some server takes it, or did on the reported "
        "day.",
        "`mailposture check example.com` shows its MX records. Is the mail meant? Then take `parked: true` out of its "
        "configuration. Else publish a null MX, and take out its _smtp._tls record.",
    ),
    Cause(
        "mail-refused",
        Severity.CRITICAL,
        "Mail is being refused",
        "Sessions failed under the domain's MTA-STS policy in mode enforce: those senders do not deliver; they try "
        "again, and return the mail after some days.",
        "`mailposture readiness example.com` lists for what causes and which senders; fix the cause first. "
        "Only if that takes longer than hours, and no downgrade is suspected (then the policy protects you), "
        "set its mode to testing.",
    ),
    Cause(
        "server-newly-failing",
        Severity.WARNING,
        "A receiving server began to fail",
        "The server had failed sessions in the last three report days, and none in the four weeks before: "
        "something was changed there, or on the way to it.",
        "Ask what was changed on that day. `mailposture check example.com` looks at every server as senders "
        "do; `openssl s_client -starttls smtp -connect mx1.example.com:25 -servername mx1.example.com "
        "</dev/null` at this one.",
        About.SERVER,
    ),
    Cause(
        "no-reports",
        Severity.WARNING,
        "No report any more",
        "Nobody has reported about the domain for longer than it usually takes, weekdays considered: failures go "
        "unnoticed.",
        "`mailposture check example.com` says whether the _smtp._tls record still asks for reports, and `mailposture "
        "records example.com` prints it. Then check on the dashboard Collector health whether other reports arrive.",
    ),
    Cause(
        "never-reported",
        Severity.INFO,
        "No report that counts yet",
        "The domain is configured, and no reporter that counts has reported about the last 35 days: failures would go "
        "unnoticed.",
        "Is the record at _smtp._tls.example.com published? `mailposture records example.com` prints it, and "
        "`mailposture check example.com` checks whether it is there. A domain without mail never gets reports.",
    ),
    Cause(
        "reports-late",
        Severity.INFO,
        "Reports come late",
        "Half of the reports about the domain arrive later after their day than the threshold for missing "
        "reports, so everything else here comes as late.",
        "Check on the dashboard Collector health whether they wait on our side: the queue of the mail server, the "
        'mailbox, the spool (`mailposture sql "SELECT reporter, median(delay_hours) FROM tls_report_log GROUP BY '
        'reporter"`). If only some senders are late, the delay is theirs.',
    ),
    Cause(
        "policy-testing-long",
        Severity.INFO,
        "MTA-STS mode testing for four weeks",
        "Senders have seen the policy in mode testing for four weeks. That protects no mail: it only makes senders "
        "report what enforce would refuse.",
        "Four weeks are enough to decide: `mailposture readiness example.com` says whether mode enforce would"
        " refuse anything.",
    ),
)
