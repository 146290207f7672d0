"""The SQL that several dashboards ask.

"Now" is the end of the time range, and what needs attention then is what alerts mean by it too: the view `attention`,
asked as of that day.
"""

from __future__ import annotations

from typing import Final

from dashboards.builders.common.scope import IN_RANGE, all_parked
from dashboards.builders.common.variables import END, REPORTER
from mailposture.clickhouse.thresholds import enough
from reports.alerts.table import ALERTS
from reports.causes import FROM_PROBES
from reports.tls.failures import SUSPICIONS, Category

SUSPECTED: Final = ", ".join(f"'{category.value}'" for category in sorted(SUSPICIONS))
"""SQL: the categories of no failure detail, as a list."""

_EXPLORED: Final = ", ".join(f"'{category.value}'" for category in Category if category != Category.MTA_STS_NOT_APPLIED)
_SEEN_BY_PROBES: Final = ", ".join(f"'{cause.term}'" for cause in FROM_PROBES)
_MAIL_FROM_US: Final = ", ".join(
    f"'{term}'"
    for term in dict.fromkeys(each.cause for each in ALERTS if each.dashboard.startswith("mailposture-dmarc"))
)
_SILENCES: Final = "'no-reports', 'never-reported', 'reports-late'"


ACKNOWLEDGED: Final = -1
"""What a number shows instead of 0 where somebody has acknowledged all of it."""


def rate() -> str:
    """Share of sessions with TLS."""
    return "sum(successful_sessions) / nullIf(sum(successful_sessions + failed_sessions), 0)"


def rate_if(condition: str) -> str:
    """The same of the rows for which the condition holds."""
    all_sessions = f"sumIf(successful_sessions + failed_sessions, {condition})"
    return f"sumIf(successful_sessions, {condition}) / nullIf({all_sessions}, 0)"


def no_reports(domains: str) -> str:
    """True if somebody should have reported in the time range and nobody did: then nothing can be called good."""
    return f"(NOT {all_parked(domains)} AND (SELECT count() FROM tls_domain_daily WHERE {IN_RANGE} AND {domains}) = 0)"


def open_now(number: str, source: str, *, cause: str, domains: str) -> str:
    """SQL: how much of a cause is open; ACKNOWLEDGED where all that there is was acknowledged; NULL without reports.

    `number` is an aggregate with -If, whose condition is missing: `sumIf(affected`.
    """
    return f"""
            SELECT if({no_reports(domains)}, NULL, if(open = 0 AND known > 0, {ACKNOWLEDGED}, open)) AS number
            FROM (
                SELECT toInt64({number}, NOT acknowledged)) AS open, countIf(acknowledged) AS known
                FROM {source}
                WHERE cause = '{cause}' AND {domains}
            )"""


def category_of(cause: str) -> str:
    """What to choose as category in the failure explorer for a cause; everything for what is no failure.

    `$__all` is in two parts so that nobody takes it for a macro.
    """
    reported = f"if({cause} = 'suspected-downgrade', 'starttls-not-supported', {cause})"
    return f"if({cause} IN ({_EXPLORED}), {reported}, concat('$', '__all'))"


def page_of(cause: str) -> str:
    """Which dashboard shows more of a cause: what is suspected of a sender is beside the other senders."""
    return f"""multiIf({cause} IN ({SUSPECTED}), 'mailposture-senders',
                {cause} IN ({_MAIL_FROM_US}), 'mailposture-dmarc-domain',
                {cause} IN ({_SEEN_BY_PROBES}), 'mailposture-mta-sts',
                {cause} IN ({_SILENCES}), 'mailposture-collector', 'mailposture-failures')"""


def in_place(words: str, domain: str, server: str) -> str:
    """SQL for a text whose commands name the domain and the server instead of example.com and mx1.example.com.

    People paste commands into a shell, so an untrusted server name is put in only if it is a plain host name.
    """
    with_mark = f"replaceAll(replaceAll({words}, 'mx1.example.com', '\\x01'), 'example.com', {domain})"
    plain = f"match({server}, '^[A-Za-z0-9][A-Za-z0-9._-]+$')"
    return f"replaceAll({with_mark}, '\\x01', if({plain}, {server}, 'mx1.example.com'))"


def failures(domains: str) -> str:
    """WITH clauses, the last of them `failures`: failed sessions of the time range: day, cause, sessions.

    The cause is the category, where suspected-downgrade is what a sender reports that had STARTTLS before.
    """
    return f"""WITH
    suspected AS (
        SELECT DISTINCT day, policy_domain, reporter, reporter_proven, receiving_mx
        FROM tls_suspected_downgrades
        WHERE {IN_RANGE} AND {domains} AND likelihood IN ('likely', 'possible')
    ),
    failures AS (
        SELECT
            day, failed_sessions AS sessions,
            if(category = 'starttls-not-supported'
                AND (day, policy_domain, reporter, reporter_proven, receiving_mx) IN (SELECT * FROM suspected),
                'suspected-downgrade', category) AS cause
        FROM tls_failures_daily
        WHERE {IN_RANGE} AND {domains}
    )"""


def causes(domains: str) -> str:
    """WITH clause `causes`: what needs attention at the end of the time range, as everywhere (the view `attention`).

    One row per domain, cause, severity and whether it is acknowledged: policy_domain, kind, cause, severity,
    acknowledged, known (until when and why), what, explanation, action, since, affected (sessions; messages of kind
    dmarc), share_now, refused (whether its mail is), server (that is affected most), subjects, details and seen_by (in
    words).
    """
    return f"""WITH causes AS (
        SELECT
            policy_domain, kind, cause, severity, acknowledged,
            if(acknowledged, concat('until ', toString(max(acknowledged_until)), ': ', any(acknowledged_because)), '')
                AS known,
            any(title) AS what, any(explanation) AS explanation, any(action) AS action, min(since) AS since,
            sum(of_subject.affected) AS affected,
            affected / nullIf(if(kind = 'dmarc', sum(of), max(of)), 0) AS share_now,
            (kind = 'tls' AND affected > 0 AND max(cause = 'mail-refused') OVER (PARTITION BY policy_domain))
                OR (cause = 'dmarc-own-failing' AND severity = 'critical') AS refused,
            argMax(subject, of_subject.affected) AS server,
            arrayStringConcat(arraySlice(arraySort(groupUniqArray(subject)), 1, 5), ', ') AS subjects,
            arrayStringConcat(arraySlice(arraySort(groupUniqArrayIf(detail, detail != '')), 1, 3), ' ') AS details,
            arraySort(arrayDistinct(arrayFlatten(groupArray(of_subject.seen_by)))) AS reporters,
            multiIf(kind = 'outside', 'our probes', empty(reporters), '', concat(
                toString(length(reporters)), if(kind = 'tls', concat(' of ', toString(any(senders))), ''),
                ': ', reporters[1],
                if(length(reporters) > 1, ', …', ''))) AS seen_by
        FROM (SELECT * FROM attention_at(end = {END}) WHERE {domains}) AS of_subject
        LEFT JOIN (
            SELECT term AS cause, title, explanation, action FROM failure_meanings WHERE kind IN ('category', 'cause')
        ) AS meaning USING (cause)
        LEFT JOIN (
            SELECT policy_domain, uniqExact({REPORTER}) AS senders
            FROM tls_sender_daily
            WHERE day >= {END} - 3 AND day < {END} AND {domains}
            GROUP BY policy_domain
        ) AS everybody USING (policy_domain)
        GROUP BY policy_domain, kind, cause, severity, acknowledged
    )"""


def lonely_failures(chosen: str, everybody: str) -> str:
    """Senders (of the chosen rows) that see failures at a domain which others (of all rows) hardly see.

    reporter, reporter_proven, organization, policy_domain, cause (its main category), failed, share, share_of_others,
    others (other senders), others_failing, last_day.
    """
    return f"""
        SELECT
            {REPORTER},
            organization,
            policy_domain,
            cause,
            failed,
            failed / sessions AS share,
            (all_failed - failed) / nullIf(all_sessions - sessions, 0) AS share_of_others,
            all_senders - 1 AS others,
            all_failing - 1 AS others_failing,
            last_day
        FROM (
            SELECT {REPORTER}, any(organization) AS organization, policy_domain,
                sum(successful_sessions + failed_sessions) AS sessions,
                sum(failed_sessions) AS failed, maxIf(day, failed_sessions > 0) AS last_day
            FROM tls_sender_daily
            WHERE {chosen}
            GROUP BY {REPORTER}, policy_domain
            HAVING failed > 0
        ) AS one
        INNER JOIN (
            SELECT policy_domain, sum(successful_sessions + failed_sessions) AS all_sessions,
                sum(failed_sessions) AS all_failed, uniqExact({REPORTER}) AS all_senders,
                uniqExactIf(({REPORTER}), failed_sessions > 0) AS all_failing
            FROM tls_sender_daily
            WHERE {everybody}
            GROUP BY policy_domain
        ) AS everybody USING (policy_domain)
        INNER JOIN domains USING (policy_domain)
        LEFT JOIN (
            SELECT {REPORTER}, policy_domain, argMax(category, by_category) AS cause
            FROM (
                SELECT {REPORTER}, policy_domain, category, sum(failed_sessions) AS by_category
                FROM tls_failures_daily
                WHERE {chosen}
                GROUP BY {REPORTER}, policy_domain, category
            )
            GROUP BY {REPORTER}, policy_domain
        ) AS main_causes USING ({REPORTER}, policy_domain)
        WHERE all_senders > 1 AND {enough("failed")} AND share >= 3 * share_of_others"""


def mode_changes(domains: str) -> str:
    """Changes of the MTA-STS mode: the first "Day" that saw it, "Domain", "From", "To", and how many "Senders" did.

    Senders see a change on different days, so the day does not distinguish changes: a sender's second change from
    one mode to the other is the domain's second one.
    """
    rows_with_mode = f"{IN_RANGE} AND {domains} AND policy_type = 'sts' AND sts_mode != ''"
    return f"""
        SELECT min(change.1) AS "Day", policy_domain AS "Domain", change.2 AS "From", change.3 AS "To",
            count() AS "Senders"
        FROM (
            SELECT
                policy_domain,
                arraySort(groupArray((day, mode))) AS seen,
                arrayFilter(
                    each -> each.2 != each.3,
                    arrayMap((later, before) -> (later.1, before.2, later.2), arrayPopFront(seen), arrayPopBack(seen))
                ) AS changes,
                arrayEnumerateUniq(changes.2, changes.3) AS times
            FROM (
                SELECT policy_domain, {REPORTER}, day,
                    argMax(sts_mode, successful_sessions + failed_sessions) AS mode
                FROM tls_policies_daily
                WHERE {rows_with_mode} AND policy_domain IN (
                    SELECT policy_domain
                    FROM tls_policies_daily
                    WHERE {rows_with_mode}
                    GROUP BY policy_domain
                    HAVING uniqExact(sts_mode) > 1
                )
                GROUP BY policy_domain, {REPORTER}, day
            )
            GROUP BY policy_domain, {REPORTER}
        )
        ARRAY JOIN changes AS change, times AS time
        GROUP BY policy_domain, change.2, change.3, time
        ORDER BY "Day" DESC, "Domain", "From"
        LIMIT 200"""
