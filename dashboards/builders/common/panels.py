"""The kinds of panels that we use, with the defaults that make them read the same on every dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dashboards.builders.common.grafana import Json, Panel, fixed, override, painted, steps, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNKNOWN: Final = "#6E7582"
"""The colour of what nobody has seen: neither good nor bad."""

NUMBER_WIDTH: Final = 8
NUMBER_HEIGHT: Final = 3
"""Of the numbers on top: three in a line, so that their titles can be read on a narrow screen too."""


def stat(
    title: str,
    description: str,
    *targets: Json,
    width: int,
    height: int = 4,
    unit: str,
    thresholds: Json | None = None,
    color: str = "text",
    mappings: Sequence[Json] = (),
    decimals: int | None = None,
    nothing: str = "No reports",
    filled: bool = False,
    area: bool = False,
    links: Sequence[Json] = (),
    text_size: int | None = None,
    names: bool = False,
    colors: Mapping[str, str] | None = None,
    numbers: bool = True,
) -> Panel:
    """One number (or several, with their names), coloured by thresholds. Without `numbers`: a text or a time.

    `nothing` is what it says without a value; that is neither good nor bad, whatever the thresholds are.
    """
    defaults: Json = {
        "unit": unit,
        "noValue": nothing,
        "mappings": [*mappings, unknown(nothing, UNKNOWN)],
        "color": {"mode": "thresholds"} if thresholds else fixed(color),
        "thresholds": thresholds or steps((None, color)),
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    options: Json = {
        "colorMode": "background_solid" if filled else "value",
        "graphMode": "area" if area else "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": "" if numbers else "/.*/"},
        "textMode": "value_and_name" if names else "value",
        "wideLayout": True,
    }
    if text_size:
        options["text"] = {"valueSize": text_size}
    return Panel(
        kind="stat",
        title=title,
        description=description,
        targets=targets,
        width=width,
        height=height,
        options=options,
        defaults=defaults,
        overrides=painted(colors or {}),
        links=tuple(links),
    )


def graph(
    title: str,
    description: str,
    *targets: Json,
    width: int,
    height: int = 8,
    unit: str,
    bars: bool = False,
    stacked: bool = False,
    fill: int = 0,
    colors: Mapping[str, str] | None = None,
    overrides: Sequence[Json] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    soft_minimum: float | None = None,
    soft_maximum: float | None = None,
    decimals: int | None = None,
    axis: str = "",
    legend: str = "bottom",
    totals: Sequence[str] = (),
    interval: str | None = "1d",
    links: Sequence[Json] = (),
    nothing: str = "No reports in this time range",
    time_from: str | None = None,
) -> Panel:
    """Lines or bars over time. Reports are about days, so the interval is a day unless it says otherwise."""
    defaults: Json = {
        "unit": unit,
        "noValue": nothing,
        "color": {"mode": "palette-classic"},
        "custom": {
            "drawStyle": "bars" if bars else "line",
            "barAlignment": 1 if bars else 0,  # a day's bar begins with the day
            "barWidthFactor": 0.8,
            "lineWidth": 0 if bars else 2,
            "fillOpacity": 85 if bars else fill,
            "showPoints": "never" if bars else "auto",
            "pointSize": 6,
            "spanNulls": 3 * 86_400_000,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        },
    }
    for key, value in (("min", 0 if bars else minimum), ("max", maximum), ("decimals", decimals)):
        if value is not None:
            defaults[key] = value
    if soft_minimum is not None:
        defaults["custom"]["axisSoftMin"] = soft_minimum
    if soft_maximum is not None:
        defaults["custom"]["axisSoftMax"] = soft_maximum
    if axis:
        defaults["custom"]["axisLabel"] = axis
    return Panel(
        kind="timeseries",
        title=title,
        description=description,
        targets=targets,
        width=width,
        height=height,
        options={
            "legend": {
                "showLegend": True,
                "displayMode": "table" if totals else "list",
                "placement": legend,
                "calcs": list(totals),
            },
            "tooltip": {"mode": "multi", "sort": "desc", "hideZeros": True},
        },
        defaults=defaults,
        overrides=(*painted(colors or {}), *overrides),
        interval=interval,
        links=tuple(links),
        time_from=time_from,
    )


def states(
    title: str,
    description: str,
    *targets: Json,
    width: int,
    height: int,
    mappings: Sequence[Json],
    interval: str | None = "1d",
    nothing: str = "No reports in this time range",
) -> Panel:
    """A line of coloured states for each series."""
    return Panel(
        kind="state-timeline",
        title=title,
        description=description,
        targets=targets,
        width=width,
        height=height,
        options={
            "mergeValues": True,
            "showValue": "auto",
            "alignValue": "left",
            "rowHeight": 0.85,
            "perPage": 20,
            "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        defaults={
            "unit": "string",
            "noValue": nothing,
            "mappings": list(mappings),
            "color": {"mode": "thresholds"},
            "thresholds": steps((None, "text")),
            "custom": {"fillOpacity": 75, "lineWidth": 0, "spanNulls": 3 * 86_400_000},
        },
        interval=interval,
    )


_ROOM_TO_READ: Final = 320  # pixels, for texts that are wrapped
_OF_A_LETTER: Final = 7
_BESIDE_A_HEADING: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How a column of a table looks; its name is its heading.

    Columns without a width share what is left, but keep room for what is in them: on a narrow screen the table scrolls.
    """

    name: str
    unit: str | None = None
    width: int | None = None
    room: int = 0  # of a column without a width, if not what its heading takes
    decimals: int | None = None
    cell: Json | None = None
    mappings: Sequence[Json] = ()
    thresholds: Json | None = None
    color: Json | None = None
    minimum: float | None = None
    maximum: float | None = None
    links: Sequence[Json] = ()
    wrap: bool = False
    inspect: bool = False  # long texts can be opened
    hidden: bool = False
    align: str | None = None

    def override(self) -> Json:
        settings: Json = {
            "unit": self.unit,
            "decimals": self.decimals,
            "mappings": list(self.mappings) or None,
            "thresholds": self.thresholds,
            "color": self.color,
            "min": self.minimum,
            "max": self.maximum,
            "fieldMinMax": True if self.cell and self.cell["type"] == "gauge" else None,
            "links": list(self.links) or None,
            "custom__width": self.width,
            "custom__minWidth": None if self.width or self.hidden else self._room(),
            "custom__align": self.align,
            "custom__hidden": self.hidden or None,
            "custom__inspect": self.inspect or None,
            "custom__cellOptions": {"type": "auto", "wrapText": True} if self.wrap else self.cell,
        }
        return override(self.name, **{key: value for key, value in settings.items() if value is not None})

    def _room(self) -> int:
        return self.room or (_ROOM_TO_READ if self.wrap else _OF_A_LETTER * len(self.name) + _BESIDE_A_HEADING)


# `noValue` of the panel is what it says without rows; without this it would also stand in each empty cell, and in the
# colour of the lowest threshold.
_EMPTY_CELLS: Final[Json] = {
    "matcher": {"id": "byRegexp", "options": "/.*/"},
    "properties": [{"id": "noValue", "value": "-"}, {"id": "mappings", "value": [unknown("-", UNKNOWN)]}],
}


def table(
    title: str,
    description: str,
    *targets: Json,
    columns: Sequence[Column],
    width: int,
    height: int,
    nothing: str,
    links: Sequence[Json] = (),
) -> Panel:
    """Rows in the order of the query. `nothing` is what it says without any."""
    return Panel(
        kind="table",
        title=title,
        description=description,
        targets=targets,
        width=width,
        height=height,
        options={"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": [], "countRows": False}},
        defaults={
            "unit": "string",  # else digits in a text, like the key of a report, are rounded as numbers
            "noValue": nothing,
            "color": fixed("text"),
            "custom": {"align": "auto", "filterable": False, "inspect": False, "minWidth": 60},
        },
        overrides=(_EMPTY_CELLS, *(column.override() for column in columns)),
        links=tuple(links),
    )
