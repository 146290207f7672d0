"""Domain: everything about one domain, with what each failure means and what to do."""

from __future__ import annotations

from dashboards.builders.common import look
from dashboards.builders.common.grafana import Dashboard, Row, rows, series, steps, words
from dashboards.builders.common.panels import NUMBER_HEIGHT, NUMBER_WIDTH, UNKNOWN, Column, graph, stat, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import (
    DATASOURCES,
    DOMAINS,
    REPORTER,
    REPORTER_ID,
    cell,
    domain,
    link,
    page_links,
    untrusted_id,
)
from dashboards.builders.tls import beside_probes, mode_panels, probe_faults, questions, server_panels, shared_panels
from reports.caption import caption
from reports.causes import worst_first

UID = "mailposture-domain"
_CAUSES = questions.causes(DOMAINS)
_TO_CAUSE = link("Look closer", cell("page"), category=cell("category"))

_TO_CATEGORY = link("Explore these failures", "mailposture-failures", category=cell("category_id"))

_ANSWER = (
    stat(
        "$domain now",
        "Causes that need attention at the end of the time range: in the newest reports of all senders, and in what "
        "our own last probes find; without acknowledged ones and those of severity info. The table below names them.",
        rows(
            f"""{_CAUSES}
            SELECT if(found = 0 AND {questions.no_reports(DOMAINS)}, NULL, found) AS number
            FROM (SELECT countIf(NOT acknowledged AND severity != 'info') AS found FROM causes)"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="suffix:causes need attention",
        decimals=0,
        thresholds=steps((None, look.GOOD), (1, look.BAD)),
        mappings=(words({"0": ("All good", look.GOOD), "1": ("1 cause needs attention", look.BAD)}),),
        filled=True,
        text_size=22,
    ),
    shared_panels.with_tls(DOMAINS),
    shared_panels.against_the_week_before(DOMAINS),
    stat(
        "Mail being refused",
        "Sessions that failed under the domain's MTA-STS policy in mode enforce, in the newest reports, if they reach "
        "the domain's minimum of sessions. Those senders do not deliver: they try again and return the mail after "
        "some days. What is acknowledged is not counted.",
        rows(
            _CAUSES + questions.open_now("sumIf(affected", "causes", cause="mail-refused", domains=DOMAINS),
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="suffix:sessions",
        decimals=0,
        thresholds=steps((None, look.GOOD), (1, look.BAD)),
        mappings=(words({"0": ("none", look.GOOD), str(questions.ACKNOWLEDGED): ("acknowledged", UNKNOWN)}),),
    ),
    stat(
        "MTA-STS mode",
        "The mode of the MTA-STS policy in the newest report of a sender that honours MTA-STS.",
        rows(
            f"""
            SELECT nullIf(argMax(sts_mode, (day, sessions)), '') AS mode
            FROM (
                SELECT day, sts_mode, sum(successful_sessions + failed_sessions) AS sessions
                FROM tls_policies_daily
                WHERE {IN_RANGE} AND {DOMAINS} AND policy_type = 'sts' AND sts_mode != ''
                GROUP BY day, sts_mode
            )"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="string",
        numbers=False,
        mappings=(look.MODE_WORDS,),
        thresholds=steps((None, "text")),
        nothing="not seen",
    ),
    stat(
        "Last report day",
        "The newest day that a report covers. Reports come some hours after their day, a few much later.",
        rows(
            f"""
            SELECT toDateTime(max(last_report_day), 'UTC') AS last_day
            FROM tls_freshness WHERE {DOMAINS} AND last_report_day IS NOT NULL"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="time:ddd D MMM",
        numbers=False,
    ),
)

_WRONG_NOW = table(
    "What is wrong now, and what to do",
    "Each cause that needs attention in the newest reports of all senders, or that our own last probes find: "
    "what alerts "
    "fire for. Commands name the domain and the server that is affected most. Acknowledged: until when, and "
    "why; such a "
    "cause alerts nobody (`mailposture acknowledge`). Click the cause for its details.",
    rows(
        f"""{_CAUSES}
        SELECT
            severity AS "Severity",
            cause AS "Cause",
            since AS "Since",
            {questions.in_place("action", "policy_domain", "server")} AS "What to do",
            concat(explanation, if(details = '', '', ' '), details) AS "What it means",
            nullIf(affected, 0) AS "Affected",
            share_now AS "Share",
            subjects AS "About",
            seen_by AS "Seen by",
            known AS "Acknowledged",
            {questions.category_of("cause")} AS category,
            {questions.page_of("cause")} AS page
        FROM causes
        ORDER BY acknowledged, {worst_first()}, share_now DESC, cause"""
    ),
    columns=(
        look.severity(),
        look.category(links=(_TO_CAUSE,), width=160),
        look.day("Since"),
        Column(name="What to do", wrap=True),
        Column(name="What it means", width=260, wrap=True),
        look.count("Affected", width=80),
        Column(name="Share", unit="percentunit", decimals=1, width=95),
        Column(name="About", width=160, wrap=True),
        Column(name="Seen by", width=130, wrap=True),
        Column(name="Acknowledged", width=120, wrap=True),
        look.hidden("category"),
        look.hidden("page"),
    ),
    width=24,
    height=13,
    nothing="Nothing to do: no cause is above the thresholds in the newest reports, and our probes find no fault.",
)

_PROBED_NOW = (
    probe_faults.last_faults(width=24, height=5),
    server_panels.certificates(width=24, height=5, domain=look.hidden("Domain")),
)

_OVER_TIME = (
    shared_panels.failed_by_category(DOMAINS, width=12),
    graph(
        "Failed sessions by result type",
        "The same by the result types of the standard (RFC 8460, section 4.3).",
        series(
            f"""
            SELECT day AS time, result_type, sum(failed_sessions) AS Value
            FROM tls_failures_daily
            WHERE {IN_RANGE} AND {DOMAINS}
            GROUP BY time, result_type
            ORDER BY time, result_type"""
        ),
        width=12,
        unit="locale",
        bars=True,
        stacked=True,
        colors=look.RESULT_COLORS,
        totals=("sum",),
        legend="right",
        links=(link("Explore failures", "mailposture-failures"),),
        nothing="No failures in this time range",
    ),
    graph(
        "Sessions with TLS by policy type",
        "Share of successful sessions, by the policy that the sender applied: MTA-STS, DANE, or none. Senders that "
        "honour MTA-STS and DANE report the same sessions under both.",
        series(
            f"""
            SELECT day AS time, {look.POLICY_TYPE_NAME} AS policy, {questions.rate()} AS Value
            FROM tls_policies_daily
            WHERE {IN_RANGE} AND {DOMAINS}
            GROUP BY time, policy
            ORDER BY time, policy"""
        ),
        width=12,
        unit="percentunit",
        soft_minimum=0.9,
        maximum=1,
        colors=look.POLICY_TYPES,
    ),
    graph(
        "Sessions",
        "Mail sessions per report day, each counted once.",
        series(
            f"""
            SELECT day AS time, sum(successful_sessions) AS "With TLS", sum(failed_sessions) AS "Failed"
            FROM tls_domain_daily
            WHERE {IN_RANGE} AND {DOMAINS}
            GROUP BY time
            ORDER BY time"""
        ),
        width=12,
        unit="locale",
        bars=True,
        stacked=True,
        colors={"With TLS": look.SUCCESSFUL, "Failed": look.FAILED},
    ),
)

_WHERE_AND_WHO = (
    table(
        "Receiving servers with failures",
        "Our mail servers as senders name them, with failures in the time range. Senders: how many see them. Click a "
        "server for its failures.",
        rows(
            f"""
            SELECT
                if(receiving_mx = '', 'not named', receiving_mx) AS "Receiving server",
                argMax(category, failed) AS "Cause",
                sum(failed) AS "Failed",
                uniqExactArray(reporters) AS "Senders",
                min(first_day) AS "First day",
                max(last_day) AS "Last day",
                argMax(category, failed) AS category_id,
                {untrusted_id("receiving_mx")} AS mx_id
            FROM (
                SELECT receiving_mx, category, sum(failed_sessions) AS failed, min(day) AS first_day,
                    max(day) AS last_day, groupUniqArray(({REPORTER})) AS reporters
                FROM tls_failures_daily
                WHERE {IN_RANGE} AND {DOMAINS}
                GROUP BY receiving_mx, category
            )
            GROUP BY receiving_mx
            ORDER BY "Failed" DESC
            LIMIT 100"""
        ),
        columns=(
            Column(
                name="Receiving server",
                room=170,
                links=(link("Failures of this server", "mailposture-failures", server=cell("mx_id")),),
            ),
            look.category(links=(_TO_CATEGORY,), width=140),
            look.failed(),
            look.count("Senders", width=75),
            look.day("First day"),
            look.day("Last day"),
            look.hidden("category_id"),
            look.hidden("mx_id"),
        ),
        width=12,
        height=9,
        nothing="No receiving server failed in this time range.",
    ),
    table(
        "By sender",
        "Organizations that reported about this domain in the time range, those with most failures first. Click one "
        "for its failures.",
        rows(
            f"""
            SELECT
                {caption()} AS "Sender",
                sum(successful_sessions + failed_sessions) AS "Sessions",
                {questions.rate()} AS "With TLS",
                sum(failed_sessions) AS "Failed",
                any(cause) AS "Cause",
                max(day) AS "Last day",
                {questions.category_of("any(cause)")} AS category_id,
                {REPORTER_ID} AS sender_id
            FROM tls_sender_daily
            LEFT JOIN (
                SELECT {REPORTER}, argMax(category, failed) AS cause
                FROM (
                    SELECT {REPORTER}, category, sum(failed_sessions) AS failed
                    FROM tls_failures_daily
                    WHERE {IN_RANGE} AND {DOMAINS}
                    GROUP BY {REPORTER}, category
                )
                GROUP BY {REPORTER}
            ) AS causes USING ({REPORTER})
            WHERE {IN_RANGE} AND {DOMAINS}
            GROUP BY {REPORTER}
            ORDER BY "Failed" DESC, "Sessions" DESC
            LIMIT 200"""
        ),
        columns=(
            Column(
                name="Sender",
                room=190,
                wrap=True,
                links=(link("Failures that it reports", "mailposture-failures", sender=cell("sender_id")),),
            ),
            look.count("Sessions", width=80),
            look.rate("With TLS", width=85),
            look.failed(),
            look.category(links=(_TO_CATEGORY,), width=130),
            look.day("Last day"),
            look.hidden("category_id"),
            look.hidden("sender_id"),
        ),
        width=12,
        height=9,
        nothing="Nobody reported about this domain in this time range.",
    ),
)

_PROBES = (
    beside_probes.servers_over_time(DOMAINS, width=24, height=6),
    beside_probes.failures_beside_probes(
        f"{IN_RANGE} AND {DOMAINS}",
        domain=look.hidden("Domain"),
        height=10,
        nothing="No failures in this time range.",
    ),
)

_MEANINGS = table(
    "What each failure means, and what to do",
    "Every result type that was reported in the time range, as `mailposture explain` describes it. Commands name the "
    "domain and the server that failed most.",
    rows(
        f"""
        SELECT
            if(meaning.severity = '', 'warning', meaning.severity) AS "Severity",
            result_type AS "Result type",
            any(title) AS "In short",
            topKWeighted(1)(receiving_mx, failed_sessions)[1] AS server,
            {questions.in_place("any(action)", "any(policy_domain)", "server")} AS "What to do",
            if(any(explanation) = '', 'No result type of the standard; see the reason codes.', any(explanation))
                AS "What it means",
            sum(failed_sessions) AS "Failed",
            min(day) AS "First day",
            max(day) AS "Last day",
            {untrusted_id("result_type")} AS result_id
        FROM tls_failures_daily
        LEFT JOIN (
            SELECT term, severity, title, explanation, action FROM failure_meanings WHERE kind = 'result-type'
        ) AS meaning ON term = result_type
        WHERE {IN_RANGE} AND {DOMAINS}
        GROUP BY result_type, meaning.severity
        ORDER BY {worst_first('"Severity"')}, "Failed" DESC
        LIMIT 50"""
    ),
    columns=(
        look.severity(),
        Column(
            name="Result type",
            width=190,
            links=(link("Explore these failures", "mailposture-failures", result=cell("result_id")),),
        ),
        Column(name="In short", width=150, wrap=True),
        Column(name="What to do", wrap=True),
        Column(name="What it means", width=330, wrap=True),
        look.count("Failed", width=80),
        look.day("First day"),
        look.day("Last day"),
        look.hidden("server"),
        look.hidden("result_id"),
    ),
    width=24,
    height=12,
    nothing="No failures in this time range.",
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: Domain",
        description="What senders report about encryption to one domain, what each failure means, and what to do.",
        variables=(*DATASOURCES, domain(several=False)),
        links=page_links(UID),
        rows=(
            Row(panels=(*_ANSWER, _WRONG_NOW)),
            Row(title="What our own probes see now", panels=_PROBED_NOW),
            Row(title="What fails, and when", panels=_OVER_TIME),
            Row(title="Where, and seen by whom", panels=_WHERE_AND_WHO),
            Row(title="Why, as far as our own probes can say", panels=_PROBES),
            Row(title="MTA-STS", panels=mode_panels.MODES),
            Row(title="What it means", panels=(_MEANINGS,)),
        ),
    )
