"""Which MTA-STS mode the senders to a domain saw, day by day, and when it changed."""

from __future__ import annotations

from dashboards.builders.common import look
from dashboards.builders.common.grafana import rows, series
from dashboards.builders.common.panels import Column, states, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import (
    DOMAINS,
    REPORTER,
    REPORTER_NAME,
)
from dashboards.builders.tls import questions

MODES = (
    states(
        "MTA-STS mode that senders saw",
        "The mode of the MTA-STS policy in the reports of each sender that honours MTA-STS; without: most of its "
        "sessions were under no policy that day. Senders keep a policy until its max_age runs out or its id changes, "
        "so they see changes on different days.",
        series(
            f"""
            SELECT day AS time, {REPORTER_NAME} AS sender, argMax({look.MODE_NUMBER}, sessions) AS Value
            FROM (
                SELECT day, {REPORTER}, sts_mode, sum(successful_sessions + failed_sessions) AS sessions
                FROM tls_policies_daily
                WHERE {IN_RANGE} AND {DOMAINS} AND policy_type IN ('sts', 'no-policy-found')
                    AND ({REPORTER}) IN (
                        SELECT {REPORTER} FROM tls_policies_daily WHERE {IN_RANGE} AND {DOMAINS} AND sts_mode != ''
                    )
                GROUP BY day, {REPORTER}, sts_mode
            )
            GROUP BY time, sender
            ORDER BY time, sender"""
        ),
        width=16,
        height=9,
        mappings=(look.MODE_NUMBER_WORDS,),
        nothing="No sender saw an MTA-STS policy in this time range",
    ),
    table(
        "Changes of mode",
        "The first report day on which a sender saw another mode of the MTA-STS policy than before, and how many "
        "senders have seen the change since.",
        rows(questions.mode_changes(DOMAINS)),
        columns=(
            look.day("Day"),
            look.hidden("Domain"),
            Column(name="From", width=130, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            Column(name="To", width=130, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
            look.count("Senders", width=90),
        ),
        width=8,
        height=9,
        nothing="No change in this time range.",
    ),
)
