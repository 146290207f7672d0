"""Collector health: whether reports get in and through, how late they are, and what could not be used.

The one dashboard whose time is the time of arrival.
"""

from __future__ import annotations

from typing import Final

from dashboards.builders.collector import arrival_panels, mailbox_panels, storage_panels
from dashboards.builders.common import look
from dashboards.builders.common.grafana import Dashboard, Row, metric, rows, steps, words
from dashboards.builders.common.panels import UNKNOWN, Column, stat, table
from dashboards.builders.common.variables import DATASOURCES, DOMAINS, THIS_DOMAIN, domain, link, page_links

UID: Final = "mailposture-collector"
_NOT_SCRAPED: Final = "Not scraped"
_TO_DOMAIN = link("Open ${__value.text}", "mailposture-domain", domain=THIS_DOMAIN)
_LAST_REPORTS: Final = "SELECT 'tls' AS kind, * FROM tls_freshness UNION ALL SELECT 'dmarc', * FROM dmarc_freshness"
_UP = words({"1": ("up", look.GOOD), "0": ("down", look.BAD)})

_ANSWER = (
    stat(
        "Now",
        "All good: reports are accepted, processed and stored, each mailbox can be read, and the metrics are renewed.",
        metric(
            "min(mailposture_spool_accepting) * min(mailposture_ingest_up) * min(mailposture_clickhouse_up)"
            " * min(mailposture_reported_up) * (min(mailposture_mailbox_up) or vector(1))",
            now=True,
        ),
        width=8,
        unit="none",
        thresholds=steps((None, look.BAD), (1, look.GOOD)),
        mappings=(words({"1": ("All good", look.GOOD), "0": ("Trouble: see Parts", look.BAD)}),),
        nothing=_NOT_SCRAPED,
        filled=True,
        text_size=28,
    ),
    stat(
        "Parts",
        "Accepting: the disk has room, so senders are not refused. Ingest: the process that reads the spool is alive. "
        "ClickHouse: it accepts what ingest writes; while it does not, the spool keeps everything. Exporter: it can "
        "query the views. Mailboxes: all of them can be read.",
        metric("min(mailposture_spool_accepting)", legend="Accepting", now=True, ref="A"),
        metric("min(mailposture_ingest_up)", legend="Ingest", now=True, ref="B"),
        metric("min(mailposture_clickhouse_up)", legend="ClickHouse", now=True, ref="C"),
        metric("min(mailposture_reported_up)", legend="Exporter", now=True, ref="D"),
        metric("min(mailposture_mailbox_up)", legend="Mailboxes", now=True, ref="E"),
        width=16,
        unit="none",
        thresholds=steps((None, look.BAD), (1, look.GOOD)),
        mappings=(_UP,),
        nothing=_NOT_SCRAPED,
        names=True,
        text_size=22,
    ),
    stat(
        "In the spool",
        "Messages that are accepted and not yet stored. It grows while ClickHouse is down, and drains automatically "
        "afterwards.",
        metric("sum(mailposture_spool_messages)", now=True),
        width=6,
        height=3,
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
        width=6,
        height=3,
        unit="s",
        decimals=1,
        thresholds=steps((None, look.GOOD), (10, "orange"), (300, look.BAD)),
        nothing="No reports",
    ),
    stat(
        "In quarantine",
        "Reports that are not authenticated, until they are released, discarded or too old. `mailposture quarantine "
        "list` shows them.",
        metric('sum(mailposture_held_messages{state="quarantined"})', now=True),
        width=6,
        height=3,
        unit="locale",
        thresholds=steps((None, "text"), (1, "orange")),
        nothing=_NOT_SCRAPED,
    ),
    stat(
        "Last report",
        "When the newest report of any kind arrived.",
        rows(f"SELECT toDateTime64(max(last_received_at), 3, 'UTC') AS arrived FROM ({_LAST_REPORTS})"),
        width=6,
        height=3,
        unit="dateTimeFromNow",
        numbers=False,
    ),
)

_FRESHNESS = table(
    "Freshness by domain",
    "When each of the chosen domains was last reported about in TLS and in DMARC reports, by reporters that count in "
    "alerts; first those of which alerts say that reports are missing: for longer than the domain's threshold, days "
    "without usual reports left out. None is expected about a parked domain. Missing: are its records _smtp._tls and "
    "_dmarc published? `mailposture check DOMAIN` checks that.",
    rows(
        f"""
        SELECT
            policy_domain AS "Domain",
            upper(kind) AS "Reports",
            multiIf(parked, 'parked', acknowledged, 'known', cause IN ('no-reports', 'dmarc-no-reports'), 'missing',
                last_report_day IS NULL, 'never', 'fresh') AS "State",
            last_report_day AS "Last report day",
            last_received_at AS "Last arrival",
            reporters_last_7_days AS "Senders, 7 days",
            reports_last_7_days AS "Reports, 7 days",
            team AS "Team"
        FROM (SELECT * FROM ({_LAST_REPORTS}) WHERE {DOMAINS}) AS freshness
        INNER JOIN domains USING (policy_domain)
        LEFT JOIN (
            SELECT policy_domain, toString(kind) AS kind, cause, acknowledged
            FROM attention
            WHERE cause IN ('no-reports', 'never-reported', 'dmarc-no-reports') AND {DOMAINS}
        ) AS silent USING (policy_domain, kind)
        ORDER BY
            indexOf(['missing', 'known', 'never', 'fresh', 'parked'], "State"),
            last_report_day, "Domain", "Reports"
        LIMIT 500"""
    ),
    columns=(
        Column(name="Domain", links=(_TO_DOMAIN,), room=260),
        Column(name="Reports", width=90),
        Column(
            name="State",
            width=130,
            cell=look.COLORED_CELL,
            mappings=(
                words(
                    {
                        "fresh": ("Fresh", "#3F8A46"),
                        "missing": ("Missing", "red"),
                        "known": ("Acknowledged", UNKNOWN),
                        "parked": ("None expected", UNKNOWN),
                        "never": ("No report yet", UNKNOWN),
                    }
                ),
            ),
        ),
        look.day("Last report day"),
        Column(name="Last arrival", unit="dateTimeFromNow", width=150),
        look.count("Senders, 7 days", width=150),
        look.count("Reports, 7 days", width=150),
        Column(name="Team", room=120),
    ),
    width=24,
    height=9,
    nothing="No domain is configured for this choice.",
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: Collector health",
        description="Whether reports arrive and are stored, how late they are, and what was rejected or quarantined.",
        variables=(*DATASOURCES, domain(several=True)),
        links=page_links(UID),
        time_from="now-24h",
        rows=(
            Row(panels=_ANSWER),
            Row(title="Arrival", panels=arrival_panels.PANELS),
            Row(title="Mailboxes", panels=mailbox_panels.PANELS),
            Row(title="Rejected and quarantined", panels=arrival_panels.UNUSABLE),
            Row(title="Spool, storage and exporter", panels=storage_panels.PANELS),
            Row(title="Freshness", panels=(_FRESHNESS,)),
        ),
    )
