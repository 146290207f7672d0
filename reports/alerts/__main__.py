"""`python -m reports.alerts` writes alerting-rules/reports.yml and its test."""

from pathlib import Path

from reports.alerts.rules import rules, tests

RULES = Path(__file__).parents[2] / "alerting-rules"

(RULES / "reports.yml").write_text(rules(), encoding="utf-8")
(RULES / "tests" / "reports.yml").write_text(tests(), encoding="utf-8")
