"""The rules, their tests, their runbooks and the metrics they rest on belong together."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import promql_parser
import pytest
from programs import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Rule

RULES = Path(__file__).parents[2] / "alerting-rules"
RULE_FILES = sorted(RULES.glob("*.yml"))


def promtool(*arguments: str | Path) -> str:
    """Run promtool; fail with what it says unless it is content."""
    done = subprocess.run([program("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_finds_no_fault_in_the_rules() -> None:
    said = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert said.count("SUCCESS") == len(RULE_FILES)


@pytest.mark.slow
@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_every_rule_is_silent_pending_firing_and_resolved_when_it_should(path: Path) -> None:
    promtool("test", "rules", RULES / "tests" / path.name)


def test_no_rule_goes_untested(rule: Rule) -> None:
    fires = [bool(check["exp_alerts"]) for check in rule.test["alert_rule_test"] if check["alertname"] == rule.name]
    if rule.name == "Watchdog":
        assert fires == [True]
        return
    assert (fires[0], any(fires), fires[-1]) == (False, True, False)
    assert 'alertstate="pending"' in rule.test["promql_expr_test"][0]["expr"]


def test_every_rule_says_how_bad_it_is_what_happened_and_where_to_go(rule: Rule) -> None:
    assert rule.labels["severity"] in {"critical", "warning", "info", "none"}
    assert set(rule.annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert rule.annotations["runbook_url"].endswith(f"/alerting-rules/runbooks/{rule.name}.md")


def test_every_runbook_answers_all_questions(rule: Rule) -> None:
    assert rule.runbook.startswith(f"# {rule.name}\n")
    headings = ["What it means", "How bad", "What to check", "How to fix it", "When to ignore"]
    assert re.findall(r"^## (.+)$", rule.runbook, re.MULTILINE) == headings
    assert all(part.strip() for part in re.split(r"^## .+$", rule.runbook, flags=re.MULTILINE))
    assert "```sh\n" in rule.runbook


def test_no_runbook_is_left_over(rules: list[Rule]) -> None:
    assert {path.stem for path in (RULES / "runbooks").glob("*.md")} == {rule.name for rule in rules}


def test_every_metric_of_a_rule_is_exported_by_us(rule: Rule, exported: set[str]) -> None:
    used = set(metrics_in(promql_parser.parse(rule.expression)))
    assert used <= exported | {"up"}


def test_an_alert_about_a_domain_has_its_team_and_others_have_ours(rule: Rule) -> None:
    if "policy_domain" in rule.expression:
        assert re.match(r"max by \(policy_domain, ((mx|record), )?team\) \(", rule.expression)
    else:
        assert rule.labels["team"] == "mail"


def test_dashboards_that_alerts_and_runbooks_link_to_exist_and_know_the_variables(
    rule: Rule, dashboards: dict[str, set[str]]
) -> None:
    links = re.findall(r"/d/([a-z-]+)(?:\?([^\s'`)]*))?", rule.annotations["dashboard_url"] + " " + rule.runbook)
    for uid, query in links:
        assert uid in dashboards
        assert set(re.findall(r"var-(\w+)=", query)) <= dashboards[uid]


def test_the_documentation_names_every_alert_and_every_metric(rules: list[Rule], exported: set[str]) -> None:
    docs = RULES.parent / "docs"
    alerts, metrics = (docs / "alerts.md").read_text(), (docs / "metrics.md").read_text()
    assert {rule.name for rule in rules} == set(re.findall(r"\.\./alerting-rules/runbooks/(\w+)\.md", alerts))
    bases = {re.sub(r"(_seconds)_(bucket|sum|count)$", r"\1", name) for name in exported}
    assert {name for name in bases if f"`{name}`" not in metrics and not name.endswith("_created")} == set()


def metrics_in(node: Any) -> Iterator[str]:
    """The metric names in a PromQL expression."""
    match node:
        case promql_parser.VectorSelector():
            yield node.name
        case promql_parser.MatrixSelector():
            yield from metrics_in(node.vector_selector)
        case promql_parser.BinaryExpr():
            yield from metrics_in(node.lhs)
            yield from metrics_in(node.rhs)
        case promql_parser.Call():
            for argument in node.args:
                yield from metrics_in(argument)
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr():
            yield from metrics_in(node.expr)
        case promql_parser.NumberLiteral():
            return
        case _:
            raise NotImplementedError(type(node))
