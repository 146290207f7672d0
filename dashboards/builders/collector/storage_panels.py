"""Between acceptance and answers: the spool, the writes to ClickHouse, and the exporter that reads it."""

from __future__ import annotations

from dashboards.builders.common import look
from dashboards.builders.common.counters import NO_METRICS, an_hour, counted, not_scraped
from dashboards.builders.common.grafana import metric
from dashboards.builders.common.panels import graph

_EXPORTER_NOT_SCRAPED = not_scraped("exporter")

PANELS = (
    graph(
        "Spool",
        "Messages that wait, among them those deferred until DNS answers for their DKIM keys.",
        metric("sum(mailposture_spool_messages)", legend="waiting", ref="A"),
        metric("sum(mailposture_spool_deferred_messages)", legend="of them deferred", ref="B"),
        width=8,
        unit="locale",
        minimum=0,
        fill=10,
        interval="1m",
        nothing=NO_METRICS,
    ),
    graph(
        "Oldest in the spool",
        "Age of the message that has waited longest, as hours:minutes:seconds.",
        metric("max(mailposture_spool_oldest_seconds)", legend="oldest"),
        width=8,
        unit="dthms",
        minimum=0,
        soft_maximum=60,  # less than a minute is nothing to look at
        fill=10,
        interval="1m",
        nothing=NO_METRICS,
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
        width=8,
        unit="suffix:s",
        minimum=0,
        interval="1m",
        nothing="No report was stored in this time range",
    ),
    counted(
        "Batches written",
        "Batches per hour that were sent to ClickHouse, by outcome. Failed ones are retried until ClickHouse has "
        "them; a rejected one is retried in halves, to find the message that it does not accept.",
        (an_hour("mailposture_insert_batches_total", "outcome"), "{{outcome}}"),
        width=6,
        colors={"stored": look.SUCCESSFUL, "failed": look.FAILED, "refused": "#FF9830"},
    ),
    graph(
        "Bytes kept",
        "Disk space of messages that wait in the spool, are deferred there until DNS answers, or are quarantined or "
        "rejected. Unauthenticated messages are bounded: spool.deferred_size and spool.held_size.",
        metric("sum(mailposture_spool_bytes)", legend="waiting", ref="A"),
        metric("sum(mailposture_spool_deferred_bytes)", legend="of them deferred", ref="B"),
        metric("sum by (state) (mailposture_held_bytes)", legend="{{state}}", ref="C"),
        width=6,
        unit="bytes",
        minimum=0,
        interval="1m",
        nothing=NO_METRICS,
    ),
    graph(
        "Age of the numbers",
        "How old the exporter's metrics about reports are, as hours:minutes:seconds. They are renewed every minute; "
        "the old ones stay while ClickHouse is down.",
        metric("max(mailposture_reported_age_seconds)", legend="age"),
        width=6,
        unit="dthms",
        minimum=0,
        soft_maximum=60,  # less than a minute is nothing to look at
        interval="1m",
        nothing=_EXPORTER_NOT_SCRAPED,
    ),
    graph(
        "Time to renew them",
        "How long the exporter's queries took, in total. Above a minute, the numbers lag behind.",
        metric("max(mailposture_reported_refresh_duration_seconds)", legend="time to renew"),
        width=6,
        unit="suffix:s",
        minimum=0,
        interval="1m",
        nothing=_EXPORTER_NOT_SCRAPED,
    ),
)
