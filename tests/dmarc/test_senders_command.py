"""`mailposture senders`: who sends in our name, and what to do about each, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from engine import DOMAIN, days_ago
from test_dmarc_sources import ANYBODY, FORWARDER, failing, sent

from cli.senders import command

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result
    from engine import Storage


@pytest.fixture
def asked(storage: Storage, tmp_path: Path) -> Asked:
    return Asked(storage, tmp_path / "mailposture.yaml")


class Asked:
    """The command, over the tests' database."""

    def __init__(self, storage: Storage, path: Path) -> None:
        path.write_text(f"domains: [{{name: {DOMAIN}}}]\ndata: {storage.config.data}\n")
        self._storage, self._path = storage, path

    def __call__(self, *arguments: str) -> Result:
        self._storage.client()  # sorts what was put
        return self.before_sorting(*arguments)

    def before_sorting(self, *arguments: str) -> Result:
        return CliRunner().invoke(command, ["--config", str(self._path), *arguments])


def key(selector: str) -> dict[str, list[str]]:
    """A signature of ours whose key receivers do not find."""
    return {
        "dkim_domains": [DOMAIN],
        "dkim_results": ["permerror"],
        "dkim_selectors": [selector],
        "dkim_details": [""],
    }


def test_every_source_is_listed_and_what_fails_has_its_steps(storage: Storage, asked: Asked) -> None:
    storage.put(
        "dmarc_records",
        sent(0, spf=DOMAIN, aligned="spf", messages=1200),
        {**failing(1, messages=30), **key("news2025")},
        sent(2, dkim=DOMAIN, aligned="dkim", ip=FORWARDER),
        failing(3, ip=ANYBODY, spf="bounce.mcsv.net", dkim="mcsv.net"),
    )
    done = asked(DOMAIN)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == f"Who sends in the name of {DOMAIN}, last 30 report days"
    assert [line.split()[:1] + line.split()[2:4] for line in lines[2:6]] == [
        ["30", "%", "ours-failing"],
        ["10", "%", "unknown"],
        ["10", "%", "forwarded"],
        ["1,200", "%", "aligned"],
    ]
    text = " ".join(done.output.split())
    assert "192.0.2.0/24: a sender of yours fails, 30 messages fail" in text
    assert f"`dig +short TXT news2025._domainkey.{DOMAIN}`" in text
    assert "Mailchimp: possibly yours, 10 messages fail" in text
    assert "If it is yours: In Mailchimp (" in text


@pytest.mark.slow
def test_one_source_has_its_evidence_reasons_and_addresses(storage: Storage, asked: Asked) -> None:
    storage.put("dmarc_records", sent(0, spf=DOMAIN, aligned="spf"), {**failing(1, ip="::ffff:192.0.2.9"), **key("s1")})
    storage.put("dmarc_records", {**failing(2, messages=3), **key("s1")})
    done = asked(DOMAIN, "192.0.2.0/24")
    assert done.exit_code == 0, done.output
    assert "ours-failing: it failed, and the address passes SPF as you at other times" in done.output
    assert "dkim-key-missing: 3 messages (ours-failing)" in done.output
    assert "dkim-key-missing: 10 messages (unknown)" in done.output
    assert "       10  192.0.2.9" in done.output
    found = json.loads(asked(DOMAIN, "192.0.2.0/24", "--format", "json").output)
    assert [(row["address"], row["pile"], row["messages"]) for row in found["addresses"]] == [
        ("192.0.2.1", "aligned", 10),
        ("192.0.2.9", "unknown", 10),
        ("192.0.2.1", "ours-failing", 3),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shown"), [("", '"203.0.113.0/24"'), ("Cheap Hosting", '"Cheap Hosting"'), ("`id`", '"SOURCE"')]
)
def test_source_that_keeps_coming_may_be_acknowledged(storage: Storage, asked: Asked, name: str, shown: str) -> None:
    rows = [
        {**failing(0, ip=ANYBODY), "day": days_ago(day), "organization": reporter, "report_key": 10 * day + key}
        for day in (2, 3, 4)
        for key, reporter in enumerate(("Receiver One", "Receiver Two"))
    ]
    storage.put("dmarc_records", sent(0, spf=DOMAIN, aligned="spf"), *rows)
    if name:
        storage.ask(
            "INSERT INTO mailposture_tables.sender_names"
            " SELECT toIPv6({ip:String}), '', '', {name:String}, now(), now() + toIntervalDay(9)",
            ip=ANYBODY,
            name=name,
        )
        storage.put("dmarc_records", *rows)
    text = " ".join(asked(DOMAIN).output.split())
    assert "unknown, and comes back, 60 messages fail" in text
    assert f"If it is not: `mailposture acknowledge {DOMAIN} dmarc-unknown-source {shown} --until DAY" in text
    assert "If it is yours: If" not in text


def test_selector_that_is_no_name_stands_in_no_command(storage: Storage, asked: Asked) -> None:
    selectors = ("$(id)", "a;b", "`id`", "a b", "-x")
    addresses = [f"::ffff:192.0.{number}.1" for number in range(len(selectors))]
    storage.put(
        "dmarc_records", *(sent(number, ip=ip, spf=DOMAIN, aligned="spf") for number, ip in enumerate(addresses))
    )
    failed = [
        {**failing(len(selectors) + number, ip=ip), **key(selector)}
        for number, (ip, selector) in enumerate(zip(addresses, selectors, strict=True))
    ]
    storage.put("dmarc_records", *failed)
    text = " ".join(asked(DOMAIN).output.split())
    assert text.count(f"`dig +short TXT SELECTOR._domainkey.{DOMAIN}`") == len(selectors)
    assert not [selector for selector in selectors if selector in text]


@pytest.mark.slow
def test_forged_report_names_no_key_and_its_source_is_marked(storage: Storage, asked: Asked) -> None:
    storage.put("dmarc_records", sent(0, spf=DOMAIN, aligned="spf"), {**failing(1), **key("good")})
    forged = {**failing(2, messages=90_000), **key("evil"), "organization": "Forger", "report_key": 7}
    storage.put("dmarc_records", forged, {**forged, "record_index": 3, "source_ip": ANYBODY}, known=False)
    text = " ".join(asked(DOMAIN).output.split())
    assert f"good._domainkey.{DOMAIN}" in text
    assert "evil" not in text
    one = " ".join(asked(DOMAIN, "203.0.113.0/24").output.split())
    assert "no reporter that counts in alerts saw it" in one


@pytest.mark.slow
def test_nobody_and_nothing_are_said(storage: Storage, asked: Asked) -> None:
    assert "Nobody, as far as DMARC reports say." in asked(DOMAIN).output
    storage.put("dmarc_records", sent(0, spf=DOMAIN, aligned="spf"))
    assert "Reports are stored, and still being sorted" in asked.before_sorting(DOMAIN).output
    assert "Nothing to do: every sender of yours passes" in asked(DOMAIN).output
    assert "Nothing: all its mail passes DMARC." in asked(DOMAIN, "192.0.2.0/24").output
    missing = asked(DOMAIN, "Nobody")
    assert missing.exit_code == 2
    assert f"`mailposture senders {DOMAIN}` lists who did" in missing.output
