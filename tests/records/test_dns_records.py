"""What `mailposture records` prints: real parsers of each format judge it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import dns.zone
import pytest
from checkdmarc.dmarc import parse_dmarc_record
from checkdmarc.mta_sts import parse_mta_sts_record
from checkdmarc.smtp_tls_reporting import parse_smtp_tls_reporting_record
from programs import needs, program

from mailposture.config.model import Config
from mailposture.expectation import expectation
from mailposture.records import mta_sts, tls_rpt
from mailposture.records.dns_records import DnsRecord, report_path
from mailposture.records.formats import as_json, terraform, txt_strings, zone

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


def configured(**sections: Any) -> Config:
    """One domain with a policy."""
    domain = {
        "name": "example.com",
        "mx": ["mx1.example.com"],
        "token": "0123456789abcdef",
        "mta_sts": {"mode": "testing"},
    }
    return Config.model_validate({"domains": [domain], "policy_host": {"hostname": "policies.example.net"}, **sections})


def parsed(text: str) -> dict[tuple[str, str], str]:
    """A printed zone as dnspython reads it: (name, type) → value, TXT strings joined."""
    found = dns.zone.from_text(
        "@ 3600 IN SOA ns. host. 1 2 3 4 5\n@ 3600 IN NS ns.\n" + text, origin="example.com.", relativize=False
    )
    values = {}
    for name, _, rdata in found.iterate_rdatas():
        value = b"".join(rdata.strings).decode() if rdata.rdtype.name == "TXT" else rdata.to_text()
        values[name.to_text().rstrip("."), rdata.rdtype.name] = value
    return values


def test_zone_holds_the_records_in_the_order_of_publishing() -> None:
    config = configured()
    records = expectation(config, config.domains[0]).records
    assert [record.name for record in records] == [
        "_smtp._tls.example.com",
        "mta-sts.example.com",
        "_mta-sts.example.com",
        "_dmarc.example.com",
    ]
    values = parsed(zone(records))
    policy = expectation(config, config.domains[0]).policy
    assert policy is not None
    assert values["_smtp._tls.example.com", "TXT"] == "v=TLSRPTv1; rua=mailto:tlsrpt@example.com"
    assert values["_dmarc.example.com", "TXT"] == "v=DMARC1; p=none; rua=mailto:dmarc@example.com"
    assert values["mta-sts.example.com", "CNAME"] == "policies.example.net."
    assert values["_mta-sts.example.com", "TXT"] == f"v=STSv1; id={mta_sts.policy_id(mta_sts.render(policy))};"


def test_checkdmarc_accepts_our_records() -> None:
    config = configured()
    rua, _, record, policy = expectation(config, config.domains[0]).records
    assert rua.value
    assert record.value
    assert policy.value
    assert parse_smtp_tls_reporting_record(rua.value)["tags"]["rua"]["value"] == ["mailto:tlsrpt@example.com"]
    assert parse_mta_sts_record(record.value)["tags"]["id"] == record.value.removeprefix("v=STSv1; id=").rstrip(";")
    assert [each["address"] for each in parse_dmarc_record(policy.value, "example.com")["tags"]["rua"]["value"]] == [
        "dmarc@example.com"
    ]


def test_reports_are_also_asked_for_by_https_where_we_receive_them() -> None:
    config = configured(https={"public_url": "https://reports.example.com"}, recipients=["tls@reports.example.com"])
    value = expectation(config, config.domains[0]).records[0].value
    assert value is not None
    destinations = tls_rpt.read_records([value.encode()]).destinations
    assert destinations[0] == "mailto:tls@reports.example.com"
    assert destinations[1] == "https://reports.example.com" + report_path("0123456789abcdef")


def test_recipient_of_the_domain_itself_is_preferred() -> None:
    config = configured(recipients=["a@other.example", "z@example.com"])
    assert expectation(config, config.domains[0]).records[0].value == "v=TLSRPTv1; rua=mailto:z@example.com"


def test_unknown_policy_host_is_a_comment_and_never_a_record() -> None:
    config = configured(policy_host={})
    records = expectation(config, config.domains[0]).records
    text = zone(records)
    assert ("mta-sts.example.com", "CNAME") not in parsed(text)
    assert "; mta-sts.example.com. 3600 IN CNAME ?" in text
    assert "policy_host.hostname" in text
    assert json.loads(as_json(records))[1]["value"] is None


def test_policy_host_of_its_own_domain_is_no_alias_of_itself() -> None:
    config = configured(policy_host={"hostname": "mta-sts.example.com"})
    records = expectation(config, config.domains[0]).records
    assert ("mta-sts.example.com", "CNAME") not in parsed(zone(records))
    assert "A/AAAA" in records[1].note


def test_domain_without_policy_has_no_mta_sts_records() -> None:
    config = Config.model_validate({"domains": [{"name": "example.com"}]})
    assert [one.name for one in expectation(config, config.domains[0]).records] == [
        "_smtp._tls.example.com",
        "_dmarc.example.com",
    ]


def test_long_text_is_split_into_strings_of_at_most_255_bytes() -> None:
    text = "v=TLSRPTv1; rua=" + ",".join(f"mailto:reports{number}@example.com" for number in range(40))
    assert all(len(piece) <= 255 for piece in txt_strings(text))
    record = DnsRecord(name="_smtp._tls.example.com", type="TXT", value=text, note="long")
    assert parsed(zone([record]))["_smtp._tls.example.com", "TXT"] == text
    assert "".join(json.loads(as_json([record]))[0]["strings"]) == text


def test_quotes_and_backslashes_survive_the_zone_format() -> None:
    record = DnsRecord(name="x.example.com", type="TXT", value='a"b\\c;d', note="hostile")
    assert parsed(zone([record]))["x.example.com", "TXT"] == 'a"b\\c;d'


@pytest.mark.slow
def test_a_record_without_a_value_is_no_data_for_terraform() -> None:
    config = configured(policy_host={})
    written = json.loads(terraform(expectation(config, config.domains[0]).records))
    assert "mta-sts.example.com CNAME: value unknown" in written["//"]
    assert list(written["locals"]["mailposture_records"]) == [
        "_smtp._tls.example.com TXT",
        "_mta-sts.example.com TXT",
        "_dmarc.example.com TXT",
    ]


@needs("terraform")
def test_terraform_reads_the_same_values_and_runs_no_template(tmp_path: Path) -> None:
    config = configured(policy_host={})
    hostile = DnsRecord(
        name="x.example.com", type="TXT", value='${file("/etc/passwd")} %{ if true } "\\', note="hostile"
    )
    long = DnsRecord(name="y.example.com", type="TXT", value="y" * 300, note="long")
    keys = [
        DnsRecord(name="_25._tcp.mx.example.com", type="TLSA", value=f"3 1 1 {number:064}", note="a key")
        for number in range(2)
    ]
    records = [*expectation(config, config.domains[0]).records, hostile, long, *keys]
    (tmp_path / "records.tf.json").write_text(terraform(records))
    (tmp_path / "output.tf").write_text('output "records" {\n  value = local.mailposture_records\n}\n')

    def run(*arguments: str) -> str:
        return subprocess.run(
            [program("terraform"), *arguments], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120
        ).stdout

    run("init", "-input=false")
    run("apply", "-auto-approve", "-input=false")
    values = json.loads(run("output", "-json"))["records"]["value"]
    printed = {value for one in values.values() for value in one["values"]}
    assert printed == {one.value for one in records if one.value is not None}
    assert values["y.example.com TXT"]["strings"] == [["y" * 255, "y" * 45]]
    assert values["_25._tcp.mx.example.com TLSA"]["values"] == [one.value for one in keys]
    assert values["_smtp._tls.example.com TXT"]["domain"] == "example.com"
