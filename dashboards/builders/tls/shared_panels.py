"""Panels that are on several dashboards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.builders.common import look
from dashboards.builders.common.grafana import rows, series, steps
from dashboards.builders.common.panels import NUMBER_HEIGHT, NUMBER_WIDTH, graph, stat
from dashboards.builders.common.scope import THIS_WEEK, WEEK_BEFORE
from dashboards.builders.common.variables import link
from dashboards.builders.tls import questions

if TYPE_CHECKING:
    from dashboards.builders.common.grafana import Panel


def with_tls(domains: str) -> Panel:
    """How much of the mail is encrypted."""
    return stat(
        "With TLS, 7 days",
        "Share of the mail sessions that were encrypted and verified as the sender wanted, over the seven report days "
        "before the end of the time range.",
        rows(f"SELECT {questions.rate()} AS rate FROM tls_domain_daily WHERE {THIS_WEEK} AND {domains}"),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="percentunit",
        decimals=2,
        thresholds=look.NO_JUDGEMENT,
    )


def against_the_week_before(domains: str) -> Panel:
    """Whether that becomes better or worse."""
    return stat(
        "Against the week before",
        "Change of the share with TLS, in percentage points, against the seven report days before.",
        rows(
            f"""
            SELECT 100 * ({questions.rate_if(THIS_WEEK)} - {questions.rate_if(WEEK_BEFORE)}) AS change
            FROM tls_domain_daily
            WHERE ({THIS_WEEK} OR {WEEK_BEFORE}) AND {domains}"""
        ),
        width=NUMBER_WIDTH,
        height=NUMBER_HEIGHT,
        unit="suffix:points",
        decimals=2,
        thresholds=steps((None, look.BAD), (-0.5, "orange"), (-0.05, look.GOOD)),
    )


def failed_by_category(domains: str, *, width: int) -> Panel:
    """What failed, and when."""
    return graph(
        "Failed sessions by category",
        "Failed sessions per report day, by what failed. From the failure details of the reports, whose sum can "
        "differ a little from the session counts.",
        series(
            f"""
            {questions.failures(domains)}
            SELECT day AS time, {look.CATEGORY_NAME.format("cause")} AS category_name, sum(sessions) AS Value
            FROM failures
            GROUP BY time, category_name
            ORDER BY time, category_name"""
        ),
        width=width,
        unit="locale",
        bars=True,
        stacked=True,
        colors=look.CATEGORY_COLORS,
        legend="right",
        totals=("sum",),
        links=(link("Explore failures", "mailposture-failures"),),
        nothing="No failures in this time range",
    )
