"""The row about parked domains: what is sent in their name is abuse. Was it blocked, and if not, what is weak?"""

from __future__ import annotations

from typing import Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import Row, rows, series
from dashboards.builders.common.panels import Column, graph, table
from dashboards.builders.common.scope import IN_RANGE, OF_TEAM
from dashboards.builders.common.variables import END
from dashboards.builders.dmarc.shared_panels import DOMAIN, SOURCE, SOURCE_ID, warned

_PARKED: Final = f"{OF_TEAM} AND policy_domain IN (SELECT policy_domain FROM domains WHERE parked)"
_BLOCKED: Final = "sum(quarantined_messages + rejected_messages)"
_FORGED_DELIVERED: Final = "sumIf(delivered_messages, passed_messages = 0)"
_NOTHING: Final = "Nobody sent mail in the name of a parked domain in this time range, or none is configured."


_DOMAINS = table(
    "Parked domains: what is sent in their name, and which record is weak",
    "Domains that neither take nor send mail, in the time range: whatever has them in From is abuse. Blocked is what "
    "the records are for. Delivered, forged: receivers found no policy that asks to reject it, or did so all the same. "
    "Authenticates: somebody has set up a sender. Weak records: what our probes find missing or weak at the end of the "
    "time range (`mailposture check DOMAIN`). Those with anything to do first, then those with most abuse.",
    rows(
        f"""
        SELECT
            policy_domain AS "Domain",
            weak AS "Weak records",
            blocked AS "Blocked",
            delivered AS "Delivered, forged",
            passed AS "Authenticates",
            policies AS "Policies found",
            last_day AS "Last day",
            why AS "What is weak"
        FROM (SELECT policy_domain FROM domains WHERE parked) AS parked
        LEFT JOIN (
            SELECT
                policy_domain,
                {_BLOCKED} AS blocked,
                {_FORGED_DELIVERED} AS delivered,
                sum(passed_messages) AS passed,
                arrayStringConcat(arraySort(groupUniqArrayIf(toString(published_policy), published_policy != '')), ', ')
                    AS policies,
                max(day) AS last_day
            FROM dmarc_sources_daily
            WHERE {IN_RANGE} AND {_PARKED}
            GROUP BY policy_domain
        ) AS mail USING (policy_domain)
        LEFT JOIN (
            SELECT
                policy_domain,
                arrayStringConcat(
                    arraySort(groupUniqArray(concat(subject, if(acknowledged, ' (acknowledged)', '')))), ', '
                ) AS weak,
                countIf(NOT acknowledged) AS open,
                arrayStringConcat(groupUniqArray(concat(subject, ': ', detail)), '; ') AS why
            FROM attention_at(end = {END})
            WHERE cause = 'parked-unprotected' AND {OF_TEAM}
            GROUP BY policy_domain
        ) AS records USING (policy_domain)
        WHERE {OF_TEAM}
        ORDER BY
            "Authenticates" > 0 DESC, "Delivered, forged" > 0 DESC, open > 0 DESC, "Weak records" != '' DESC,
            "Blocked" + "Delivered, forged" + "Authenticates" DESC, "Domain"
        LIMIT 200"""
    ),
    columns=(
        DOMAIN,
        Column(name="Weak records", width=120, wrap=True),
        look.count("Blocked", width=80),
        warned("Delivered, forged", "orange", width=135),
        warned("Authenticates", "red", width=110),
        Column(name="Policies found", width=120),
        look.day("Last day"),
        Column(name="What is weak", wrap=True, room=240, inspect=True),
    ),
    width=24,
    height=7,
    nothing="No domain is configured as parked (`parked: true`, docs/parked.md).",
)

_DAYS = graph(
    "Abuse of parked domains, by day",
    "Messages per report day in the name of parked domains, by what receivers did.",
    series(
        f"""
        SELECT
            day AS time,
            {_BLOCKED} AS "Blocked",
            {_FORGED_DELIVERED} AS "Delivered, forged",
            sum(passed_messages) AS "Authenticates"
        FROM dmarc_sources_daily
        WHERE {IN_RANGE} AND {_PARKED}
        GROUP BY time
        ORDER BY time"""
    ),
    width=10,
    height=9,
    unit="locale",
    bars=True,
    stacked=True,
    colors={"Blocked": "#9FA7B3", "Delivered, forged": "#FF9830", "Authenticates": "#E0464F"},
    totals=("sum",),
    nothing=_NOTHING,
)

_SOURCES = table(
    "Who abuses parked domains",
    "Sources of that mail, those first whose mail authenticates or was delivered. Policy: what receivers found for the "
    "domain in From: `p`, or `sp` for names below. Click one for its addresses.",
    rows(
        f"""
        SELECT
            source AS "Source",
            {SOURCE_ID},
            policy_domain AS "Domain",
            header_from AS "In From",
            arrayStringConcat(arraySort(groupUniqArray(toString(published_policy))), ', ') AS "Policy",
            {_BLOCKED} AS "Blocked",
            {_FORGED_DELIVERED} AS "Delivered, forged",
            sum(passed_messages) AS "Authenticates",
            max(day) AS "Last day"
        FROM dmarc_sources_daily
        WHERE {IN_RANGE} AND {_PARKED}
        GROUP BY source, policy_domain, header_from
        ORDER BY "Authenticates" DESC, "Delivered, forged" DESC, "Blocked" DESC, "Source", "Domain"
        LIMIT 200"""
    ),
    columns=(
        SOURCE,
        look.hidden("source_id"),
        DOMAIN,
        Column(name="In From", wrap=True, room=130),
        Column(name="Policy", width=90),
        look.count("Blocked", width=75),
        warned("Delivered, forged", "orange", width=125),
        warned("Authenticates", "red", width=105),
        look.day("Last day"),
    ),
    width=14,
    height=9,
    nothing=_NOTHING,
)

ROW: Final = Row(title="Parked domains: all mail in their name is abuse", panels=(_DOMAINS, _DAYS, _SOURCES))
