"""The committed dashboards: what Grafana needs of them, and what our readers do."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import promql_parser
import pytest
import yaml

from dashboards.builders.common.look import CATEGORIES
from dashboards.builders.common.panels import UNKNOWN
from dashboards.builders.common.variables import cell
from dashboards.builders.write import files
from reports.tls.failures import Category

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "dashboards").glob("*.json"))
}
CLICKHOUSE = {"type": "grafana-clickhouse-datasource", "uid": "${ds_clickhouse}"}
PROMETHEUS = {"type": "prometheus", "uid": "${ds_prometheus}"}
PANELS = [
    pytest.param(board, panel, id=f"{name}: {panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]
TARGETS = [
    pytest.param(panel, target, id=f"{name}: {panel['title']} {target['refId']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel.get("targets", [])
]


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    return BOARDS[request.param]


def test_building_again_changes_nothing() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "dashboards").glob("*.json")}
    assert files() == committed, "run `python -m dashboards.builders`"


def test_uids_are_stable_names_that_nobody_else_has(board: dict[str, Any]) -> None:
    assert re.fullmatch(r"mailposture-[a-z-]{4,28}", board["uid"])
    assert Counter(each["uid"] for each in BOARDS.values())[board["uid"]] == 1
    assert "id" not in board


def test_a_dashboard_imports_into_grafana_11_6_as_it_is(board: dict[str, Any]) -> None:
    assert board["schemaVersion"] == 41
    assert "__inputs" not in board
    assert board["editable"] is False
    assert board["timezone"] == "utc"
    assert board["title"].startswith("mailposture: ")
    assert board["description"]


def test_data_sources_are_chosen_by_two_variables_without_a_value(board: dict[str, Any]) -> None:
    first, second = board["templating"]["list"][:2]
    assert (first["name"], first["query"]) == ("ds_clickhouse", "grafana-clickhouse-datasource")
    assert (second["name"], second["query"]) == ("ds_prometheus", "prometheus")
    assert all("current" not in variable for variable in (first, second))
    for variable in board["templating"]["list"][2:]:
        if variable["type"] == "query":
            assert variable["datasource"] == CLICKHOUSE
            assert variable["refresh"] == 2  # with the time range
            assert variable["allowCustomValue"] is False
            assert variable["query"]["editorType"] == "sql"


def test_panels_fill_a_grid_without_overlap(board: dict[str, Any]) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            taken.update((x, y) for y in range(place["y"], place["y"] + place["h"]))
    assert max(taken.values()) == 1
    height = max(y for _, y in taken) + 1
    gaps = [(x, y) for y in range(height) for x in range(24) if not taken[x, y]]
    assert gaps == []


def test_panel_numbers_are_unique(board: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))


def test_a_dashboard_opens_with_the_answer_in_words(board: dict[str, Any]) -> None:
    first = next(panel for panel in board["panels"] if panel["type"] != "row")
    assert first["type"] == "stat"
    assert first["gridPos"]["x"] == first["gridPos"]["y"] == 0
    if board["uid"] != "mailposture-failures":  # which is where one arrives with a question
        texts = json.dumps(first["fieldConfig"]["defaults"]["mappings"])
        assert "All good" in texts or "None suspected" in texts


def test_a_counter_that_has_no_series_before_its_first_event_blames_no_scrape() -> None:
    """Every other counter of the collector begins with zeros; why a peer is refused is not known beforehand."""
    title = "Refused connections and messages"
    (panel,) = (panel for panel in BOARDS["collector"]["panels"] if panel["title"] == title)
    assert "mailposture_refused_total" in panel["targets"][0]["expr"]
    assert panel["fieldConfig"]["defaults"]["noValue"] == "Nothing was refused in this time range"


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_every_panel_says_what_it_shows(board: dict[str, Any], panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith((".", "?"))
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["fieldConfig"]["defaults"]["noValue"]
    assert panel["pluginVersion"]
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert len(letters) == len(set(letters))
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    assert panel["datasource"] in (CLICKHOUSE, PROMETHEUS)


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_what_has_no_value_is_neither_good_nor_bad(board: dict[str, Any], panel: dict[str, Any]) -> None:
    """Grafana gives a missing value the colour of the lowest threshold, which is green where 0 is good."""
    if panel["type"] != "stat":
        return
    defaults = panel["fieldConfig"]["defaults"]
    (missing,) = [each for each in defaults["mappings"] if each["type"] == "special"]
    assert missing["options"] == {
        "match": "null+nan",
        "result": {"text": defaults["noValue"], "color": UNKNOWN},
    }


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_an_empty_cell_has_no_colour_of_good_or_bad(board: dict[str, Any], panel: dict[str, Any]) -> None:
    if panel["type"] == "table":
        every, *columns = panel["fieldConfig"]["overrides"]
        assert every["matcher"] == {"id": "byRegexp", "options": "/.*/"}
        (empty,) = [each["value"] for each in every["properties"] if each["id"] == "mappings"]
        assert empty[0]["options"]["result"] == {"text": "-", "color": UNKNOWN}
        for column in columns:  # mappings of its own would replace that
            settings = {each["id"] for each in column["properties"]}
            assert not {"mappings", "thresholds"} <= settings


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_no_axis_is_labelled_in_parts_of_weeks(board: dict[str, Any], panel: dict[str, Any]) -> None:
    """Grafana puts the marks of an axis at round hours or seconds, and its units then say 3.57 weeks or 1.67 mins."""
    if panel["type"] == "timeseries":
        assert panel["fieldConfig"]["defaults"]["unit"] not in ("ms", "s", "m", "h", "d")


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_texts_of_a_table_stay_readable_on_a_narrow_screen(board: dict[str, Any], panel: dict[str, Any]) -> None:
    """A wrapped text without room becomes a column of letters, and its row higher than the table."""
    for override in panel["fieldConfig"]["overrides"]:
        settings = {each["id"]: each["value"] for each in override["properties"]}
        if settings.get("custom.cellOptions", {}).get("wrapText"):
            assert settings.get("custom.width", settings.get("custom.minWidth", 0)) >= 120


@pytest.mark.parametrize(("panel", "target"), TARGETS)
def test_time_is_the_report_day_and_graphs_are_sorted_by_it(panel: dict[str, Any], target: dict[str, Any]) -> None:
    if target["datasource"] != CLICKHOUSE:
        return
    sql = target["rawSql"]
    assert target["editorType"] == "sql"
    assert target["pluginVersion"]
    assert "$__timeFilter(day)" not in sql  # cuts the first day off
    if panel["type"] in ("timeseries", "state-timeline"):
        assert (target["format"], target["queryType"]) == (0, "timeseries")
        assert re.search(r"ORDER BY time\b[^()]*$", sql)
        assert panel["interval"] == "1d"
    else:
        assert (target["format"], target["queryType"]) == (1, "table")


@pytest.mark.parametrize(("panel", "target"), TARGETS)
def test_every_metric_asked_for_is_one_of_ours(panel: dict[str, Any], target: dict[str, Any]) -> None:
    if target["datasource"] != PROMETHEUS:
        return
    assert target["legendFormat"]
    expression = re.sub(r"\$__(range|rate_interval|interval)", "5m", target["expr"])
    promql_parser.parse(expression)
    names = set(re.findall(r"\b((?:mailposture|tlsrpt|mta_sts|mx|dns_record)_\w+)", expression))
    assert names
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in names} <= _defined_metrics()
    for counter in re.findall(r"\w+_(?:total|bucket)\b", expression):
        assert re.search(rf"(rate|increase)\({counter}(\{{[^}}]*\}})?\[", expression), f"{counter} only grows"


def _defined_metrics() -> set[str]:
    """Names in the code of collector and exporter that are written like metrics."""
    sources = [path for folder in ("collector", "exporter") for path in (ROOT / folder).rglob("*.py")]
    return {name for path in sources for name in re.findall(r'"([a-z]+_\w+)"', path.read_text(encoding="utf-8"))}


def test_links_lead_to_dashboards_and_variables_that_exist(board: dict[str, Any]) -> None:
    variables = {each["uid"]: {variable["name"] for variable in each["templating"]["list"]} for each in BOARDS.values()}
    links = list(_links(board))
    assert links
    for link in links:
        uid = link["url"].split("?")[0].removeprefix("/d/")
        if uid == cell("page"):  # that of questions.page_of(), where the failure explorer has every choice that is made
            assert "mailposture-senders" in variables
            uid = "mailposture-failures"
        assert uid in variables
        if link.get("includeVars"):
            assert link["keepTime"]
            continue
        assert "${__url_time_range}" in link["url"]
        query = link["url"].split("?")[1]
        given = set(re.findall(r"\bvar-(\w+)=", query)) | set(re.findall(r"\$\{(\w+):queryparam\}", query))
        assert given <= variables[uid]
        assert {"ds_clickhouse", "ds_prometheus", "domain"} <= given
        assert set(re.findall(r"\$\{(\w+):queryparam\}", query)) <= variables[board["uid"]]


def test_the_dashboards_all_lead_to_each_other(board: dict[str, Any]) -> None:
    others = {f"/d/{each['uid']}" for each in BOARDS.values()} - {f"/d/{board['uid']}"}
    assert {link["url"] for link in board["links"]} == others


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_untrusted_text_is_passed_on_as_a_hash_only(board: dict[str, Any], panel: dict[str, Any]) -> None:
    for link in _links(panel):
        query = link["url"].split("?")[1]
        for name, value in re.findall(r"\bvar-(result|sender|server|source)=([^&]*)", query):
            assert re.fullmatch(
                r'\$\{__data\.fields\["(result_id|sender_id|mx_id|source_id)"\]:percentencode\}', value
            ), name


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_columns_that_are_styled_or_linked_to_are_in_the_query(board: dict[str, Any], panel: dict[str, Any]) -> None:
    if panel["type"] != "table":
        return
    (target,) = panel["targets"]
    answered = set(re.findall(r'\bAS "([^"]+)"|\bAS (\w+)', target["rawSql"]))
    names = {quoted or plain for quoted, plain in answered}
    assert "Value" not in names  # Grafana would head the column with the letter of the query
    overrides = panel["fieldConfig"]["overrides"]
    assert {each["matcher"]["options"] for each in overrides if each["matcher"]["id"] == "byName"} <= names
    assert set(re.findall(r'__data\.fields\["([^"]+)"\]', json.dumps(panel).replace('\\"', '"'))) <= names


def test_every_category_has_a_name_and_a_colour_of_its_own() -> None:
    assert set(CATEGORIES) == set(Category)
    assert len({name for name, _ in CATEGORIES.values()}) == len(Category)
    assert len({color for _, color in CATEGORIES.values()}) == len(Category)


def _links(node: Any) -> Iterator[dict[str, Any]]:
    """All links in a dashboard or a part of it."""
    if isinstance(node, dict):
        if "url" in node:
            yield node
        for value in node.values():
            yield from _links(value)
    elif isinstance(node, list):
        for value in node:
            yield from _links(value)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "provisioning" / "grafana").rglob("*.yaml")), ids=lambda path: path.name
)
def test_provisioning_is_yaml_without_secrets(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["apiVersion"] == 1
    for source in content.get("datasources", []):
        assert all(value.startswith("$") for value in source.get("secureJsonData", {}).values())
