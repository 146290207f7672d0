"""One report, chosen by its key: who sent it, why it is believed, and its original."""

from __future__ import annotations

from typing import Final

from dashboards.build.grafana import rows
from dashboards.build.panels import Column, table
from dashboards.build.questions import IN_RANGE

_REPORT: Final = "${report:singlequote}"

PANELS = (
    table(
        "The report",
        "Who sent the chosen report, when it came, and why it is believed.",
        rows(
            f"""
            SELECT
                organization AS "Sender",
                contact AS "Contact",
                report_id AS "Report id",
                concat(formatDateTime(period_start, '%F %R'), ' to ', formatDateTime(period_end, '%F %R')) AS "Period",
                formatDateTime(received_at, '%F %R') AS "Arrived",
                delay_hours AS "Delay",
                source AS "By",
                trust AS "Believed for",
                dkim_domain AS "Signed by",
                arrayStringConcat(policy_domains, ', ') AS "Domains",
                arrayStringConcat(warnings, '; ') AS "Warnings"
            FROM tls_report_log
            WHERE {IN_RANGE} AND report_key = {_REPORT}"""
        ),
        columns=(
            Column(name="Sender", width=170),
            Column(name="Contact", width=190),
            Column(name="Report id", width=250, inspect=True),
            Column(name="Period", width=270),
            Column(name="Arrived", width=135),
            Column(name="Delay", unit="suffix: h", decimals=0, width=75),
            Column(name="By", width=55),
            Column(name="Believed for", width=95),
            Column(name="Signed by", width=120),
            Column(name="Domains", width=115),
            Column(name="Warnings", inspect=True),
        ),
        width=24,
        height=4,
        nothing="Click a report in the list above.",
    ),
    table(
        "Its original",
        "The JSON of the chosen report as it came.",
        rows(
            f"""
            SELECT original AS "As received"
            FROM tls_report_originals
            WHERE {IN_RANGE} AND report_key = {_REPORT}"""
        ),
        columns=(Column(name="As received", wrap=True, inspect=True),),
        width=24,
        height=10,
        nothing="Click a report in the list above.",
    ),
)
