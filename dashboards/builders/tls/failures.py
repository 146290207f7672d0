"""Failure explorer: from a category down to servers, addresses, reason codes, the report, and its original."""

from __future__ import annotations

from typing import Final

from dashboards.builders.common import look
from dashboards.builders.common.grafana import Dashboard, Json, Row, matching, rows, series, steps
from dashboards.builders.common.panels import Column, graph, stat, table
from dashboards.builders.common.scope import IN_RANGE
from dashboards.builders.common.variables import (
    DATASOURCES,
    DOMAINS,
    REPORTER,
    REPORTER_ID,
    THIS_DOMAIN,
    cell,
    choice,
    chosen,
    chosen_reporter,
    chosen_untrusted,
    domain,
    link,
    page_links,
    reporters_choice,
    textbox,
    untrusted_choice,
    untrusted_id,
)
from dashboards.builders.tls import one_report
from dashboards.builders.tls.beside_probes import failures_beside_probes
from dashboards.builders.tls.questions import SUSPECTED
from reports.caption import caption

UID: Final = "mailposture-failures"
_NARROWING: Final = ("category", "result", "sender", "server")  # the variables beside the domain

_CHOSEN: Final = " AND ".join(
    (
        IN_RANGE,
        DOMAINS,
        chosen("category", "category"),
        chosen_untrusted("result_type", "result"),
        chosen_reporter(),
        chosen_untrusted("receiving_mx", "server"),
    )
)
_REPORTED: Final = f"{IN_RANGE} AND {DOMAINS} AND {chosen_reporter()}"


def _only(title: str, *, domain: str = "${domain:queryparam}", **choices: str) -> tuple[Json, ...]:
    """A link to this dashboard itself that narrows what it shows."""
    keep = tuple(name for name in _NARROWING if name not in choices)
    return (link(title, UID, domain=domain, keep=keep, **choices),)


_VARIABLES = (
    *DATASOURCES,
    domain(several=True),
    choice(
        "category",
        "Category",
        f"SELECT term, title FROM failure_meanings WHERE kind = 'category' AND term NOT IN ({SUSPECTED}) ORDER BY "
        "title",
        description="What kind of failure it is",
    ),
    untrusted_choice(
        "result", "Result type", "result_type", "tls_failures_daily", DOMAINS, description="As reported (RFC 8460, 4.3)"
    ),
    reporters_choice(DOMAINS),
    untrusted_choice(
        "server",
        "Receiving server",
        "receiving_mx",
        "tls_failures_daily",
        DOMAINS,
        description="Our server, as reported",
    ),
    textbox("report", "Report", description="Key of the report that is shown at the bottom: click one in the list"),
)

_ANSWER = (
    stat(
        "Failed sessions",
        "Failed sessions of the choices above, each counted once.",
        rows(
            f"""
            SELECT if(
                (SELECT count() FROM tls_sender_daily WHERE {_REPORTED}) = 0, NULL, sum(failed_sessions)) AS failed
            FROM tls_failures_daily WHERE {_CHOSEN}"""
        ),
        width=5,
        unit="locale",
        thresholds=steps((None, look.GOOD), (1, look.BAD)),
        text_size=40,
    ),
    stat(
        "Of all sessions",
        "Their share of all sessions of the chosen domains and senders in the time range.",
        rows(
            f"""
            SELECT (SELECT sum(failed_sessions) FROM tls_failures_daily WHERE {_CHOSEN})
                / nullIf(sum(successful_sessions + failed_sessions), 0) AS share
            FROM tls_sender_daily
            WHERE {_REPORTED}"""
        ),
        width=5,
        unit="percentunit",
        decimals=2,
        text_size=40,
    ),
    stat(
        "First and last report day",
        "The first and the last report day with such a failure in the time range.",
        rows(
            f"""
            SELECT
                if(count() = 0, NULL, toDateTime(min(day), 'UTC')) AS "First day",
                if(count() = 0, NULL, toDateTime(max(day), 'UTC')) AS "Last day"
            FROM tls_failures_daily WHERE {_CHOSEN}"""
        ),
        width=6,
        unit="time:ddd D MMM",
        numbers=False,
        nothing="No failures",
        names=True,
        text_size=22,
    ),
    stat(
        "Affected",
        "How many domains, receiving servers and senders have such a failure.",
        rows(
            f"""
            SELECT
                uniqExact(policy_domain) AS "Domains",
                uniqExactIf(receiving_mx, receiving_mx != '') AS "Receiving servers",
                uniqExact({REPORTER}) AS "Senders"
            FROM tls_failures_daily WHERE {_CHOSEN}"""
        ),
        width=8,
        unit="locale",
        names=True,
        text_size=22,
    ),
)

_OVERVIEW = (
    table(
        "Domains and causes",
        "Failed sessions in the time range by domain and cause, the most first. Click a cause to look at these "
        "failures only.",
        rows(
            f"""
            SELECT
                policy_domain AS "Domain",
                category AS "Cause",
                sum(failed_sessions) AS "Failed",
                uniqExact({REPORTER}) AS "Senders",
                max(day) AS "Last day",
                category AS category_id
            FROM tls_failures_daily
            WHERE {_CHOSEN}
            GROUP BY policy_domain, category
            ORDER BY "Failed" DESC
            LIMIT 500"""
        ),
        columns=(
            Column(name="Domain", room=130, links=_only("Only this domain", domain=THIS_DOMAIN)),
            look.category(
                width=140, links=_only("Only these failures", domain=THIS_DOMAIN, category=cell("category_id"))
            ),
            look.failed(width=None),
            look.count("Senders", width=75),
            look.day("Last day"),
            look.hidden("category_id"),
        ),
        width=13,
        height=8,
        nothing="No failures for these choices.",
    ),
    graph(
        "Failed sessions by category",
        "Failed sessions per report day of the choices above, by what failed.",
        series(
            f"""
            SELECT day AS time, {look.CATEGORY_NAME.format("category")} AS category_name, sum(failed_sessions) AS Value
            FROM tls_failures_daily
            WHERE {_CHOSEN}
            GROUP BY time, category_name
            ORDER BY time, category_name"""
        ),
        width=11,
        unit="locale",
        bars=True,
        stacked=True,
        colors=look.CATEGORY_COLORS,
        nothing="No failures for these choices",
    ),
)

_DOWN = (
    table(
        "Receiving servers and addresses",
        "Where it fails: our servers as senders name them, with the address they connected to. If only one of several "
        "addresses fails, one machine is outdated. Click a server to look at its failures only.",
        rows(
            f"""
            SELECT
                if(receiving_mx = '', 'not named', receiving_mx) AS "Receiving server",
                sum(failed_sessions) AS "Failed",
                receiving_ip AS "Address",
                max(day) AS "Last day",
                {untrusted_id("receiving_mx")} AS mx_id
            FROM tls_failure_details
            WHERE {_CHOSEN} AND counts
            GROUP BY receiving_mx, receiving_ip
            ORDER BY "Failed" DESC
            LIMIT 100"""
        ),
        columns=(
            Column(name="Receiving server", room=165, links=_only("Only this server", server=cell("mx_id"))),
            look.failed(width=110),
            Column(name="Address", width=115),
            look.day("Last day"),
            look.hidden("mx_id"),
        ),
        width=8,
        height=9,
        nothing="No failures for these choices.",
    ),
    table(
        "Sending servers",
        "Where failures come from: addresses of the senders' servers. If one network fails while others of the same "
        "sender do not, the fault is probably on the path. Click a sender to look at its failures only.",
        rows(
            f"""
            SELECT
                {caption()} AS "Sender",
                sum(failed_sessions) AS "Failed",
                if(sending_mta_ip = '', 'not named', sending_mta_ip) AS "Address",
                max(day) AS "Last day",
                {REPORTER_ID} AS sender_id
            FROM tls_failure_details
            WHERE {_CHOSEN} AND counts
            GROUP BY {REPORTER}, sending_mta_ip
            ORDER BY "Failed" DESC
            LIMIT 200"""
        ),
        columns=(
            Column(name="Sender", room=170, wrap=True, links=_only("Only this sender", sender=cell("sender_id"))),
            look.failed(width=110),
            Column(name="Address", width=110),
            look.day("Last day"),
            look.hidden("sender_id"),
        ),
        width=8,
        height=9,
        nothing="No failures for these choices.",
    ),
    table(
        "Result types and reason codes",
        "What senders say went wrong. The reason code is free text of the sender; `mailposture explain CODE` knows "
        "many. Click a result type to see only that.",
        rows(
            f"""
            SELECT
                result_type AS "Result type",
                sum(failed_sessions) AS "Failed",
                reason_code AS "Reason code",
                {untrusted_id("result_type")} AS result_id
            FROM tls_failure_details
            WHERE {_CHOSEN} AND counts
            GROUP BY result_type, reason_code
            ORDER BY "Failed" DESC
            LIMIT 200"""
        ),
        columns=(
            Column(name="Result type", room=165, links=_only("Only this result type", result=cell("result_id"))),
            look.failed(width=80),
            Column(name="Reason code", room=180, inspect=True),
            look.hidden("result_id"),
        ),
        width=8,
        height=9,
        nothing="No failures for these choices.",
    ),
)

_PROBES = failures_beside_probes(
    _CHOSEN,
    domain=Column(name="Domain", width=150, links=_only("Only this domain", domain=THIS_DOMAIN)),
    height=11,
    nothing="No failures for these choices.",
)

_DETAILS = table(
    "Failure details",
    "The failure details of the reports, the newest first, at most 1000. A report that describes the same sessions "
    "under MTA-STS and DANE is listed with both. Click Show to see the report and its original below.",
    rows(
        f"""
        SELECT
            day AS "Day",
            report_key AS "Report",
            policy_domain AS "Domain",
            category AS "Cause",
            result_type AS "Result type",
            failed_sessions AS "Failed",
            receiving_mx AS "Receiving server",
            receiving_ip AS "Address",
            {caption("organization")} AS "Sender",
            sending_mta_ip AS "From",
            {look.POLICY_TYPE_NAME} AS "Policy",
            sts_mode AS "Mode",
            arrayStringConcat(arrayFilter(text -> text != '', [reason_code, additional_information]), ' | ')
                AS "Reason code"
        FROM tls_failure_details
        WHERE {_CHOSEN}
        ORDER BY day DESC, failed_sessions DESC
        LIMIT 1000"""
    ),
    columns=(
        look.day("Day"),
        Column(
            name="Report",
            width=70,
            mappings=(matching(".*", color="text", text="Show"),),  # its key says nothing to anybody
            links=(link("Show this report below", UID, keep=_NARROWING, report="${__value.raw:percentencode}"),),
        ),
        Column(name="Domain", width=120),
        look.category(width=120),
        Column(name="Result type", width=175),
        look.count("Failed", width=60),
        Column(name="Receiving server", width=160),
        Column(name="Address", width=105),
        Column(name="Sender", width=170, wrap=True),
        Column(name="From", width=105),
        Column(name="Policy", width=75),
        Column(name="Mode", width=75, cell=look.COLORED_TEXT, mappings=(look.MODE_WORDS,)),
        Column(name="Reason code", room=180, inspect=True),
    ),
    width=24,
    height=11,
    nothing="No failures for these choices.",
)


def dashboard() -> Dashboard:
    return Dashboard(
        uid=UID,
        title="mailposture: Failure explorer",
        description="Every reported failure, down to addresses, reason codes, reports and their originals.",
        variables=_VARIABLES,
        links=page_links(UID),
        rows=(
            Row(panels=(*_ANSWER, *_OVERVIEW)),
            Row(title="Where, from where, and why", panels=_DOWN),
            Row(title="Beside our own probes", panels=(_PROBES,)),
            Row(title="Details", panels=(_DETAILS,)),
            Row(title="One report", panels=one_report.PANELS),
        ),
    )
