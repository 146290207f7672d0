"""How reports arrive: what came in, what became of it, how late it was, and what could not be used."""

from __future__ import annotations

from typing import Final

from dashboards.builders.common import look
from dashboards.builders.common.counters import an_hour, counted
from dashboards.builders.common.grafana import metric, rows, series
from dashboards.builders.common.panels import Column, graph, table

_ARRIVED: Final = (
    # Reports come up to weeks after their day; the day lets ClickHouse skip the rest.
    "$__timeFilter(received_at) AND day >= toDate($__fromTime, 'UTC') - 60 AND day <= toDate($__toTime, 'UTC')"
)

PANELS = (
    counted(
        "Received, by source",
        "Messages and posts per hour that were made durable in the spool.",
        (an_hour("mailposture_received_total", "source"), "{{source}}"),
        width=8,
    ),
    counted(
        "Stored, rejected, quarantined, deferred",
        "Reports per hour that were stored, by why they are trusted, and messages per hour that were rejected, "
        "quarantined, or deferred because DNS did not answer.",
        (an_hour("mailposture_reports_stored_total", "trust"), "stored ({{trust}})"),
        (an_hour("mailposture_rejected_total"), "rejected"),
        (an_hour("mailposture_quarantined_total"), "quarantined"),
        (an_hour("mailposture_deferred_total"), "deferred"),
        width=8,
        stacked=False,
        colors={
            "stored (dkim)": look.SUCCESSFUL,
            "stored (authserv)": "#56A64B",
            "stored (operator)": "#37872D",
            "stored (token)": "#96D98D",
            "stored (none)": "#9FA7B3",
            "rejected": look.FAILED,
            "quarantined": "#FF9830",
            "deferred": "#5794F2",
        },
    ),
    counted(
        "Refused connections and messages",
        "Clients per hour that were refused before anything was accepted, by source and reason. With reasons like a "
        "full disk, reports of senders that do not retry are lost.",
        (an_hour("mailposture_refused_total", "source", "reason"), "{{source}}: {{reason}}"),
        width=8,
        nothing="Nothing was refused in this time range",
    ),
    graph(
        "Reports by day of arrival, 30 days",
        "Reports that arrived on a day (UTC) of the last 30, by kind and source.",
        series(
            f"""
            SELECT toDate(received_at, 'UTC') AS time, concat(kind, ': ', source) AS way, count() AS Value
            FROM report_log
            WHERE {_ARRIVED}
            GROUP BY time, way
            ORDER BY time, way"""
        ),
        width=12,
        unit="locale",
        bars=True,
        stacked=True,
        time_from="30d",
        nothing="No report arrived in the last 30 days",
    ),
    graph(
        "From the report's day to its arrival, 30 days",
        "Hours from the end of a report's period to its arrival, by day of arrival. Half a day is normal. If all "
        "senders become later at once, look for a queue on our side.",
        series(
            f"""
            SELECT toDate(received_at, 'UTC') AS time,
                quantile(0.5)(delay_hours) AS "half of them within",
                quantile(0.95)(delay_hours) AS "95 of 100 within"
            FROM report_log
            WHERE {_ARRIVED}
            GROUP BY time
            ORDER BY time"""
        ),
        width=12,
        unit="suffix:h",
        minimum=0,
        time_from="30d",
        nothing="No report arrived in the last 30 days",
    ),
)

UNUSABLE = (
    table(
        "Rejections",
        "Messages without a usable report, the newest first. While the bytes are kept, `mailposture quarantine show "
        "ID` shows them.",
        rows(
            """
            SELECT
                received_at AS "Arrived",
                source AS "Source",
                reason AS "Reason",
                detail AS "What is wrong",
                messages AS "Messages",
                peer AS "From",
                size AS "Size",
                held_id AS "ID"
            FROM rejections
            WHERE $__timeFilter(received_at)
            ORDER BY received_at DESC
            LIMIT 500"""
        ),
        columns=(
            Column(name="Arrived", unit="time:YYYY-MM-DD HH:mm", width=140),
            Column(name="Source", width=70),
            Column(name="Reason", width=135),
            Column(name="What is wrong", room=260, inspect=True),
            Column(name="Messages", width=90),
            Column(name="From", width=125),
            Column(name="Size", unit="bytes", decimals=0, width=75),
            Column(name="ID", width=155, inspect=True),
        ),
        width=16,
        height=8,
        nothing="Nothing was rejected in this time range.",
    ),
    graph(
        "Rejected and quarantined, by reason",
        "Messages that held no usable report, or are not authenticated, in the hour before each point; and those of "
        "them that were dropped, because they were too old (age) or their sender sent too much (budget).",
        metric(
            "sum by (reason) (increase(mailposture_rejected_total[1h])) > 0", legend="rejected: {{reason}}", ref="A"
        ),
        metric(
            "sum by (reason) (increase(mailposture_quarantined_total[1h])) > 0",
            legend="quarantined: {{reason}}",
            ref="B",
        ),
        metric(
            "sum by (state, reason) (increase(mailposture_pruned_total[1h])) > 0",
            legend="dropped, {{state}}: {{reason}}",
            ref="C",
        ),
        width=8,
        unit="locale",
        axis="in the hour before",
        minimum=0,
        interval="5m",
        nothing="Nothing rejected or quarantined in this time range",
    ),
)
