"""The text of the generated rule files in alerting-rules/ and of their promtool tests, from the table."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reports.alerts.table import ALERTS
from reports.causes import FROM_PROBES, About

if TYPE_CHECKING:
    from reports.alerts.alert import Alert

_REPOSITORY: Final = "https://github.com/mailposture/mailposture/blob/main"
_GRAFANA: Final = '{{ or $externalLabels.grafana_url "http://localhost:3000" }}'
_LAST_WORDS: Final = {
    "tls": "`mailposture summary --domain {{ $labels.policy_domain }}` names causes, servers and senders. Only "
    "reporters that count in alerts are included (docs/alerts.md).",
    "dmarc": "`mailposture summary --domain {{ $labels.policy_domain }}` names causes and sources. Only reporters that "
    "count in alerts are included (docs/alerts.md).",
    "outside": "`mailposture check {{ $labels.policy_domain }}` says what is wrong and what to do about it.",
}
_MINUTES: Final = {"m": 1, "h": 60, "d": 1440}
_ABOUT: Final = {
    cause.term: {About.SERVER: "mx", About.RECORD: "record"}[cause.about]
    for cause in FROM_PROBES
    if cause.about is not About.DOMAIN
}
_EXAMPLES: Final = {"mx": "mx1.shop.example", "record": "spf"}

_FORM: Final = """\
#
# What needs attention is decided by the view `attention`, with the thresholds of each domain (docs/alerts.md); the
# exporter makes one gauge of it, without what is acknowledged, and all rules have one form: the gauge of a cause,
# joined with the domain's team. `on (instance, policy_domain)` lets two exporters overlap during a restart; the outer
# max makes one alert of them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFile:
    """A file of alerting-rules/: the alerts of some kinds of findings."""

    name: str
    kinds: tuple[str, ...]
    about: str
    keep: str  # for how long an alert is kept firing
    because: str

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """In the order of the table."""
        return tuple(alert for alert in ALERTS if alert.kind in self.kinds)

    @property
    def rules(self) -> str:
        """The file."""
        header = f"""\
# {self.about} Written by `python -m reports.alerts` from the files in reports/alerts/: edit those.
{_FORM}{self.because}groups:
  - name: mailposture-{self.name}
    interval: 1m
    rules:
"""
        return header + "\n".join(_rule(alert, self.keep) for alert in self.alerts)

    @property
    def tests(self) -> str:
        """Its test for promtool."""
        header = f"""\
# promtool test rules alerting-rules/tests/{self.name}.yml
# Written by `python -m reports.alerts`: per alert, the cause comes up and goes away again.
rule_files:
  - ../{self.name}.yml
evaluation_interval: 1m
tests:
"""
        return header + "\n".join(_test(alert, self.keep) for alert in self.alerts)


RULE_FILES: Final = (
    RuleFile(
        name="reports",
        kinds=("tls", "dmarc"),
        about="What senders and receivers report about our domains.",
        keep="1h",
        because="""\
# `for` waits out a batch of reports that is being stored; `keep_firing_for` an exporter that starts while ClickHouse
# does not answer, whose gauges are missing for a while.
""",
    ),
    RuleFile(
        name="probes",
        kinds=("outside",),
        about="What our own probes see at our domains, as senders would (docs/probes.md).",
        keep="30m",
        because="""\
# The view waits for a second probe (they come every quarter of an hour), `for` for what is being changed;
# `keep_firing_for` bridges a restart of the exporter. While ClickHouse does not answer, the gauge stays as it was: what
# fires goes on, and what is new waits. MailpostureReportedMetricsStale says so, and MailpostureProbesDown when what
# probes see does not get there. Where outbound port 25 is closed nothing fires about servers but MxProbesBlocked.
""",
    ),
)


def _description(alert: Alert) -> str:
    return f"{alert.description} {_LAST_WORDS[alert.kind]}"


def _about(alert: Alert) -> str | None:
    """The label that names the server or record: one alert per each."""
    return _ABOUT.get(alert.cause) if alert.kind == "outside" else None


def _rule(alert: Alert, keep: str) -> str:
    words = textwrap.wrap(_description(alert), width=105, break_long_words=False, break_on_hyphens=False)
    description = "\n".join(f"            {line}" for line in words)
    by = ", ".join(filter(None, ("policy_domain", _about(alert), "team")))
    return f"""\
      - alert: {alert.name}
        expr: |
          max by ({by}) (
            (mailposture_attention{{kind="{alert.kind}", cause="{alert.cause}", severity="{alert.severity}"}} > 0)
            * on (instance, policy_domain) group_left (team) mailposture_domain_info
          )
        for: {alert.after}
        keep_firing_for: {keep}
        labels:
          severity: {alert.severity}
        annotations:
          summary: '{alert.summary}'
          description: >-
{description}
          runbook_url: {_REPOSITORY}/alerting-rules/runbooks/{alert.name}.md
          dashboard_url: '{_GRAFANA}/d/{alert.dashboard}'
"""


def _test(alert: Alert, keep_for: str) -> str:
    """Silent until minute 10, then two servers until the alert has fired for a while; then one that is acknowledged."""
    after, keep = _minutes(alert.after), _minutes(keep_for)
    begins, fires, ends = 10, 10 + after, 10 + after + 10
    length = ends + 2 * keep
    labels = f'kind="{alert.kind}", cause="{alert.cause}", severity="{alert.severity}"'
    about = _about(alert)
    if about is not None:
        labels += f', {about}="{_EXAMPLES[about]}"'
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
      - eval_time: {ends + keep - 3}m  # still firing: keep_firing_for
        alertname: {alert.name}
        exp_alerts:
{_expected(alert)}
      - eval_time: {ends + keep + 1}m  # resolved
        alertname: {alert.name}
        exp_alerts: []
    promql_expr_test:
      - expr: ALERTS{{alertname="{alert.name}", alertstate="pending"}}
        eval_time: {fires - 1}m
        exp_samples:
          - labels: 'ALERTS{{alertname="{alert.name}", alertstate="pending", {_fired(alert)}}}'
            value: 1
"""


def _minutes(duration: str) -> int:
    return int(duration[:-1]) * _MINUTES[duration[-1]]


_TARGET: Final = 'instance="exporter:9466", job="mailposture-exporter"'


def _labels(alert: Alert) -> dict[str, str]:
    """Those that it fires with, in the order of their names."""
    labels = {"policy_domain": "shop.example", "severity": str(alert.severity), "team": "web"}
    about = _about(alert)
    if about is not None:
        labels[about] = _EXAMPLES[about]
    return dict(sorted(labels.items()))


def _fired(alert: Alert) -> str:
    return ", ".join(f'{name}="{value}"' for name, value in _labels(alert).items())


def _expected(alert: Alert) -> str:
    labels = "\n".join(f"              {name}: {value}" for name, value in _labels(alert).items())
    return f"""\
          - exp_labels:
{labels}
            exp_annotations:
              summary: '{_filled(alert.summary)}'
              description: '{_filled(_description(alert))}'
              runbook_url: '{_REPOSITORY}/alerting-rules/runbooks/{alert.name}.md'
              dashboard_url: 'https://grafana.example/d/{_filled(alert.dashboard)}'"""


def _filled(template: str) -> str:
    """As Prometheus fills it in for two of shop.example, quoted for YAML."""
    filled = template.replace("{{ $labels.policy_domain }}", "shop.example").replace("{{ $value | humanize }}", "2")
    for name, value in _EXAMPLES.items():
        filled = filled.replace(f"{{{{ $labels.{name} }}}}", value)
    return filled.replace("'", "''")
