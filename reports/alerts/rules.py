"""The text of alerting-rules/reports.yml and of its promtool test, from the table."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from reports.alerts.table import ALERTS

if TYPE_CHECKING:
    from reports.alerts.alert import Alert

_REPOSITORY: Final = "https://github.com/mailposture/mailposture/blob/main"
_GRAFANA: Final = '{{ or $externalLabels.grafana_url "http://localhost:3000" }}'
_LAST_WORDS: Final = {
    "tls": "`mailposture summary --domain {{ $labels.policy_domain }}` names causes, servers and senders. Only "
    "reporters that count in alerts are included (docs/alerts.md).",
    "dmarc": "`mailposture summary --domain {{ $labels.policy_domain }}` names causes and sources. Only reporters that "
    "count in alerts are included (docs/alerts.md).",
    "outside": "`mailposture check {{ $labels.policy_domain }}` says what is wrong, and prints the line to publish.",
}
_MINUTES: Final = {"10m": 10, "30m": 30, "1h": 60, "1d": 1440}

_RULES: Final = """\
# What senders report about our domains. Written by `python -m reports.alerts` from reports/alerts/table.py: edit that.
#
# What needs attention is decided by the view `attention`, with thresholds and standing of reporters (docs/alerts.md);
# the exporter makes one gauge of it, and all rules have one form: the gauge of a cause, joined with the domain's team.
# `on (instance, policy_domain)` lets two exporters overlap during a restart; the outer max makes one alert of them.
# `for` waits out a batch of reports that is being stored; `keep_firing_for` an exporter that starts while ClickHouse
# does not answer, whose gauges are missing for a while.
groups:
  - name: mailposture-reports
    interval: 1m
    rules:
"""
_TESTS: Final = """\
# promtool test rules alerting-rules/tests/reports.yml
# Written by `python -m reports.alerts`: per alert, the cause comes up and goes away again.
rule_files:
  - ../reports.yml
evaluation_interval: 1m
tests:
"""


def rules() -> str:
    """The rule file."""
    return _RULES + "\n".join(map(_rule, ALERTS))


def tests() -> str:
    """The test of the rule file for promtool."""
    return _TESTS + "\n".join(map(_test, ALERTS))


def _description(alert: Alert) -> str:
    return f"{alert.description} {_LAST_WORDS[alert.kind]}"


def _rule(alert: Alert) -> str:
    words = textwrap.wrap(_description(alert), width=105, break_long_words=False, break_on_hyphens=False)
    description = "\n".join(f"            {line}" for line in words)
    return f"""\
      - alert: {alert.name}
        expr: |
          max by (policy_domain, team) (
            (mailposture_attention{{kind="{alert.kind}", cause="{alert.cause}", severity="{alert.severity}"}} > 0)
            * on (instance, policy_domain) group_left (team) mailposture_domain_info
          )
        for: {alert.after}
        keep_firing_for: 1h
        labels:
          severity: {alert.severity}
        annotations:
          summary: '{alert.summary}'
          description: >-
{description}
          runbook_url: {_REPOSITORY}/alerting-rules/runbooks/{alert.name}.md
          dashboard_url: '{_GRAFANA}/d/{alert.dashboard}'
"""


def _test(alert: Alert) -> str:
    """Silent until minute 10, then two servers until the alert has fired for a while; then one that is acknowledged."""
    after = _MINUTES[alert.after]
    begins, fires, ends = 10, 10 + after, 10 + after + 10
    length = ends + 120
    labels = f'kind="{alert.kind}", cause="{alert.cause}", severity="{alert.severity}"'
    return f"""\
  - name: {alert.name}
    interval: 1m
    external_labels:
      grafana_url: https://grafana.example
    input_series:
      - series: 'mailposture_domain_info{{{_TARGET}, policy_domain="shop.example", team="web"}}'
        values: '1x{length}'
      - series: 'mailposture_attention{{{_TARGET}, policy_domain="shop.example", {labels}}}'
        values: '_x{begins} 2x{after + 9} stale'
      - series: 'mailposture_attention_acknowledged{{{_TARGET}, policy_domain="shop.example", {labels}}}'
        values: '1x{length}'
    alert_rule_test:
      - eval_time: {begins - 1}m  # silent
        alertname: {alert.name}
        exp_alerts: []
      - eval_time: {fires - 1}m  # pending
        alertname: {alert.name}
        exp_alerts: []
      - eval_time: {fires + 1}m  # firing
        alertname: {alert.name}
        exp_alerts:
{_expected(alert)}
      - eval_time: {ends + 57}m  # still firing: keep_firing_for
        alertname: {alert.name}
        exp_alerts:
{_expected(alert)}
      - eval_time: {ends + 61}m  # resolved
        alertname: {alert.name}
        exp_alerts: []
    promql_expr_test:
      - expr: ALERTS{{alertname="{alert.name}", alertstate="pending"}}
        eval_time: {fires - 1}m
        exp_samples:
          - labels: 'ALERTS{{alertname="{alert.name}", alertstate="pending", {_fired(alert)}}}'
            value: 1
"""


_TARGET: Final = 'instance="exporter:9466", job="mailposture-exporter"'


def _fired(alert: Alert) -> str:
    return f'policy_domain="shop.example", severity="{alert.severity}", team="web"'


def _expected(alert: Alert) -> str:
    return f"""\
          - exp_labels:
              policy_domain: shop.example
              team: web
              severity: {alert.severity}
            exp_annotations:
              summary: '{_filled(alert.summary)}'
              description: '{_filled(_description(alert))}'
              runbook_url: '{_REPOSITORY}/alerting-rules/runbooks/{alert.name}.md'
              dashboard_url: 'https://grafana.example/d/{_filled(alert.dashboard)}'"""


def _filled(template: str) -> str:
    """As Prometheus fills it in for two servers of shop.example, quoted for YAML."""
    filled = template.replace("{{ $labels.policy_domain }}", "shop.example").replace("{{ $value | humanize }}", "2")
    return filled.replace("'", "''")
