"""One report, chosen by its key: who sent it, why it is trusted, and its original."""

from __future__ import annotations

from typing import Final

from dashboards.builders.common.grafana import rows
from dashboards.builders.common.panels import Column, table
from dashboards.builders.common.scope import IN_RANGE
from reports.caption import caption

_REPORT: Final = "${report:singlequote}"

_NONE_CHOSEN: Final = "Click Show in the list above."

_FACTS: Final = {
    "Sender": caption("organization"),
    "Contact": "contact",
    "Domains": "arrayStringConcat(policy_domains, ', ')",
    "Period": "concat(formatDateTime(period_start, '%F %R'), ' to ', formatDateTime(period_end, '%F %R'))",
    "Arrived": (
        "concat(formatDateTime(received_at, '%F %R'), ', ', toString(round(delay_hours)), ' h after, by ', source)"
    ),
    "Trusted for": "toString(trust)",
    "Signed by": "dkim_domain",
    "Report id": "report_id",
    "Warnings": "arrayStringConcat(warnings, '; ')",
}
_LINES: Final = ",\n                ".join(f"('{name}', {value})" for name, value in _FACTS.items())

PANELS = (
    table(
        "The report",
        "Who sent the chosen report, when it came, and why it is trusted.",
        rows(
            f"""
            SELECT line.1 AS "Field", line.2 AS "Content"
            FROM tls_report_log
            ARRAY JOIN [
                {_LINES}
            ] AS line
            WHERE {IN_RANGE} AND report_key = {_REPORT}"""
        ),
        columns=(Column(name="Field", width=120), Column(name="Content", wrap=True, room=240, inspect=True)),
        width=10,
        height=12,
        nothing=_NONE_CHOSEN,
    ),
    table(
        "Its original",
        "The JSON of the chosen report as received.",
        rows(
            f"""
            SELECT original AS "As received"
            FROM tls_report_originals
            WHERE {IN_RANGE} AND report_key = {_REPORT}"""
        ),
        columns=(Column(name="As received", wrap=True, inspect=True),),
        width=14,
        height=12,
        nothing=_NONE_CHOSEN,
    ),
)
