"""What our own probes saw, beside what senders report: words and panels that several dashboards share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import rows, series, words
from dashboards.builders.common.panels import UNKNOWN, Column, states, table
from dashboards.builders.common.scope import IN_RANGE

if TYPE_CHECKING:
    from dashboards.builders.common.grafana import Json, Panel

NO_PROBES: Final = (
    "No probe in this time range: probes are off (probes.enabled), or have not run yet, or the domain is parked."
)

STATE_NUMBER: Final = "multiIf(sum(probes) = 0, 0, sum(successes) = sum(probes), 3, sum(successes) = 0, 1, 2)"
"""SQL: how the probes of a day went, as a number, since text would be a label in a graph."""
STATE_NUMBER_WORDS: Final = words(
    {
        "3": ("good", look.SUCCESSFUL),
        "2": ("at fault at times", "#FF9830"),
        "1": ("at fault", look.FAILED),
        "0": ("not seen", UNKNOWN),
    }
)
_WITNESS: Final = words(
    {
        "good": ("All good", "#3F8A46"),
        "partly": ("Fault at times", "#B47A1E"),
        "fault": ("Fault", "#C4343F"),
        "unseen": ("No probe", UNKNOWN),
    }
)


def failures_beside_probes(where: str, *, domain: Column, height: int, nothing: str) -> Panel:
    """Each server that failed on a day, beside what our probes saw there on that day."""
    return table(
        "What our probes saw there that day",
        "Failures as senders report them, one row per day and receiving server, the most first, beside our own probes "
        "of that server (for policy failures: of the MTA-STS policy) on the same day. A fault: it is on our side, and "
        "can be fixed. All good while one sender fails: look at the sender, or at the path between. No probe: probes "
        "were off, or could not see it.",
        rows(
            f"""
            SELECT
                day AS "Day",
                policy_domain AS "Domain",
                if(receiving_mx = '', 'not named', receiving_mx) AS "Receiving server",
                topKWeighted(1)(category, failed_sessions)[1] AS "Cause",
                sum(failed_sessions) AS "Failed",
                if("Cause" = 'mta-sts-policy', any(policy_probes), any(probes)) AS made,
                if("Cause" = 'mta-sts-policy', any(policy_probe_successes), any(probe_successes)) AS content,
                multiIf(made = 0, 'unseen', content = made, 'good', content = 0, 'fault', 'partly') AS "Our probes",
                any(our_probes) AS "What they saw",
                uniqExact(reporter, reporter_proven) AS "Senders"
            FROM tls_failures_with_probes
            WHERE {where}
            GROUP BY day, policy_domain, receiving_mx
            ORDER BY "Failed" DESC, day DESC
            LIMIT 500"""
        ),
        columns=(
            look.day("Day"),
            domain,
            Column(name="Receiving server", width=190),
            look.category(width=135),
            look.count("Failed", width=75),
            Column(name="Our probes", width=125, cell=look.COLORED_CELL, mappings=(_WITNESS,)),
            Column(name="What they saw", wrap=True, inspect=True),
            look.count("Senders", width=80),
            look.hidden("made"),
            look.hidden("content"),
        ),
        width=24,
        height=height,
        nothing=nothing,
    )


def states_by_day(by: str, *, probe: str, domains: str, most: int) -> Json:
    """How the probes of each day went, a series for each value of a column: those with most faults."""
    return series(
        f"""
            SELECT day AS time, {by}, {STATE_NUMBER} AS Value
            FROM probe_results_daily
            WHERE {IN_RANGE} AND {domains} AND probe = '{probe}' AND {by} IN (
                SELECT {by}
                FROM probe_results_daily
                WHERE {IN_RANGE} AND {domains} AND probe = '{probe}'
                GROUP BY {by}
                ORDER BY sum(probes - successes) DESC, {by}
                LIMIT {most}
            )
            GROUP BY time, {by}
            ORDER BY time, {by}"""
    )


def servers_over_time(domains: str, *, width: int, height: int) -> Panel:
    """How each server of ours looked from outside."""
    return states(
        "Our servers, as probes saw them",
        "Each receiving server by day: good when every probe of the day found STARTTLS and a certificate that a "
        "sender accepts, not seen where outbound port 25 is closed for us. If there are more than twenty servers, "
        "those with most faults. Empty when probes are off.",
        states_by_day("receiving_mx", probe="mx", domains=domains, most=20),
        width=width,
        height=height,
        mappings=(STATE_NUMBER_WORDS,),
        nothing=NO_PROBES,
    )
