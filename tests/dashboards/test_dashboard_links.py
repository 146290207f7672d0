"""Links between dashboards pass names on that others wrote: whole, and as one parameter."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

LINKS = sorted(
    {
        url
        for board in (Path(__file__).parents[2] / "dashboards").glob("*.json")
        for url in re.findall(r'"url": ("/d/(?:[^"\\]|\\.)*")', board.read_text(encoding="utf-8"))
    }
)
_VARIABLE = re.compile(r"\$\{(?P<name>__data\.fields\[\"[^\"]+\"\]|[\w.]+)(?::(?P<form>\w+))?\}")

HOSTILE = [
    "Evil & Sons",
    "a&var-domain=other.example&from=0",
    "x#fragment",
    "100%25 %00",
    "\"quoted\" 'too'",
    "line\nbreak\ttab\r",
    "a=b?c/d/../e;f+g",
    "${domain} $__all {{x}}",
    "javascript:alert(1)",
    "Ünïcødé 株式会社 \U0001f4a9 \u202e",
]


def followed(url: str, value: str) -> str:
    """The link as Grafana makes it where each variable and each cell holds the value."""

    def filled(match: re.Match[str]) -> str:
        match match["form"]:
            case "percentencode":
                return quote(value, safe="")
            case "queryparam":
                return f"var-{match['name']}={quote(value, safe='')}"
            case form:
                assert (match["name"], form) == ("__url_time_range", None), "goes on as it is"
                return "from=now-30d&to=now"

    return _VARIABLE.sub(filled, url)


@pytest.mark.parametrize("written", LINKS)
def test_whatever_a_name_holds_it_stays_one_parameter(written: str) -> None:
    url: Any = json.loads(written)
    plain = urlsplit(followed(url, "plain"))
    names = [name for name, _ in parse_qsl(plain.query, strict_parsing=bool(plain.query))]
    for value in HOSTILE:
        link = urlsplit(followed(url, value))
        assert (link.scheme, link.netloc, link.fragment) == ("", "", "")
        assert link.path.count("/") == 2
        parameters = parse_qsl(link.query, keep_blank_values=True)
        assert [name for name, _ in parameters] == names
        constant = dict(parse_qsl(_VARIABLE.sub("", url), keep_blank_values=True))
        for name, given in parameters:
            assert given == value or name in ("from", "to") or constant.get(name) == given


def test_there_are_links_of_every_sort() -> None:
    assert len(LINKS) > 15
    for part in (
        "${__value.raw:percentencode}",
        "${domain:queryparam}",
        "${ds_clickhouse:queryparam}",
        "__data.fields",
    ):
        assert any(part in url for url in LINKS), part
