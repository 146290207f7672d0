"""Asking what a panel of a committed dashboard asks, as Grafana would."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clock import NOW
from grafana_macros import ALL, expand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from conftest import DemoStore

MONTH = (NOW - timedelta(days=30), NOW)
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[2] / "dashboards").glob("*.json"))
}


ONE_DOMAIN = {"domain": "bank.example", "dmarc-domain": "news.example"}
"""Dashboards about one domain, and one whose stories fill their panels."""


def variables(board: str, **chosen: str | Sequence[str]) -> dict[str, str | Sequence[str]]:
    """The values of all variables of a dashboard: everything, but for what is given."""
    names = [variable["name"] for variable in BOARDS[board]["templating"]["list"]]
    values: dict[str, str | Sequence[str]] = dict.fromkeys(names, ALL)
    if "report" in values:
        values["report"] = ""
    if board in ONE_DOMAIN:
        values["domain"] = ONE_DOMAIN[board]
    return values | {name: value for name, value in chosen.items() if name in values}


def ask(
    store: DemoStore,
    board: str,
    sql: str,
    span: tuple[datetime, datetime] = MONTH,
    **chosen: str | Sequence[str],
) -> list[dict[str, object]]:
    start, end = span
    return store.ask_as_grafana(expand(sql, start=start, end=end, variables=variables(board, **chosen)))


def panel_sql(board: str, title: str) -> str:
    (sql,) = [
        panel["targets"][0]["rawSql"]
        for panel in BOARDS[board]["panels"]
        if panel["title"] == title and "targets" in panel
    ]
    return str(sql)
