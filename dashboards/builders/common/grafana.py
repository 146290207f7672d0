"""Grafana's classic dashboard JSON (schema version 41: Grafana 11.6 and later), as far as we need it."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Json: TypeAlias = dict[str, Any]

CLICKHOUSE: Json = {"type": "grafana-clickhouse-datasource", "uid": "${ds_clickhouse}"}
PROMETHEUS: Json = {"type": "prometheus", "uid": "${ds_prometheus}"}
COLUMNS = 24
_PLUGIN_VERSION = "11.6.0"  # of the panels; without it Grafana takes them for ones of version 6 and migrates


def rows(query: str, *, ref: str = "A") -> Json:
    """A ClickHouse query for a table or for single numbers."""
    return _clickhouse(query, ref, 1, "table")


def series(query: str, *, ref: str = "A") -> Json:
    """A ClickHouse query for a graph: a column `time` in ascending order, text columns are labels, numbers are values.

    A number named `Value` is shown by its label alone, so that colours can be given to labels.
    """
    return _clickhouse(query, ref, 0, "timeseries")


def _clickhouse(query: str, ref: str, result_format: int, query_type: str) -> Json:
    return {
        "refId": ref,
        "datasource": CLICKHOUSE,
        "editorType": "sql",
        "format": result_format,
        "queryType": query_type,
        "pluginVersion": "4.15.0",  # of the data source; keeps the migration of old editors away
        "rawSql": dedent(query).strip(),
    }


def metric(expression: str, *, legend: str = "__auto", now: bool = False, ref: str = "A") -> Json:
    """A Prometheus query: over the time range, or (`now`) its value at the end only."""
    return {
        "refId": ref,
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend,
        "range": not now,
        "instant": now,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel: what it asks, what it says about itself, and its size in grid units (24 in a line, each 38 px high)."""

    kind: str
    title: str
    description: str
    targets: tuple[Json, ...]
    width: int
    height: int
    options: Json
    defaults: Json
    overrides: tuple[Json, ...] = ()
    links: tuple[Json, ...] = ()
    interval: str | None = None
    time_from: str | None = None

    def at(self, *, number: int, x: int, y: int) -> Json:
        panel: Json = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "pluginVersion": _PLUGIN_VERSION,
            "datasource": self.targets[0]["datasource"],
            "targets": list(self.targets),
            "options": self.options,
            "fieldConfig": {"defaults": self.defaults, "overrides": list(self.overrides)},
        }
        if self.links:
            panel["links"] = [page_link(link, keep=False) for link in self.links]
        if self.interval:
            panel["interval"] = self.interval
        if self.time_from:
            panel["timeFrom"] = self.time_from
        return panel


def page_link(link: Json, *, keep: bool) -> Json:
    """A link on top of a dashboard or a panel; `keep` adds time and variables, which others have in their URL."""
    return {
        **link,
        "type": "link",
        "icon": "dashboard",
        "tooltip": "",
        "tags": [],
        "asDropdown": False,
        "keepTime": keep,
        "includeVars": keep,
    }


def steps(*bounds: tuple[float | None, str]) -> Json:
    """Thresholds: from this value on, this colour. The first has no value."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in bounds]}


def words(texts: Mapping[str, tuple[str, str]]) -> Json:
    """A value mapping: for this value show this text in this colour."""
    options = {
        value: {"text": text, "color": color, "index": n} for n, (value, (text, color)) in enumerate(texts.items())
    }
    return {"type": "value", "options": options}


def unknown(text: str, color: str) -> Json:
    """A value mapping: what is shown where there is no value, which would else have the colour of the lowest one."""
    return {"type": "special", "options": {"match": "null+nan", "result": {"text": text, "color": color}}}


def matching(pattern: str, *, color: str, text: str | None = None) -> Json:
    """A value mapping: texts that match have this colour, and maybe another wording."""
    result = {"color": color} if text is None else {"color": color, "text": text}
    return {"type": "regex", "options": {"pattern": pattern, "result": result}}


def fixed(color: str) -> Json:
    """One colour whatever the value."""
    return {"mode": "fixed", "fixedColor": color}


def override(name: str, **properties: Any) -> Json:
    """Settings of the field of that name; `custom__width=90` is the property `custom.width`."""
    settings = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": settings}


def painted(colors: Mapping[str, str]) -> tuple[Json, ...]:
    """Each series in its own colour."""
    return tuple(override(name, color=fixed(color)) for name, color in colors.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Panels from left to right, the next line beginning where 24 units are full; under a heading, or under none."""

    title: str = ""
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A dashboard: what can be chosen on top, where its links lead, and its panels."""

    uid: str
    title: str
    description: str
    variables: tuple[Json, ...]
    links: tuple[Json, ...]
    rows: tuple[Row, ...]
    time_from: str = "now-30d"

    def json(self) -> Json:
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["mailposture"],
            "schemaVersion": 41,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,  # one crosshair for all graphs
            "timezone": "utc",
            "time": {"from": self.time_from, "to": "now"},
            "timepicker": {},
            "refresh": "5m",
            "fiscalYearStartMonth": 0,
            "weekStart": "monday",
            "links": list(self.links),
            "annotations": {"list": []},
            "templating": {"list": list(self.variables)},
            "panels": list(_placed(self.rows)),
        }


def _placed(rows_of_panels: tuple[Row, ...]) -> Iterator[Json]:
    """All panels with their numbers and places."""
    number = y = 0
    for row in rows_of_panels:
        if row.title:
            number += 1
            place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
            yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
            y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            number += 1
            yield panel.at(number=number, x=x, y=y)
            x, height = x + panel.width, max(height, panel.height)
        y += height
