"""A mistake in the configuration is named by file, line and key before anything starts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mailposture.config.file import load
from mailposture.problems import ConfigError
from reports.configuration import load_config

DOMAINS = "domains: [{name: example.com}]\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ":1: must hold keys and values"),
        ("domains: []\n", ":1: domains: names no domain; add one"),
        ("domains:\n", ":1: domains: is missing"),
        ("domains: example.com\n", ":1: domains: must be a list"),
        ("domains: [example.com]\n", ":1: domains[0]: must hold keys and values"),
        ("domains:\n- name: no\n", ":2: domains[0].name: must be text; put it in quotes"),  # Norway's
        ("domains: [{name: a.example}, {name: A.example.}]\n", ":1: domains: domain a.example is listed twice"),
        ("domains:\n  - name: localhost\n", ":2: domains[0].name: 'localhost' is a name without a dot"),
        (
            "domains:\n  - name: '[2001:db8::1]'\n",
            ":2: domains[0].name: '[2001:db8::1]' is an IP address; name the domain",
        ),
        ("domains:\n\t- x\n", ":2: is not YAML: the line is indented by a tab; use spaces"),
        (DOMAINS + "---\n" + DOMAINS, ":2: is not YAML: expected a single document in the stream"),
        (DOMAINS + "data: !!bool x\n", ": is not YAML that can be read: "),
        (DOMAINS + "data: !!timestamp x\n", ": is not YAML that can be read: "),
        (DOMAINS + '"\\e[2J": 1\n', r":2: '\x1b[2J': there is no such key"),
        (DOMAINS + "smtp: {limits: {errors: none}}\n", ":2: smtp.limits.errors: must be a whole number"),
        (DOMAINS + "smtp: {limits: {errors: 0}}\n", ":2: smtp.limits.errors: must be greater than or equal to 1"),
        (DOMAINS + "\x07", ":2: is not YAML: control characters are not allowed"),
        (DOMAINS + "retention: 2026-13-45\n", ": is not YAML that can be read: month must be"),
        (DOMAINS + "smtp: {}\n" + DOMAINS, ":3: domains: is given twice"),
        (DOMAINS + "metrics:\n  refresh: 60\n", ":3: metrics.refresh: 60 is not a duration"),
        (DOMAINS + "smtp:\n  listne: 127.0.0.1:25\n", ":3: smtp.listne: there is no such key; did you mean listen?"),
        (DOMAINS + "smtp:\n  limits: {idle: -5}\n", ":3: smtp.limits.idle: "),
        (DOMAINS + "clickhouse:\n  retention: 90\n", ":3: clickhouse.retention: "),  # 90 seconds, not days
        (DOMAINS + "clickhouse:\n  retention: 12h\n", ":3: clickhouse.retention: "),
        (
            DOMAINS + "clickhouse:\n  retention: 9999999999d\n",
            ":3: clickhouse.retention: '9999999999d' is not a duration",
        ),
        (
            DOMAINS + "clickhouse:\n  retention: 9999999d\n",
            ":3: clickhouse.retention: ",
        ),  # before any day that can be written
        (DOMAINS + "clickhouse:\n  retention: ²d\n", ":3: clickhouse.retention: '²d' is not a duration"),
        (DOMAINS + "metrics:\n  refresh: 0s\n", ":3: metrics.refresh: "),  # for ever at once
        (DOMAINS + "metrics:\n  exporter: 9466\n", ":3: metrics.exporter: 9466 is not host:port"),
        (DOMAINS + "metrics:\n  exporter: ':9466'\n", ":3: metrics.exporter: ':9466' is not host:port"),
        (DOMAINS + "metrics:\n  exporter: '*:9466'\n", ":3: metrics.exporter: '*:9466' is not host:port"),
        (DOMAINS + "metrics:\n  exporter: ::1:9466\n", ":3: metrics.exporter: '::1:9466' is not host:port"),
        (DOMAINS + "metrics:\n  exporter: 300.1.1.1:9466\n", ":3: metrics.exporter: '300.1.1.1:9466' is not host:port"),
        (DOMAINS + "metrics:\n  exporter: 127.0.0.1:70000\n", ":3: metrics.exporter.port: "),
        (DOMAINS + "smtp:\n  limits: {message_size: 50MB}\n", ":3: smtp.limits.message_size: '50MB' is not a size"),
        (DOMAINS + "smtp:\n  limits: {message_size: 0}\n", ":3: smtp.limits.message_size: "),  # would refuse every mail
        (
            DOMAINS + "recipients:\n- reports.example.com\n",
            ":3: recipients[0]: 'reports.example.com' is not an address",
        ),
        (
            DOMAINS + "recipients:\n- mailto:t@example.com\n",
            ":3: recipients[0]: 'mailto:t@example.com' is not an address",
        ),
        ("domains:\n- {name: a.example, mx: [192.0.2.1]}\n", ":2: domains[0].mx[0]: '192.0.2.1' is neither a host"),
        ("domains:\n- {name: a.example, token: pass}\n", ":2: domains[0].token: must be 16 to 128 letters"),
        (
            DOMAINS + "smtp:\n  proxies: [lb.example]\n",
            ":3: smtp.proxies[0]: 'lb.example' is not a network such as 10.0.0.0/8",
        ),
        (DOMAINS + "smtp:\n  proxies: [10.1.2.3/8]\n", ":3: smtp.proxies[0]: '10.1.2.3/8' is not a network such as"),
        (DOMAINS + "https:\n  proxies: 10.0.0.0/8\n", ":3: https.proxies: must be a list"),
        (
            "domains:\n- {name: a.example, parked: true, mx: [b.example]}\n",
            ":2: domains[0]: a.example is parked, so it",
        ),
        (DOMAINS + "clickhouse:\n  url: https://db/x\n", ":3: clickhouse.url: must be http(s)://host:port"),
        (DOMAINS + "authentication:\n  nameservers: [ns.example]\n", ":3: authentication.nameservers[0]: "),
        (DOMAINS + "probes:\n  nameservers: ['192.0.2.1@x']\n", ":3: probes.nameservers[0]: "),
        (DOMAINS + "probes:\n  interval: 0s\n", ":3: probes.interval: "),  # would connect without a pause
        (DOMAINS + "probes:\n  timeout: 0s\n", ":3: probes.timeout: "),  # would find every server silent
    ],
)
def test_mistake_is_named_with_its_place(tmp_path, text, complaint):
    path = tmp_path / "mailposture.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}{complaint}")


def test_nameservers_may_have_ports(tmp_path):
    path = tmp_path / "mailposture.yaml"
    path.write_text(DOMAINS + "authentication: {nameservers: ['192.0.2.1', '::1@5353']}\n", encoding="utf-8")
    assert load(path).authentication.nameservers == ("192.0.2.1", "::1@5353")


def test_merge_keys_may_be_overridden(tmp_path):
    path = tmp_path / "mailposture.yaml"
    path.write_text("domains:\n- &one {name: a.example, team: post}\n- {<<: *one, name: b.example}\n")
    assert [(domain.name, domain.team) for domain in load(path).domains] == [
        ("a.example", "post"),
        ("b.example", "post"),
    ]


def test_aliases_of_aliases_are_refused_at_once(tmp_path):
    """Read one by one they are 9^40 values."""
    path = tmp_path / "mailposture.yaml"
    levels = [f"k{level}: &k{level} [{', '.join([f'*k{level - 1}'] * 9)}]" for level in range(1, 40)]
    path.write_text("\n".join(["k0: &k0 [x]", *levels, DOMAINS]))
    with pytest.raises(ConfigError, match=":1: k0: there is no such key"):
        load(path)


@pytest.mark.parametrize("depth", [51, 300_000])
def test_nesting_without_end_is_refused_and_kills_nobody(tmp_path, depth):
    path = tmp_path / "mailposture.yaml"
    path.write_text(f"{DOMAINS}x: {'[' * depth}{']' * depth}\n")
    script = "import sys, pathlib; from mailposture.config.file import load; load(pathlib.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith(f"{path}:2: is not YAML: nested more than 50 levels deep")


def test_alias_of_what_is_around_it_is_a_mistake_like_others(tmp_path):
    path = tmp_path / "mailposture.yaml"
    path.write_text("domains: &around [*around]\n")
    with pytest.raises(ConfigError, match=r":1: domains\[0\]: "):
        load(path)


@pytest.mark.parametrize("written", ["[::1]:9466", "127.0.0.1:9466", "localhost:9466", "exporter_1:9466"])
def test_address_to_listen_on_is_read_as_it_is_shown(tmp_path, written):
    path = tmp_path / "mailposture.yaml"
    path.write_text(f"{DOMAINS}metrics: {{exporter: '{written}'}}\n")
    assert str(load(path).metrics.exporter) == written


def test_recipient_of_an_international_domain_is_written_as_in_dns(tmp_path):
    path = tmp_path / "mailposture.yaml"
    path.write_text(f"{DOMAINS}recipients: [Tlsrpt@bücher.example]\n", encoding="utf-8")
    assert load(path).accepted_recipients() == {"tlsrpt@xn--bcher-kva.example"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("smtp: {lmtp: '127.0.0.1:2525'}", "smtp.listen and smtp.lmtp both listen on port 2525"),
        ("metrics: {exporter: '0.0.0.0:9465'}", "metrics.collector and metrics.exporter both listen on port 9465"),
        ("clickhouse: {http: '127.0.0.1:8460'}", "https.listen and clickhouse.http both listen on port 8460"),
        ("policy_host: {listen: '[::]:9467'}", "policy_host.listen and policy_host.metrics both listen on port 9467"),
    ],
)
def test_two_listeners_at_one_address_are_named(tmp_path, text, complaint):
    path = tmp_path / "mailposture.yaml"
    path.write_text(DOMAINS + text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:1: {complaint}; give one another port"


@pytest.mark.parametrize(
    "text",
    [
        "smtp: {listen: '127.0.0.1:0', lmtp: '127.0.0.1:0'}",
        "smtp: {listen: '127.0.0.2:8460'}",
        "clickhouse: {url: 'http://db:8123'}\nmetrics: {collector: '0.0.0.0:9000', exporter: '0.0.0.0:9000'}",
        "policy_host: {listen: '0.0.0.0:8460'}",
    ],
    ids=["chosen by the system", "of two addresses", "of two machines", "of the policy host's machine"],
)
def test_listeners_with_addresses_of_their_own_may_have_one_port(tmp_path, text):
    path = tmp_path / "mailposture.yaml"
    path.write_text(DOMAINS + text)
    load(path)


def test_a_key_whose_lines_are_all_commented_out_is_as_if_it_were_not_there(tmp_path):
    path = tmp_path / "mailposture.yaml"
    path.write_text(
        "domains:\n- name: example.com\n  thresholds:\n  # stale_after: 3d\nsmtp:\n# listen: 127.0.0.1:25\n"
    )
    plain = tmp_path / "plain.yaml"
    plain.write_text(DOMAINS)
    assert load(path) == load(plain)


def test_a_listener_without_address_is_off(tmp_path):
    path = tmp_path / "mailposture.yaml"
    path.write_text(DOMAINS + "smtp: {listen: }\n")
    assert load(path).smtp.listen is None


def test_a_mistake_in_every_domain_is_told_twenty_times(tmp_path):
    path = tmp_path / "mailposture.yaml"
    path.write_text("domains:\n" + "- {name: a.example, teem: x}\n" * 1000)
    with pytest.raises(ConfigError) as caught:
        load(path)
    *faults, rest = str(caught.value).splitlines()
    assert faults == [f"{path}:{n + 2}: domains[{n}].teem: there is no such key; did you mean team?" for n in range(20)]
    assert rest == f"{path}: and 980 faults more"


def test_a_fault_in_a_domain_is_the_only_one_told(tmp_path):
    path = tmp_path / "mailposture.yaml"
    path.write_text("domains:\n- name: localhost\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_named_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="is a folder; name the file in it"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="is not there; `mailposture init"):
        load(tmp_path / "mailposture.yaml")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ConfigError, match=r"cannot be read .*; let the user read it"):
        load(tmp_path / "loop")
    (tmp_path / "windows.yaml").write_text(DOMAINS, encoding="utf-16")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 0\); save it as UTF-8"):
        load(tmp_path / "windows.yaml")


@pytest.mark.parametrize(
    ("acknowledged", "complaint"),
    [
        ("cause: certificat", "'certificat' is no cause; did you mean certificate?"),
        ("cause: nothing-like-it", "'nothing-like-it' is no cause; one of certificate, "),
        ("cause: mail-refused, subject: mx1.example.com", "mail-refused is about the whole domain: take out 'mx1."),
        (
            "cause: certificate, subject: MX1.example.com.",
            "'MX1.example.com.' is no name as in `mailposture summary`; write mx1.example.com",
        ),
        (
            "cause: mx-failing, subject: our server",
            "'our server' is no name as in `mailposture summary`; a domain name is needed",
        ),
    ],
)
def test_what_cannot_be_acknowledged_is_named(tmp_path: Path, acknowledged: str, complaint: str) -> None:
    file = tmp_path / "mailposture.yaml"
    entry = f"{{{acknowledged}, until: 2030-01-01, because: known}}"
    file.write_text(f"domains:\n- name: example.com\n  acknowledged:\n  - {entry}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value).startswith(f"{file}:4: domains[0].acknowledged[0]: {complaint}")


@pytest.mark.parametrize(
    "acknowledged",
    [
        "cause: certificate",
        "cause: dane, subject: mx1.example.com",
        "cause: record-wrong, subject: spf",
        "cause: suspected-downgrade, subject: sender.example",
    ],
)
def test_what_can_be_acknowledged(tmp_path: Path, acknowledged: str) -> None:
    file = tmp_path / "mailposture.yaml"
    entry = f"{{{acknowledged}, until: 2030-01-01, because: known}}"
    file.write_text(f"domains: [{{name: example.com, acknowledged: [{entry}]}}]\n", encoding="utf-8")
    assert load_config(file).domains[0].acknowledged[0].because == "known"


def test_whoever_starts_reads_the_configuration_with_all_checks() -> None:
    root = Path(__file__).parents[2]
    readers = [
        path
        for folder in ("cli", "collector", "exporter", "policy_host", "demo")
        for path in (root / folder).rglob("*.py")
        if re.search(r"mailposture\.config\.file import .*\bload\b", path.read_text(encoding="utf-8"))
    ]
    assert readers == []
