"""Graphs of the collector's counters, as so many an hour: reports are too few for seconds and minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.builders.common.grafana import metric
from dashboards.builders.common.panels import graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboards.builders.common.grafana import Panel


def not_scraped(service: str) -> str:
    """What a graph of metrics says without any; one that is scraped only since minutes has no point in a month yet."""
    return (
        f"No metrics: is the {service} scraped (job mailposture-{service})? If that has just begun, look at less time."
    )


NO_METRICS: Final = not_scraped("collector")


def an_hour(counter: str, *labels: str) -> str:
    """PromQL: how many an hour, by labels."""
    by = f" by ({', '.join(labels)})" if labels else ""
    return f"3600 * sum{by} (rate({counter}[$__rate_interval]))"


def counted(
    title: str,
    description: str,
    *expressions: tuple[str, str],
    width: int,
    stacked: bool = True,
    colors: Mapping[str, str] | None = None,
    nothing: str = NO_METRICS,
) -> Panel:
    """A graph of expressions with their legends."""
    return graph(
        title,
        description,
        *(
            metric(expression, legend=legend, ref=ref)
            for (expression, legend), ref in zip(expressions, "ABCDEF", strict=False)
        ),
        width=width,
        unit="locale",
        axis="an hour",
        minimum=0,
        stacked=stacked,
        fill=25,
        colors=colors,
        interval="5m",
        nothing=nothing,
    )
