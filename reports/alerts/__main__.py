"""`python -m reports.alerts` writes the generated files of alerting-rules/ and their tests."""

from pathlib import Path

from reports.alerts.rules import RULE_FILES

RULES = Path(__file__).parents[2] / "alerting-rules"

for file in RULE_FILES:
    (RULES / f"{file.name}.yml").write_text(file.rules, encoding="utf-8")
    (RULES / "tests" / f"{file.name}.yml").write_text(file.tests, encoding="utf-8")
