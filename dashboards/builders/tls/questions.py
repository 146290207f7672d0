"""The SQL that several dashboards ask.

"Now" is what alerts mean by it too: each sender's newest report day within the last three of the time range. So a
failure ends with the first clean reports, and not days later, and what happened in the middle of the range does not
look current.
"""

from __future__ import annotations

from typing import Final

from dashboards.builders.common.look import NO_REPORTS, PROBES
from dashboards.builders.common.variables import (
    DOMAINS,
    END,
    REPORTER,
    chosen,
)
from dashboards.builders.tls import probe_faults
from reports.caption import caption
from reports.tls.failures import SUSPICIONS, Category

THIS_WEEK: Final = f"day > {END} - 8 AND day < {END}"
WEEK_BEFORE: Final = f"day > {END} - 15 AND day < {END} - 7"
"""Complete report days: the last one of the range has not ended, or is cut."""

IN_RANGE: Final = "$__dateFilter(day)"

NOT_APPLIED: Final = Category.MTA_STS_NOT_APPLIED.value
"""A cause without a failure: a sender stopped applying our MTA-STS policy."""

SUSPECTED: Final = ", ".join(f"'{category.value}'" for category in sorted(SUSPICIONS))
"""SQL: the categories of no failure detail, as a list."""

OF_TEAM: Final = f"{DOMAINS} AND " + chosen("policy_domain", "team").replace(
    "${team:singlequote}", "SELECT policy_domain FROM domains WHERE team IN (${team:singlequote})"
)
"""Rows of the chosen domains of the chosen teams."""


def rate() -> str:
    """Share of sessions with TLS."""
    return "sum(successful_sessions) / nullIf(sum(successful_sessions + failed_sessions), 0)"


def rate_if(condition: str) -> str:
    """The same of the rows for which the condition holds."""
    all_sessions = f"sumIf(successful_sessions + failed_sessions, {condition})"
    return f"sumIf(successful_sessions, {condition}) / nullIf({all_sessions}, 0)"


def no_reports(domains: str) -> str:
    """True if nobody reported in the time range: then nothing can be called good."""
    return f"(SELECT count() FROM tls_domain_daily WHERE {IN_RANGE} AND {domains}) = 0"


def category_of(cause: str) -> str:
    """What to choose as category in the failure explorer for a cause; everything for what is no failure.

    `$__all` is in two parts so that nobody takes it for a macro.
    """
    everything = "concat('$', '__all')"
    reported = f"if({cause} = 'suspected-downgrade', 'starttls-not-supported', {cause})"
    return f"if({cause} IN ('', '{NO_REPORTS}', '{PROBES}', '{NOT_APPLIED}'), {everything}, {reported})"


def page_of(cause: str) -> str:
    """Which dashboard shows more of a cause: what is suspected of a sender is beside the other senders."""
    return f"""multiIf({cause} IN ({SUSPECTED}), 'mailposture-senders',
                {cause} = '{PROBES}', 'mailposture-mta-sts', 'mailposture-failures')"""


def in_place(words: str, domain: str, server: str) -> str:
    """SQL for a text whose commands name the domain and the server instead of example.com and mx1.example.com.

    People paste commands into a shell, so a server that strangers named is put in only if it is a plain host name.
    """
    with_mark = f"replaceAll(replaceAll({words}, 'mx1.example.com', '\\x01'), 'example.com', {domain})"
    plain = f"match({server}, '^[A-Za-z0-9][A-Za-z0-9._-]+$')"
    return f"replaceAll({with_mark}, '\\x01', if({plain}, {server}, 'mx1.example.com'))"


def last_words(domains: str) -> str:
    """Which day is now for each sender and domain whose word counts: (policy_domain, reporter, trust, last_day)."""
    return f"""
        SELECT policy_domain, reporter, trust, max(day) AS last_day
        FROM tls_sender_daily
        WHERE day >= {END} - 3 AND day <= {END} AND {domains}
            AND (policy_domain, reporter, trust) IN (
                SELECT policy_domain, reporter, trust FROM tls_reporters WHERE counts)
        GROUP BY policy_domain, reporter, trust"""


def failures(domains: str) -> str:
    """WITH clauses, the last of them `failures`: failed sessions of the time range with their cause.

    day, policy_domain, reporter, trust, name (of the reporter), receiving_mx, result_type, sessions, now, is_newcomer,
    cause: the category, where suspected-downgrade is what a sender reports that had STARTTLS before.
    """
    return f"""WITH
    suspected AS (
        SELECT DISTINCT day, policy_domain, reporter, trust, receiving_mx
        FROM tls_suspected_downgrades
        WHERE {IN_RANGE} AND {domains} AND likelihood IN ('likely', 'possible')
    ),
    last_words AS ({last_words(domains)}
    ),
    newcomers AS (SELECT policy_domain, reporter, trust FROM tls_reporters WHERE {domains} AND standing = 'newcomer'),
    failures AS (
        SELECT
            day, policy_domain, reporter, trust, {caption("organization")} AS name, receiving_mx, result_type,
            failed_sessions AS sessions,
            (policy_domain, reporter, trust, day) IN (SELECT * FROM last_words) AS now,
            (policy_domain, reporter, trust) IN (SELECT * FROM newcomers) AS is_newcomer,
            if(category = 'starttls-not-supported'
                AND (day, policy_domain, reporter, trust, receiving_mx) IN (SELECT * FROM suspected),
                'suspected-downgrade', category) AS cause
        FROM tls_failures_daily
        WHERE {IN_RANGE} AND {domains}
    )"""


def causes(domains: str) -> str:
    """WITH clauses, the last of them `causes`: one row a domain and cause that failed in the time range.

    policy_domain, cause (a category, no-reports, or probes: what our own find wrong now), severity, what (in words),
    needs_attention, since (first day of the last run of failures; a day counts from a tenth of the worst day on, so
    that background noise does not), failed, failed_now, share_now, refused_now (of the domain, under mode enforce),
    server (that failed most), servers, seen_by (in words).
    """
    return f"""{failures(domains)},
    sessions_now AS (
        SELECT policy_domain, sum(successful_sessions + failed_sessions) AS sessions,
            uniqExact(reporter, trust) AS senders_in_all
        FROM tls_sender_daily
        WHERE day >= {END} - 3 AND day <= {END} AND {domains}
            AND (policy_domain, reporter, trust, day) IN (SELECT * FROM last_words)
        GROUP BY policy_domain
    ),
    refusals_now AS (
        SELECT policy_domain, sum(failed_sessions) AS refused
        FROM tls_policies_daily
        WHERE day >= {END} - 3 AND day <= {END} AND {domains} AND policy_type = 'sts' AND sts_mode = 'enforce'
            AND (policy_domain, reporter, trust, day) IN (SELECT * FROM last_words)
        GROUP BY policy_domain
    ),
    totals AS (
        SELECT
            policy_domain,
            cause,
            sumMap([day], [sessions]) AS by_day,
            arrayFilter((d, failed_then) -> failed_then * 10 >= arrayMax(by_day.2), by_day.1, by_day.2) AS bad_days,
            arrayLast(
                (d, before) -> d - before > 3, bad_days, arrayPushFront(arrayPopBack(bad_days), bad_days[1] - 100)
            ) AS since,
            sum(sessions) AS failed,
            sumIf(sessions, now) AS failed_now,
            if(failed_now > 0, topKWeightedIf(3)(receiving_mx, sessions, now AND receiving_mx != ''),
                topKWeightedIf(3)(receiving_mx, sessions, receiving_mx != '')) AS worst_servers,
            topKWeighted(1)(result_type, sessions)[1] AS result_type,
            countIf(now AND NOT is_newcomer) > 0 OR uniqExactIf((reporter, trust), now) > 1 AS not_one_newcomer,
            if(failed_now > 0, uniqExactIf((reporter, trust), now), uniqExact(reporter, trust)) AS senders,
            arrayStringConcat(if(failed_now > 0, topKWeightedIf(2)(name, sessions, now),
                topKWeighted(2)(name, sessions)), ', ') AS sender_names
        FROM failures
        GROUP BY policy_domain, cause
        HAVING failed > 0
    ),
    causes AS (
        SELECT
            policy_domain, cause, meaning.severity AS severity,
            if(result.category = cause, result.title, meaning.title) AS what, since, failed, failed_now,
            failed_now / nullIf(sessions, 0) AS share_now,
            refused AS refused_now,
            worst_servers[1] AS server,
            arrayStringConcat(worst_servers, ', ') AS servers,
            concat(toString(senders), ' of ', toString(senders_in_all), ': ', sender_names) AS seen_by,
            (failed_now > 0 AND cause = 'suspected-downgrade')
                OR (failed_now >= greatest(minimum_sessions, 1) AND not_one_newcomer
                    AND (share_now > failure_ratio_threshold OR refused >= greatest(minimum_sessions, 1)))
                AS needs_attention
        FROM totals
        INNER JOIN domains USING (policy_domain)
        LEFT JOIN sessions_now USING (policy_domain)
        LEFT JOIN refusals_now USING (policy_domain)
        LEFT JOIN (SELECT term, severity, title FROM failure_meanings WHERE kind = 'category') AS meaning
            ON meaning.term = cause
        LEFT JOIN (SELECT term, category, title FROM failure_meanings WHERE kind = 'result-type') AS result
            ON result.term = result_type
        UNION ALL
        SELECT
            policy_domain, '{NOT_APPLIED}', any(meaning.severity), any(meaning.title), min(last_applied_day) + 1, 0, 0,
            NULL, 0, '', '', concat(toString(uniqExact(reporter, trust)), ' of ', toString(any(senders_in_all)), ': ',
                arrayStringConcat(topK(2)({caption("organization")}), ', ')), 1
        FROM mta_sts_suspected_downgrades
        INNER JOIN (SELECT policy_domain, senders_in_all FROM sessions_now) AS everybody USING (policy_domain)
        CROSS JOIN (SELECT severity, title FROM failure_meanings WHERE term = '{NOT_APPLIED}') AS meaning
        WHERE day >= {END} - 3 AND day <= {END} AND {domains} AND likelihood = 'likely'
            AND (policy_domain, reporter, trust, day) IN (SELECT * FROM last_words)
        GROUP BY policy_domain
        UNION ALL
        SELECT
            policy_domain, '{PROBES}', min(severity),
            arrayStringConcat(arraySlice(arraySort(groupUniqArray((severity, fault))).2, 1, 3), ', '), toDate(0), 0, 0,
            NULL, 0, argMinIf(receiving_mx, severity, receiving_mx != ''),
            arrayStringConcat(arraySort(groupUniqArrayIf(3)(receiving_mx, receiving_mx != '')), ', '), 'our probes', 1
        FROM ({probe_faults.faults(domains)})
        WHERE again
        GROUP BY policy_domain
        UNION ALL
        SELECT
            policy_domain, '{NO_REPORTS}', if(never, 'info', 'warning'),
            if(never, 'No report yet', 'No report any more'), silent_since, 0, 0, NULL, 0, '', '', '', 1
        FROM (
            SELECT
                policy_domain,
                last_report_day IS NULL AS never,
                ifNull(last_report_day, toDate(0)) + 1 AS silent_since
            FROM tls_freshness
            WHERE {domains}
        ) AS freshness
        INNER JOIN domains USING (policy_domain)
        WHERE {END} = (SELECT today FROM clock)
            AND dateDiff('second', toDateTime(silent_since, 'UTC'), (SELECT now FROM clock)) > stale_after_seconds
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
        WHERE all_senders > 1 AND failed >= greatest(minimum_sessions, 1) AND share >= 3 * share_of_others"""


def mode_changes(domains: str) -> str:
    """Changes of the MTA-STS mode: the first "Day" that saw it, "Domain", "From", "To", and how many "Senders" did.

    Senders see a change on different days, so it is not the day that tells changes apart: a sender's second change from
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
