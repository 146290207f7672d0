"""Overview: which of many domains need attention, and why."""

from __future__ import annotations

from dashboards.builders.common import look
from dashboards.builders.common.grafana import Dashboard, Row, rows, series, steps, words
from dashboards.builders.common.panels import NUMBER_HEIGHT, NUMBER_WIDTH, Column, graph, stat, table
from dashboards.builders.common.scope import IN_RANGE, OF_TEAM, THIS_WEEK, WEEK_BEFORE
from dashboards.builders.common.variables import (
    DATASOURCES,
    REPORTER,
    REPORTER_ID,
    TEAM,
    THIS_DOMAIN,
    cell,
    domain,
    link,
    page_links,
    untrusted_id,
)
from dashboards.builders.tls import questions, shared_panels
from mailposture.clickhouse.thresholds import too_many
from reports.caption import caption
from reports.causes import worst_first

UID = "mailposture-overview"
_TO_DOMAIN = link("Open ${__value.text}", "mailposture-domain", domain=THIS_DOMAIN)
_TO_MAIL_FROM = link("Mail from ${__value.text}: DMARC", "mailposture-dmarc-domain", domain=THIS_DOMAIN)
_TO_CAUSE = link("Look closer", cell("page"), domain=THIS_DOMAIN, category=cell("category"))
_CAUSES = questions.causes(OF_TEAM)

_ANSWER = (
    stat(
        "Now",
        "Domains with a cause that needs attention at the end of the time range, in the newest reports of all senders "
        "or in what our own last probes find: the same that alerts fire for, without acknowledged ones and those of "
        "severity info. The table below names them.",
        rows(
            f"""{_CAUSES}
            SELECT if(found = 0 AND {questions.no_reports(OF_TEAM)}, NULL, found) AS domains
            FROM (SELECT uniqExactIf(policy_domain, NOT acknowledged AND severity != 'info') AS found FROM causes)"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="suffix:domains need attention",
        decimals=0,
        thresholds=steps((None, look.GOOD), (1, look.BAD)),
        mappings=(words({"0": ("All good", look.GOOD), "1": ("1 domain needs attention", look.BAD)}),),
        filled=True,
        text_size=22,
    ),
    shared_panels.with_tls(OF_TEAM),
    shared_panels.against_the_week_before(OF_TEAM),
    stat(
        "Failed, 7 days",
        "Sessions without the encryption that the sender wanted. What that means for the mail depends on the policy: "
        "refused in mode enforce or with DANE, delivered otherwise.",
        rows(
            f"""
            SELECT if(count() = 0, NULL, sum(failed_sessions)) AS failed
            FROM tls_domain_daily
            WHERE {THIS_WEEK} AND {OF_TEAM}"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="locale",
        thresholds=steps((None, look.GOOD), (1, "text")),
    ),
    stat(
        "Senders, 7 days",
        "Organizations with a report about the seven report days before the end of the time range.",
        rows(
            f"""
            SELECT nullIf(uniqExact({REPORTER}), 0) AS senders
            FROM tls_sender_daily
            WHERE {THIS_WEEK} AND {OF_TEAM}"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="locale",
    ),
    stat(
        "Last report",
        "When the newest report arrived. Reports cover a day and arrive some hours after it, a few much later.",
        rows(f"SELECT toDateTime64(max(last_received_at), 3, 'UTC') AS arrived FROM tls_freshness WHERE {OF_TEAM}"),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="dateTimeFromNow",
        numbers=False,
    ),
)

_ATTENTION = table(
    "Needs attention now",
    "Each domain and cause that needs attention in the newest reports of all senders, or that our own last probes "
    "find: what alerts fire for. Since: the first day without interruption. About: servers, senders or records. Seen "
    "by: senders that report it, of those that report about the domain. Acknowledged: until when, and why; such a "
    "cause alerts nobody (`mailposture acknowledge`). Click a domain for what to do, a cause for its details.",
    rows(
        f"""{_CAUSES}
        SELECT
            severity AS "Severity",
            policy_domain AS "Domain",
            cause AS "Cause",
            what AS "What",
            since AS "Since",
            nullIf(affected, 0) AS "Affected",
            share_now AS "Share",
            multiIf(
                share_now IS NULL OR cause = 'dmarc-forgery-surge', '', refused, 'being refused', 'delivered'
            ) AS "Mail",
            subjects AS "About",
            seen_by AS "Seen by",
            known AS "Acknowledged",
            {questions.category_of("cause")} AS category,
            {questions.page_of("cause")} AS page
        FROM causes
        ORDER BY acknowledged, {worst_first()}, refused DESC, share_now DESC,
            policy_domain, cause
        LIMIT 200"""
    ),
    columns=(
        look.severity(),
        Column(name="Domain", room=120, links=(_TO_DOMAIN,)),
        look.category(links=(_TO_CAUSE,)),
        Column(name="What", width=270),
        look.day("Since"),
        look.count("Affected", width=80),
        Column(name="Share", unit="percentunit", decimals=1, width=95),
        Column(
            name="Mail",
            width=110,
            cell=look.COLORED_TEXT,
            mappings=(words({"being refused": ("being refused", "red"), "delivered": ("delivered", "text")}),),
        ),
        Column(name="About", wrap=True, room=150),
        Column(name="Seen by", wrap=True, room=190),
        Column(name="Acknowledged", wrap=True, width=130),
        look.hidden("category"),
        look.hidden("page"),
    ),
    width=24,
    height=12,
    nothing="Nothing to do: no cause is above the thresholds of its domain in the newest reports, "
    "and our probes find no fault.",
)

_OVER_TIME = (
    shared_panels.failed_by_category(OF_TEAM, width=14),
    graph(
        "Sessions with TLS by day",
        "Share of the mail sessions of a report day that were encrypted and verified as the sender wanted.",
        series(
            f"""
            SELECT day AS time, {questions.rate()} AS "Sessions with TLS"
            FROM tls_domain_daily
            WHERE {IN_RANGE} AND {OF_TEAM}
            GROUP BY time
            ORDER BY time"""
        ),
        width=10,
        unit="percentunit",
        soft_minimum=0.9,
        maximum=1,
        fill=10,
        colors={"Sessions with TLS": look.SUCCESSFUL},
    ),
)

_DOMAINS = table(
    "Domains",
    "All our domains, those with trouble first. State: failing now (mail to it, or our own mail from it), at fault (as "
    "our own probes see it; reports do not), no reports, suspicious (a sender no longer applies our MTA-STS policy), "
    "mail from it (DMARC reports show another cause), failed earlier (above its thresholds on a report day of the time "
    "range, and not now), or all good. Rates are of the last seven report days.",
    rows(
        f"""{_CAUSES}
        SELECT
            policy_domain AS "Domain",
            team AS "Team",
            multiIf(failing > 0, 'failing', faults > 0, 'at fault',
                silent > 0 OR (all_sessions = 0 AND NOT parked), 'no reports', suspicions > 0, 'suspicious',
                all_causes > 0, 'mail from it', bad_days > 0, 'failed earlier', 'all good') AS "State",
            multiIf("State" = 'all good', '', "State" = 'failed earlier', earlier_cause, top_cause) AS "Cause",
            rate_now AS "With TLS",
            100 * (rate_now - rate_before) AS "Change",
            sessions_week AS "Sessions",
            failed_week AS "Failed",
            last_report_day AS "Last report day",
            reporters_last_7_days AS "Senders",
            {questions.category_of('"Cause"')} AS category,
            {questions.page_of('"Cause"')} AS page
        FROM domains
        LEFT JOIN (
            SELECT
                policy_domain,
                {questions.rate_if(THIS_WEEK)} AS rate_now,
                {questions.rate_if(WEEK_BEFORE)} AS rate_before,
                sumIf(successful_sessions + failed_sessions, {THIS_WEEK}) AS sessions_week,
                sumIf(failed_sessions, {THIS_WEEK}) AS failed_week,
                sumIf(successful_sessions + failed_sessions, {IN_RANGE}) AS all_sessions,
                countIf({IN_RANGE}
                    AND {too_many("failed_sessions", "successful_sessions + failed_sessions")}) AS bad_days
            FROM tls_domain_daily
            INNER JOIN domains USING (policy_domain)
            WHERE ({IN_RANGE} OR {WEEK_BEFORE}) AND {OF_TEAM}
            GROUP BY policy_domain
        ) AS sessions USING (policy_domain)
        LEFT JOIN (
            SELECT
                policy_domain,
                countIf((kind = 'tls' AND cause NOT IN ('no-reports', 'mta-sts-not-applied'))
                    OR cause = 'dmarc-own-failing') AS failing,
                countIf(cause = 'mta-sts-not-applied') AS suspicions,
                countIf(kind = 'outside') AS faults,
                count() AS all_causes,
                countIf(cause = 'no-reports') AS silent,
                argMin(cause, ({worst_first()}, -affected)) AS top_cause
            FROM causes
            WHERE NOT acknowledged AND severity != 'info'
            GROUP BY policy_domain
        ) AS troubles USING (policy_domain)
        LEFT JOIN (
            SELECT policy_domain, argMax(category, failed) AS earlier_cause
            FROM (
                SELECT policy_domain, category, sum(failed_sessions) AS failed
                FROM tls_failures_daily
                WHERE {IN_RANGE} AND {OF_TEAM}
                GROUP BY policy_domain, category
            )
            GROUP BY policy_domain
        ) AS earlier USING (policy_domain)
        LEFT JOIN (
            SELECT policy_domain, last_report_day, reporters_last_7_days FROM tls_freshness
        ) AS freshness USING (policy_domain)
        WHERE {OF_TEAM}
        ORDER BY
            indexOf(['failing', 'at fault', 'no reports', 'suspicious', 'mail from it', 'failed earlier'], "State") = 0,
            indexOf(['failing', 'at fault', 'no reports', 'suspicious', 'mail from it', 'failed earlier'], "State"),
            "Failed" DESC
        LIMIT 500"""
    ),
    columns=(
        Column(name="Domain", room=170, links=(_TO_DOMAIN, _TO_MAIL_FROM)),
        Column(name="Team", width=110),
        Column(
            name="State",
            width=125,
            cell=look.COLORED_CELL,
            mappings=(
                words(
                    {
                        "failing": ("Failing", "red"),
                        "at fault": ("At fault", "#C4343F"),
                        "no reports": ("No reports", "#6E7582"),
                        "suspicious": ("Suspicious", "#A8579B"),
                        "mail from it": ("Mail from it", "#A8579B"),
                        "failed earlier": ("Failed earlier", "#B47A1E"),
                        "all good": ("All good", "#3F8A46"),
                    }
                ),
            ),
        ),
        look.category(links=(_TO_CAUSE,)),
        look.rate("With TLS"),
        Column(
            name="Change",
            unit="suffix:points",
            decimals=2,
            width=115,
            cell=look.COLORED_TEXT,
            color={"mode": "thresholds"},
            thresholds=steps((None, "red"), (-0.5, "orange"), (-0.05, "text"), (0.05, "green")),
        ),
        look.count("Sessions", width=110),
        look.failed(width=200),
        look.day("Last report day"),
        look.count("Senders", width=80),
        look.hidden("category"),
        look.hidden("page"),
    ),
    width=24,
    height=10,
    nothing="No domain is configured for this choice.",
)

_WORST_SERVERS = table(
    "Receiving servers with most failures",
    "Our mail servers as senders name them, by failed sessions in the time range. Last day: the newest report day "
    "with a failure. Click a server for its failures.",
    rows(
        f"""
        SELECT
            receiving_mx AS "Receiving server",
            policy_domain AS "Domain",
            argMax(category, failed) AS "Cause",
            sum(failed) AS "Failed",
            max(last_day) AS "Last day",
            argMax(category, failed) AS category_id,
            {untrusted_id("receiving_mx")} AS mx_id
        FROM (
            SELECT receiving_mx, policy_domain, category, sum(failed_sessions) AS failed, max(day) AS last_day
            FROM tls_failures_daily
            WHERE {IN_RANGE} AND {OF_TEAM} AND receiving_mx != ''
            GROUP BY receiving_mx, policy_domain, category
        )
        GROUP BY receiving_mx, policy_domain
        ORDER BY "Failed" DESC
        LIMIT 50"""
    ),
    columns=(
        Column(
            name="Receiving server",
            room=160,
            links=(link("Failures of this server", "mailposture-failures", domain=THIS_DOMAIN, server=cell("mx_id")),),
        ),
        Column(name="Domain", room=120, links=(_TO_DOMAIN,)),
        look.category(
            links=(
                link(
                    "Explore these failures", "mailposture-failures", domain=THIS_DOMAIN, category=cell("category_id")
                ),
            ),
            width=145,
        ),
        look.failed(),
        look.day("Last day"),
        look.hidden("category_id"),
        look.hidden("mx_id"),
    ),
    width=12,
    height=9,
    nothing="No receiving server failed in this time range.",
)

_SENDERS = table(
    "Who reports",
    "Organizations that reported about the time range, by sessions. A sender whose rate is much lower than that of "
    "others often sees a problem of its own: the dashboard Senders compares them.",
    rows(
        f"""
        SELECT
            {caption()} AS "Sender",
            uniqExact(policy_domain) AS "Domains",
            sum(successful_sessions + failed_sessions) AS "Sessions",
            {questions.rate()} AS "With TLS",
            sum(failed_sessions) AS "Failed",
            max(day) AS "Last day",
            {REPORTER_ID} AS sender_id
        FROM tls_sender_daily
        WHERE {IN_RANGE} AND {OF_TEAM}
        GROUP BY {REPORTER}
        ORDER BY "Sessions" DESC
        LIMIT 100"""
    ),
    columns=(
        Column(
            name="Sender",
            room=180,
            wrap=True,
            links=(link("What this sender sees", "mailposture-senders", sender=cell("sender_id")),),
        ),
        look.count("Domains", width=80),
        look.count("Sessions"),
        look.rate("With TLS", width=90),
        look.failed(),
        look.day("Last day"),
        look.hidden("sender_id"),
    ),
    width=12,
    height=9,
    nothing="Nobody reported about this time range.",
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: Overview",
        description="Which domains have trouble with TLS for e-mail, as senders report it (TLS-RPT, RFC 8460).",
        variables=(*DATASOURCES, TEAM, domain(several=True, of_team=True)),
        links=page_links(UID),
        rows=(
            Row(panels=(*_ANSWER, _ATTENTION)),
            Row(panels=_OVER_TIME),
            Row(panels=(_DOMAINS,)),
            Row(panels=(_WORST_SERVERS, _SENDERS)),
        ),
    )
