"""Collector health: whether reports get in and through, how late they are, and what could not be used.

The one dashboard whose time is the time of arrival.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.build import look
from dashboards.build.grafana import Dashboard, Panel, Row, metric, rows, series, steps, words
from dashboards.build.panels import Column, graph, stat, table
from dashboards.build.variables import DATASOURCES, DOMAINS, THIS_DOMAIN, domain, link, page_links

if TYPE_CHECKING:
    from collections.abc import Mapping

UID: Final = "mailposture-collector"
_ARRIVED: Final = (
    # Reports come up to weeks after their day; the day lets ClickHouse skip the rest.
    "$__timeFilter(received_at) AND day >= toDate($__fromTime, 'UTC') - 60 AND day <= toDate($__toTime, 'UTC')"
)
_NOT_SCRAPED: Final = "Not scraped"
_NO_METRICS: Final = "No metrics: is the collector scraped (job mailposture-collector)?"
_TO_DOMAIN = link("Open ${__value.text}", "mailposture-domain", domain=THIS_DOMAIN)
_UP = words({"1": ("up", look.GOOD), "0": ("down", look.BAD)})


def _rates(
    title: str,
    description: str,
    *expressions: tuple[str, str],
    width: int,
    stacked: bool = True,
    colors: Mapping[str, str] | None = None,
    nothing: str = _NO_METRICS,
) -> Panel:
    """Counts a minute."""
    return graph(
        title,
        description,
        *(
            metric(expression, legend=legend, ref=ref)
            for (expression, legend), ref in zip(expressions, "ABCDEF", strict=False)
        ),
        width=width,
        unit="cpm",
        minimum=0,
        stacked=stacked,
        fill=25,
        colors=colors,
        interval="1m",
        nothing=nothing,
    )


def _per_minute(counter: str, *labels: str) -> str:
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"60 * sum{by} (rate({counter}[$__rate_interval]))"


_ANSWER = (
    stat(
        "Now",
        "All good: reports are accepted, processed and stored, and the metrics about them are renewed.",
        metric(
            "min(mailposture_spool_accepting) * min(mailposture_ingest_up) * min(mailposture_clickhouse_up)"
            " * min(mailposture_reported_up)",
            now=True,
        ),
        width=5,
        unit="none",
        thresholds=steps((None, look.BAD), (1, look.GOOD)),
        mappings=(words({"1": ("All good", look.GOOD), "0": ("Trouble: see the parts", look.BAD)}),),
        nothing=_NOT_SCRAPED,
        filled=True,
        text_size=28,
    ),
    stat(
        "Parts",
        "Accepting: the disk has room, so senders are not turned away. Ingest: the process that reads the spool "
        "shows signs of life. ClickHouse: it takes what ingest writes; while it does not, the spool keeps all. "
        "Exporter: it reads the views.",
        metric("min(mailposture_spool_accepting)", legend="Accepting", now=True, ref="A"),
        metric("min(mailposture_ingest_up)", legend="Ingest", now=True, ref="B"),
        metric("min(mailposture_clickhouse_up)", legend="ClickHouse", now=True, ref="C"),
        metric("min(mailposture_reported_up)", legend="Exporter", now=True, ref="D"),
        width=7,
        unit="none",
        thresholds=steps((None, look.BAD), (1, look.GOOD)),
        mappings=(_UP,),
        nothing=_NOT_SCRAPED,
        names=True,
        text_size=22,
    ),
    stat(
        "In the spool",
        "Messages that are accepted and not yet stored. It rises while ClickHouse is away, and falls by itself after.",
        metric("sum(mailposture_spool_messages)", now=True),
        width=3,
        unit="locale",
        thresholds=steps((None, look.GOOD), (1000, "orange"), (100_000, look.BAD)),
        nothing=_NOT_SCRAPED,
    ),
    stat(
        "Queryable after",
        "99 of 100 reports of the time range could be queried within this time after they were accepted.",
        metric(
            "histogram_quantile(0.99, sum by (le) (rate(mailposture_queryable_seconds_bucket[$__range]))) > 0", now=True
        ),
        width=3,
        unit="s",
        decimals=1,
        thresholds=steps((None, look.GOOD), (10, "orange"), (300, look.BAD)),
        nothing="No reports",
    ),
    stat(
        "In quarantine",
        "Messages that nothing vouches for. `mailposture quarantine list` shows them.",
        metric('sum(mailposture_held_messages{state="quarantined"})', now=True),
        width=3,
        unit="locale",
        thresholds=steps((None, "text"), (1, "orange")),
        nothing=_NOT_SCRAPED,
    ),
    stat(
        "Last report",
        "When the newest report arrived.",
        rows("SELECT toDateTime64(max(last_received_at), 3, 'UTC') AS arrived FROM tls_freshness"),
        width=3,
        unit="dateTimeFromNow",
        numbers=False,
    ),
)

_ARRIVAL = (
    _rates(
        "Received, by source",
        "Messages and posts a minute that were made durable in the spool.",
        (_per_minute("mailposture_received_total", "source"), "{{source}}"),
        width=8,
    ),
    _rates(
        "What became of them",
        "Reports stored, by why they are believed, and messages rejected, quarantined, or put off because DNS did "
        "not answer.",
        (_per_minute("mailposture_reports_stored_total", "trust"), "stored ({{trust}})"),
        (_per_minute("mailposture_rejected_total"), "rejected"),
        (_per_minute("mailposture_quarantined_total"), "quarantined"),
        (_per_minute("mailposture_deferred_total"), "put off"),
        width=8,
        stacked=False,
        colors={
            "stored (dkim)": look.SUCCESSFUL,
            "stored (operator)": "#37872D",
            "stored (token)": "#96D98D",
            "stored (none)": "#9FA7B3",
            "rejected": look.FAILED,
            "quarantined": "#FF9830",
            "put off": "#5794F2",
        },
    ),
    _rates(
        "Turned away",
        "Peers turned away before anything was accepted, by source and reason. Reasons like a full disk lose reports "
        "of senders that do not try again.",
        (_per_minute("mailposture_refused_total", "source", "reason"), "{{source}}: {{reason}}"),
        width=8,
        nothing="Nobody was turned away in this time range",
    ),
    graph(
        "Reports by day of arrival, 30 days",
        "Reports that arrived on a day (UTC) of the last 30, by source.",
        series(
            f"""
            SELECT toDate(received_at, 'UTC') AS time, source, count() AS Value
            FROM tls_report_log
            WHERE {_ARRIVED}
            GROUP BY time, source
            ORDER BY time, source"""
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
        "Time from the end of a report's period to its arrival, by day of arrival. Half a day is usual. If all "
        "senders become later at once, look for a queue on our side.",
        series(
            f"""
            SELECT toDate(received_at, 'UTC') AS time,
                quantile(0.5)(delay_hours) AS "half of them within",
                quantile(0.95)(delay_hours) AS "95 of 100 within"
            FROM tls_report_log
            WHERE {_ARRIVED}
            GROUP BY time
            ORDER BY time"""
        ),
        width=12,
        unit="h",
        minimum=0,
        time_from="30d",
        nothing="No report arrived in the last 30 days",
    ),
)

_UNUSABLE = (
    table(
        "Rejections",
        "Messages without a usable report, the newest first. The bytes are kept: `mailposture quarantine show ID`.",
        rows(
            """
            SELECT
                received_at AS "Arrived",
                source AS "Source",
                reason AS "Reason",
                detail AS "What is wrong",
                peer AS "From",
                size AS "Size",
                held_id AS "ID"
            FROM rejections FINAL
            WHERE $__timeFilter(received_at)
            ORDER BY received_at DESC
            LIMIT 500"""
        ),
        columns=(
            Column(name="Arrived", unit="time:YYYY-MM-DD HH:mm", width=140),
            Column(name="Source", width=70),
            Column(name="Reason", width=135),
            Column(name="What is wrong", inspect=True),
            Column(name="From", width=125),
            Column(name="Size", unit="bytes", decimals=0, width=75),
            Column(name="ID", width=130, inspect=True),
        ),
        width=16,
        height=8,
        nothing="Nothing was rejected in this time range.",
    ),
    graph(
        "Rejected and quarantined, by reason",
        "Messages an hour that held no usable report, or that nothing vouches for.",
        metric(
            "sum by (reason) (increase(mailposture_rejected_total[1h])) > 0", legend="rejected: {{reason}}", ref="A"
        ),
        metric(
            "sum by (reason) (increase(mailposture_quarantined_total[1h])) > 0",
            legend="quarantined: {{reason}}",
            ref="B",
        ),
        width=8,
        unit="locale",
        minimum=0,
        interval="1m",
        nothing="Nothing rejected or quarantined in this time range",
    ),
)

_INSIDE = (
    graph(
        "Spool",
        "Messages that wait, among them those put off until DNS answers for their DKIM keys.",
        metric("sum(mailposture_spool_messages)", legend="waiting", ref="A"),
        metric("sum(mailposture_spool_deferred_messages)", legend="of them put off", ref="B"),
        width=6,
        unit="locale",
        minimum=0,
        fill=10,
        interval="1m",
        nothing=_NO_METRICS,
    ),
    graph(
        "Oldest in the spool",
        "Age of the message that has waited longest.",
        metric("max(mailposture_spool_oldest_seconds)", legend="oldest"),
        width=6,
        unit="s",
        minimum=0,
        fill=10,
        interval="1m",
        nothing=_NO_METRICS,
    ),
    graph(
        "From acceptance to queryable",
        "Time from accepting a report to its rows being in ClickHouse.",
        metric(
            "histogram_quantile(0.5, sum by (le) (rate(mailposture_queryable_seconds_bucket[$__rate_interval])))",
            legend="half of them within",
            ref="A",
        ),
        metric(
            "histogram_quantile(0.99, sum by (le) (rate(mailposture_queryable_seconds_bucket[$__rate_interval])))",
            legend="99 of 100 within",
            ref="B",
        ),
        width=6,
        unit="s",
        minimum=0,
        interval="1m",
        nothing="No report was stored in this time range",
    ),
    _rates(
        "Batches written to ClickHouse",
        "Batches a minute, by outcome. Failed ones are tried again until ClickHouse has them.",
        (_per_minute("mailposture_insert_batches_total", "outcome"), "{{outcome}}"),
        width=6,
        colors={"stored": look.SUCCESSFUL, "failed": look.FAILED},
    ),
    graph(
        "Bytes waiting and held back",
        "Disk space of what waits in the spool and of what is kept: quarantine and rejected messages.",
        metric("sum(mailposture_spool_bytes)", legend="waiting", ref="A"),
        metric("sum by (state) (mailposture_held_bytes)", legend="{{state}}", ref="B"),
        width=12,
        unit="bytes",
        minimum=0,
        interval="1m",
        nothing=_NO_METRICS,
    ),
    graph(
        "Age of the exporter's numbers",
        "How old the metrics about reports are. They are renewed each minute; the old ones stay while ClickHouse is "
        "away.",
        metric("max(mailposture_reported_age_seconds)", legend="age", ref="A"),
        metric("max(mailposture_reported_refresh_duration_seconds)", legend="time to renew", ref="B"),
        width=12,
        unit="s",
        minimum=0,
        interval="1m",
        nothing="No metrics: is the exporter scraped (job mailposture-exporter)?",
    ),
)

_FRESHNESS = table(
    "Freshness by domain",
    "When each of our domains was last reported about, longest ago first. Missing: is its record _smtp._tls published?",
    rows(
        f"""
        SELECT
            policy_domain AS "Domain",
            team AS "Team",
            multiIf(last_report_day IS NULL, 'never', late > stale_after_seconds, 'missing', 'fresh') AS "State",
            last_report_day AS "Last report day",
            last_received_at AS "Last arrival",
            organizations_last_7_days AS "Senders, 7 days",
            reports_last_7_days AS "Reports, 7 days"
        FROM (
            SELECT *, dateDiff('second', toDateTime(ifNull(last_report_day, toDate(0)) + 1, 'UTC'), now()) AS late
            FROM tls_freshness
            WHERE {DOMAINS}
        ) AS freshness
        INNER JOIN domains USING (policy_domain)
        ORDER BY indexOf(['missing', 'never', 'fresh'], "State"), last_report_day
        LIMIT 500"""
    ),
    columns=(
        Column(name="Domain", links=(_TO_DOMAIN,), width=260),
        Column(name="Team", width=150),
        Column(
            name="State",
            width=130,
            cell=look.COLORED_CELL,
            mappings=(
                words(
                    {
                        "fresh": ("Fresh", "#3F8A46"),
                        "missing": ("Missing", "red"),
                        "never": ("No report yet", "#6E7582"),
                    }
                ),
            ),
        ),
        look.day("Last report day"),
        Column(name="Last arrival", unit="dateTimeFromNow"),
        look.count("Senders, 7 days", width=150),
        look.count("Reports, 7 days", width=150),
    ),
    width=24,
    height=9,
    nothing="No domain is configured for this choice.",
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: Collector health",
        description="Whether reports get in and through, how late they are, and what could not be used.",
        variables=(*DATASOURCES, domain(several=True)),
        links=page_links(UID),
        time_from="now-24h",
        rows=(
            Row(panels=_ANSWER),
            Row(title="Arrival", panels=_ARRIVAL),
            Row(title="What could not be used", panels=_UNUSABLE),
            Row(title="Spool, storage and exporter", panels=_INSIDE),
            Row(title="Freshness", panels=(_FRESHNESS,)),
        ),
    )
