"""Senders: who sees failures that others do not, and suspected downgrades with their evidence."""

from __future__ import annotations

from typing import Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import Dashboard, Row, fixed, rows, series, steps, words
from dashboards.builders.common.panels import NUMBER_HEIGHT, NUMBER_WIDTH, Column, graph, stat, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import (
    DATASOURCES,
    DOMAINS,
    REPORTER,
    REPORTER_ID,
    REPORTER_NAME,
    THIS_DOMAIN,
    cell,
    chosen_reporter,
    domain,
    link,
    page_links,
    reporters_choice,
)
from dashboards.builders.tls import questions
from dashboards.builders.tls.suspicion_panels import SUSPICIONS
from reports.caption import caption

UID: Final = "mailposture-senders"
_CHOSEN: Final = f"{IN_RANGE} AND {DOMAINS} AND {chosen_reporter()}"
_TO_DOMAIN = link("Open ${__value.text}", "mailposture-domain", domain=THIS_DOMAIN)
_TO_FAILURES = link("Failures that it reports", "mailposture-failures", domain=THIS_DOMAIN, sender=cell("sender_id"))

_NOBODY_REPORTS: Final = f"(SELECT count() FROM tls_sender_daily WHERE {_CHOSEN}) = 0"

_ANSWER = (
    stat(
        "Suspected downgrades",
        "Senders that had used TLS with us before and saw no STARTTLS on a day of the time range, or are likely kept "
        "from our enforced MTA-STS policy, where the evidence does not point at our own server. The tables below have "
        "the evidence. These are suspicions, not proof.",
        rows(
            f"""
            SELECT if({_NOBODY_REPORTS}, NULL, uniqExact({REPORTER})) AS senders
            FROM (
                SELECT {REPORTER} FROM tls_suspected_downgrades WHERE {_CHOSEN} AND likelihood != 'server-fault'
                UNION ALL
                SELECT {REPORTER} FROM mta_sts_suspected_downgrades WHERE {_CHOSEN} AND likelihood = 'likely'
            )"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="suffix:senders suspected",
        decimals=0,
        thresholds=steps((None, look.GOOD), (1, look.BAD)),
        mappings=(words({"0": ("None suspected", look.GOOD), "1": ("1 sender suspected", look.BAD)}),),
        filled=True,
        text_size=22,
    ),
    stat(
        "See failures that others do not",
        "Pairs of a sender and a domain where the sender's share of failures is at least three times that of all "
        "others together, with at least the domain's minimum of failed sessions.",
        rows(
            f"""
            SELECT if({_NOBODY_REPORTS}, NULL, count()) AS senders
            FROM ({questions.lonely_failures(_CHOSEN, f"{IN_RANGE} AND {DOMAINS}")})"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="locale",
        thresholds=steps((None, look.GOOD), (1, "orange")),
        mappings=(words({"0": ("none", look.GOOD)}),),
    ),
    stat(
        "Senders that report",
        "Organizations with a report about the time range.",
        rows(f"SELECT nullIf(uniqExact({REPORTER}), 0) AS senders FROM tls_sender_daily WHERE {_CHOSEN}"),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="locale",
    ),
    stat(
        "Honour MTA-STS",
        "Senders that applied an MTA-STS policy to at least one session.",
        rows(
            f"""
            SELECT if({_NOBODY_REPORTS}, NULL, uniqExact({REPORTER})) AS senders
            FROM tls_policies_daily
            WHERE {_CHOSEN} AND policy_type = 'sts'"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="locale",
    ),
    stat(
        "Honour DANE",
        "Senders that applied DANE to at least one session.",
        rows(
            f"""
            SELECT if({_NOBODY_REPORTS}, NULL, uniqExact({REPORTER})) AS senders
            FROM tls_policies_daily
            WHERE {_CHOSEN} AND policy_type = 'tlsa'"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="locale",
    ),
    stat(
        "Reports after",
        "Median time from the end of a report's period to its arrival.",
        rows(
            f"""
            SELECT multiIf(
                count() = 0, NULL,
                median(delay_hours) < 48, concat(toString(round(median(delay_hours))), ' hours'),
                concat(toString(round(median(delay_hours) / 24)), ' days')) AS delay
            FROM tls_report_log
            WHERE {IN_RANGE} AND {chosen_reporter()}"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="string",
        numbers=False,
    ),
)

_LONELY = table(
    "Senders that see failures which others do not",
    "Share of failed sessions of a sender to a domain, beside that of all other senders to the same domain. Only one "
    "sender: often its own trust store, resolver or network, or the path in between. Many: look at the server first. "
    "Click a sender for its failures.",
    rows(
        f"""
        SELECT
            {caption("organization")} AS "Sender",
            policy_domain AS "Domain",
            cause AS "Cause",
            failed AS "Failed",
            share AS "Its share failed",
            share_of_others AS "Share of the others",
            others AS "Other senders",
            others_failing AS "Of them failing",
            last_day AS "Last day",
            {REPORTER_ID} AS sender_id
        FROM ({questions.lonely_failures(_CHOSEN, f"{IN_RANGE} AND {DOMAINS}")})
        ORDER BY share DESC
        LIMIT 200"""
    ),
    columns=(
        Column(name="Sender", room=190, wrap=True, links=(_TO_FAILURES,)),
        Column(name="Domain", room=150, links=(_TO_DOMAIN,)),
        look.category(),
        look.failed(width=200),
        Column(
            name="Its share failed",
            unit="percentunit",
            decimals=1,
            width=130,
            cell=look.COLORED_TEXT,
            color=fixed(look.FAILED),
        ),
        Column(name="Share of the others", unit="percentunit", decimals=2, width=155),
        look.count("Other senders", width=125),
        look.count("Of them failing", width=130),
        look.day("Last day"),
        look.hidden("sender_id"),
    ),
    width=24,
    height=6,
    nothing="No sender stands out in this time range.",
)

_OVER_TIME = (
    graph(
        "Sessions with TLS by sender",
        "Share of successful sessions per report day, of the ten senders with most sessions in the time range.",
        series(
            f"""
            SELECT day AS time, {REPORTER_NAME} AS sender, {questions.rate()} AS Value
            FROM tls_sender_daily
            WHERE {_CHOSEN} AND ({REPORTER}) IN (
                SELECT {REPORTER}
                FROM tls_sender_daily
                WHERE {_CHOSEN}
                GROUP BY {REPORTER}
                ORDER BY sum(successful_sessions + failed_sessions) DESC
                LIMIT 10
            )
            GROUP BY time, sender
            ORDER BY time, sender"""
        ),
        width=12,
        height=9,
        unit="percentunit",
        soft_minimum=0.9,
        maximum=1,
        legend="right",
        totals=("min",),
    ),
    graph(
        "Failed sessions by sender",
        "Failed sessions per report day, of the ten senders with most failures in the time range.",
        series(
            f"""
            SELECT day AS time, {REPORTER_NAME} AS sender, sum(failed_sessions) AS Value
            FROM tls_sender_daily
            WHERE {_CHOSEN} AND ({REPORTER}) IN (
                SELECT {REPORTER}
                FROM tls_sender_daily
                WHERE {_CHOSEN}
                GROUP BY {REPORTER}
                HAVING sum(failed_sessions) > 0
                ORDER BY sum(failed_sessions) DESC
                LIMIT 10
            )
            GROUP BY time, sender
            ORDER BY time, sender"""
        ),
        width=12,
        height=9,
        unit="locale",
        bars=True,
        stacked=True,
        legend="right",
        totals=("sum",),
        nothing="No failures in this time range",
    ),
)

_ALL = table(
    "All senders",
    "Organizations that reported about the time range. Applies: the policies that it applied to at least one "
    "session. Some senders report failures only: they have no sessions with TLS. Reports after: median time from the "
    "end of the period to arrival.",
    rows(
        f"""
        SELECT
            {caption("organization")} AS "Sender",
            domains AS "Domains",
            sessions AS "Sessions",
            rate AS "With TLS",
            failed AS "Failed",
            failing AS "Failing domains",
            applies AS "Applies",
            delay AS "Reports after",
            first_day AS "First day",
            last_day AS "Last day",
            {REPORTER_ID} AS sender_id
        FROM (
            SELECT
                {REPORTER},
                any(organization) AS organization,
                uniqExact(policy_domain) AS domains,
                sum(successful_sessions + failed_sessions) AS sessions,
                {questions.rate()} AS rate,
                sum(failed_sessions) AS failed,
                uniqExactIf(policy_domain, failed_sessions > 0) AS failing,
                min(day) AS first_day,
                max(day) AS last_day
            FROM tls_sender_daily
            WHERE {_CHOSEN}
            GROUP BY {REPORTER}
        ) AS sums
        LEFT JOIN (
            SELECT {REPORTER},
                arrayStringConcat(arraySort(groupUniqArray({look.POLICY_TYPE_NAME})), ', ') AS applies
            FROM tls_policies_daily
            WHERE {_CHOSEN}
            GROUP BY {REPORTER}
        ) AS policies USING ({REPORTER})
        LEFT JOIN (
            SELECT {REPORTER}, median(delay_hours) / 24 AS delay
            FROM tls_report_log
            WHERE {IN_RANGE} AND {chosen_reporter()}
            GROUP BY {REPORTER}
        ) AS delays USING ({REPORTER})
        ORDER BY sessions DESC
        LIMIT 500"""
    ),
    columns=(
        Column(
            name="Sender",
            room=205,
            wrap=True,
            links=(link("Failures that it reports", "mailposture-failures", sender=cell("sender_id")),),
        ),
        look.count("Domains", width=85),
        look.count("Sessions", width=110),
        look.rate("With TLS"),
        look.failed(width=200),
        look.count("Failing domains", width=125),
        Column(name="Applies", room=200),
        Column(name="Reports after", unit="suffix:days", decimals=1, width=120),
        look.day("First day"),
        look.day("Last day"),
        look.hidden("sender_id"),
    ),
    width=24,
    height=11,
    nothing="Nobody reported about this time range.",
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: Senders",
        description="Organizations that see failures which others do not; suspected downgrades with their evidence.",
        variables=(
            *DATASOURCES,
            domain(several=True),
            reporters_choice(DOMAINS),
        ),
        links=page_links(UID),
        rows=(
            Row(panels=(*_ANSWER, *SUSPICIONS, _LONELY)),
            Row(title="Over time", panels=_OVER_TIME),
            Row(title="Who reports", panels=(_ALL,)),
        ),
    )
