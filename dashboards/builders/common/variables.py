"""What can be chosen on top of a dashboard, and the links between dashboards that keep time and choices.

A domain is a name of our configuration, and is written into queries as it is. Everything else that can be chosen is
untrusted text, and Grafana's quoting does not handle backslashes: so the value of such a choice is a hash, and the
text is only shown. The same in links from tables: they pass on the hash, which is a hidden column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.builders.common.grafana import CLICKHOUSE, Json, page_link
from reports.caption import caption

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLAIN_NAME = "match({column}, '^[A-Za-z0-9._-]+$')"  # cannot break out of quotes


def _datasource(name: str, label: str, kind: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "datasource",
        "query": kind,
        "refresh": 1,
        "regex": "",
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "options": [],
    }


DATASOURCES: Final[tuple[Json, ...]] = (
    _datasource("ds_clickhouse", "ClickHouse", "grafana-clickhouse-datasource"),
    _datasource("ds_prometheus", "Prometheus", "prometheus"),
)


def choice(name: str, label: str, query: str, *, several: bool = True, description: str = "") -> Json:
    """A variable with the values of a query: one column, or value and text."""
    variable: Json = {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": CLICKHOUSE,
        "query": {"refId": f"variable-{name}", "editorType": "sql", "queryType": "sql", "rawSql": query},
        "refresh": 2,  # when the time range changes
        "sort": 0,
        "regex": "",
        "hide": 0,
        "multi": several,
        "includeAll": several,
        "allowCustomValue": False,
        "options": [],
    }
    if several:
        variable["current"] = {"text": ["All"], "value": ["$__all"]}
    return variable


def textbox(name: str, label: str, *, description: str) -> Json:
    """A variable that is typed in, or set by a link; empty at first."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "textbox",
        "query": "",
        "current": {"text": "", "value": ""},
        "hide": 0,
        "options": [],
    }


def untrusted_id(column: str) -> str:
    """SQL for the hash that stands for untrusted text in choices and links."""
    return f"hex(sipHash64({column}))"


def untrusted_choice(name: str, label: str, column: str, view: str, where: str, *, description: str) -> Json:
    """A choice among untrusted texts."""
    query = (
        f"SELECT {untrusted_id('choice')}, if(choice = '', 'not named', choice) FROM ("
        f"SELECT DISTINCT {column} AS choice FROM {view} WHERE $__dateFilter(day) AND {where}"
        ") ORDER BY choice LIMIT 1000"
    )
    return choice(name, label, query, description=description)


REPORTER: Final = "reporter, reporter_proven"
"""SQL: who reports, for GROUP BY and USING; of one name, the proven one and the one that only says so are two."""

REPORTER_ID: Final = untrusted_id(REPORTER)
"""SQL: the value that stands for a reporter in choices and links."""

REPORTER_NAME: Final = "if(reporter_proven, reporter, concat(reporter, ' (unproven)'))"
"""SQL: a reporter in a word, for legends: its domain."""


def reporters_choice(where: str) -> Json:
    """The choice among those who report."""
    query = (
        f"SELECT {REPORTER_ID}, {caption()} AS choice FROM tls_sender_daily WHERE $__dateFilter(day) AND {where} "
        f"GROUP BY {REPORTER} ORDER BY choice LIMIT 1000"
    )
    return choice("sender", "Sender", query, description="Who reports")


def chosen_reporter() -> str:
    """SQL: rows of the chosen reporters."""
    return chosen(REPORTER_ID, "sender")


def chosen(column: str, name: str) -> str:
    """SQL: the column has one of the chosen values (true for all)."""
    return f"$__conditionalAll({column} IN (${{{name}:singlequote}}), ${name})"


def chosen_untrusted(column: str, name: str) -> str:
    """SQL: the same for a column of untrusted text."""
    return chosen(untrusted_id(column), name)


END: Final = "toDate($__toTime, 'UTC')"
"""The last day of the time range."""

DOMAINS: Final = chosen("policy_domain", "domain")
"""SQL: rows of the chosen domains."""

TEAM: Final = choice(
    "team",
    "Team",
    f"SELECT DISTINCT team FROM domains WHERE {_PLAIN_NAME.format(column='team')} ORDER BY team",
    description="The team whose domains are shown, from the configuration",
)


def domain(*, several: bool, of_team: bool = False) -> Json:
    """The choice of our domains."""
    where = _PLAIN_NAME.format(column="policy_domain") + (f" AND {chosen('team', 'team')}" if of_team else "")
    query = f"SELECT policy_domain FROM domains WHERE {where} ORDER BY policy_domain"
    return choice("domain", "Domain", query, several=several, description="Our domain that the reports are about")


_PAGES: Final = {
    "mailposture-overview": "Overview",
    "mailposture-domain": "Domain",
    "mailposture-failures": "Failure explorer",
    "mailposture-senders": "Senders",
    "mailposture-mta-sts": "MTA-STS and certificates",
    "mailposture-dmarc-overview": "DMARC overview",
    "mailposture-dmarc-domain": "DMARC domain",
    "mailposture-dmarc-source": "DMARC source",
    "mailposture-collector": "Collector health",
}


def page_links(uid: str) -> tuple[Json, ...]:
    """The links on top of a dashboard: all the others, with time and choices."""
    return tuple(
        page_link({"title": title, "url": f"/d/{other}", "targetBlank": False}, keep=True)
        for other, title in _PAGES.items()
        if other != uid
    )


def link(
    title: str, uid: str, *, domain: str = "${domain:queryparam}", keep: Sequence[str] = (), **choices: str
) -> Json:
    """A link of a panel or a cell to a dashboard, with the time, the data sources, the domain and more choices.

    `domain` is the whole parameter: the default keeps what is chosen here. `keep` names more choices to keep.
    """
    parameters = [
        "${__url_time_range}",
        "${ds_clickhouse:queryparam}",
        "${ds_prometheus:queryparam}",
        domain,
        *(f"${{{name}:queryparam}}" for name in keep),
        *(f"var-{name}={value}" for name, value in choices.items()),
    ]
    return {"title": title, "url": f"/d/{uid}?{'&'.join(parameters)}", "targetBlank": False}


def cell(column: str) -> str:
    """For a link: the value of a column in the same row."""
    return f'${{__data.fields["{column}"]:percentencode}}'


THIS_DOMAIN: Final = f"var-domain={cell('Domain')}"
"""For a link: the domain in the same row."""
