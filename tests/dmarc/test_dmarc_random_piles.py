"""Piles of random mail, beside a computation in Python that was written from the words of the view, not its SQL."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from engine import DOMAIN, TODAY, days_ago
from test_dmarc_sources import configure

from reports.dmarc.catalogue import services

if TYPE_CHECKING:
    from datetime import date

    from engine import Storage

    from reports.dmarc.catalogue import Service


OTHER_DOMAIN = "example.net"  # of ours
BILLING, BILLING_ADDRESSES = "Billing", "203.0.113.64/26"
NOTICES, NOTICES_SERVICE = "Notices", "Postmark"
COUNTING = ("Receiver One", "Receiver Two", "Receiver Three")
FORGER = "Forger"
ADDRESSES = (
    *("192.0.2.1", "192.0.2.2", "198.51.100.7", "203.0.113.9", "203.0.113.70", "40.107.3.4"),
    *("2001:db8::25", "2001:db8:0:1::25", "::"),
)
OWN_NAMES = (DOMAIN, f"bounce.{DOMAIN}", f"a.b.{DOMAIN}")
OTHER_NAMES = (
    *("mcsv.net", "bounce.mcsv.net", "amazonses.com", "pm.mtasv.net", "gmail.com", "ours.onmicrosoft.com"),
    *("theirs.onmicrosoft.com", "vendor.example", "mail.vendor.example", "evil.example", f"evil{DOMAIN}"),
    *(f"{DOMAIN}.evil.example", OTHER_DOMAIN, f"bounce.{OTHER_DOMAIN}", "amazonses.com.evil.example"),
)
RESULTS = ("pass", "pass", "pass", "fail", "none", "softfail", "temperror", "permerror")
SIGNS = ((), (), (), (), ("mailing_list",), ("trusted_forwarder",), ("forwarded",), ("local_policy",), ("sampled_out",))
COMMENTS = ("", "arc=pass as.1.example.org=pass", "noarc=passed", "ARC=PASS")


def record(chance: random.Random, index: int) -> dict[str, Any]:
    """Whatever receivers may report; few names and addresses, so that records are evidence for each other."""
    names = chance.choices(OWN_NAMES + OTHER_NAMES, k=chance.randint(0, 3))
    results = chance.choices(RESULTS, k=len(names))
    spf_names = chance.choices(OWN_NAMES + OTHER_NAMES, k=chance.randint(0, 1))
    spf_results = chance.choices(RESULTS, k=len(spf_names))
    reasons = chance.choice(SIGNS)

    def aligned(of: list[str], with_results: list[str]) -> bool:
        relaxed = any(each in OWN_NAMES and result == "pass" for each, result in zip(of, with_results, strict=True))
        return relaxed and chance.random() < 0.7

    dkim_aligned, spf_aligned = aligned(names, results), aligned(spf_names, spf_results)
    return {
        "record_index": index,
        "report_key": index,
        "organization": chance.choice((*COUNTING, FORGER)),
        "day": days_ago(chance.randint(1, 60)),
        "header_from": chance.choice((DOMAIN, DOMAIN, f"shop.{DOMAIN}", f"evil{DOMAIN}", "")),
        "source_ip": _mapped(chance.choice(ADDRESSES)),
        "messages": chance.choice((0, 1, 2, 7, 1000)),
        "passed": dkim_aligned or spf_aligned,
        "dkim_aligned": dkim_aligned,
        "spf_aligned": spf_aligned,
        "disposition": chance.choice(("none", "quarantine", "reject", "other")),
        "reasons": list(reasons),
        "comments": [chance.choice(COMMENTS) for _ in reasons],
        "dkim_domains": names,
        "dkim_results": results,
        "dkim_selectors": ["s"] * len(names),
        "dkim_details": [""] * len(names),
        "spf_domains": spf_names,
        "spf_results": spf_results,
        "spf_scopes": ["mfrom"] * len(spf_names),
        "spf_details": [""] * len(spf_names),
    }


def _mapped(address: str) -> str:
    return address if ":" in address else f"::ffff:{address}"


def _is_below(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


def _passing(row: dict[str, Any]) -> set[str]:
    pairs = (
        *zip(row["dkim_domains"], row["dkim_results"], strict=True),
        *zip(row["spf_domains"], row["spf_results"], strict=True),
    )
    return {name for name, result in pairs if result == "pass"}


def _spf_passing(row: dict[str, Any]) -> set[str]:
    return {name for name, result in zip(row["spf_domains"], row["spf_results"], strict=True) if result == "pass"}


def _service_of(names: set[str]) -> Service | None:
    """The one that the catalogue puts first."""
    for service in services():
        if any(_is_below(name, domain) for name in names for domain in service.domains):
            return service
    return None


def _is_particular(name: str) -> bool:
    """Whether a name speaks for one sender alone, not for all customers of a service."""
    service = _service_of({name})
    return service is None or any(_is_below(name, domain) for domain in service.tenants)


@dataclass
class Evidence:
    """What reporters that count have seen of mail that passed, by day."""

    addresses: dict[str, set[date]] = field(default_factory=dict)
    companions: dict[tuple[str, bool], set[date]] = field(default_factory=dict)

    def learn(self, row: dict[str, Any]) -> None:
        if row["organization"] == FORGER or not row["messages"] or not row["passed"]:
            return
        if row["spf_aligned"] and row["source_ip"] != "::":
            self.addresses.setdefault(row["source_ip"], set()).add(row["day"])
        for name in _passing(row):
            if not _is_below(name, DOMAIN):
                self.companions.setdefault((name, row["spf_aligned"]), set()).add(row["day"])

    def has_address(self, row: dict[str, Any]) -> bool:
        return _is_good(self.addresses.get(row["source_ip"], set()), row["day"])

    def has_companion(self, name: str, day: date) -> bool:
        """Whether a name passed beside SPF that passed as ours: no forwarder has added it."""
        return _is_good(self.companions.get((name, True), set()), day)

    def has_service(self, service: Service, day: date) -> bool:
        """Whether mail that passed as ours was of a service; what forwards must have done so by SPF."""
        return any(
            _service_of({name}) == service and (by_spf or not service.kind.forwards) and _is_good(days, day)
            for (name, by_spf), days in self.companions.items()
        )


def _is_good(days: set[date], day: date) -> bool:
    """From 90 days before a message until 30 days after it."""
    return any(-30 <= (day - each).days <= 90 for each in days)


def is_of_a_sender_of_ours(row: dict[str, Any], evidence: Evidence) -> bool:
    """What the view's comment says, for a message that SPF did not align."""
    passing = _passing(row)
    names = {name for name in passing if not _is_below(name, DOMAIN)}
    service = _service_of(names)
    address = ip_address(row["source_ip"])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    ours = _spf_passing(row) if row["passed"] else passing
    return (
        (mapped is not None and mapped in ip_network(BILLING_ADDRESSES))
        or (service is not None and service.name == NOTICES_SERVICE)
        or any(_is_below(name, DOMAIN) for name in ours)
        or any(_is_below(name, OTHER_DOMAIN) for name in names)
        or any(_is_particular(name) and evidence.has_companion(name, row["day"]) for name in names)
        or (service is not None and not service.kind.shared and evidence.has_service(service, row["day"]))
        or (service is not None and row["passed"] and not service.kind.forwards)
        or (
            evidence.has_address(row)
            and not (service is not None and service.kind.shared)
            and not (mapped is not None and any(mapped in network for each in services() for network in each.networks))
        )
    )


def pile_of(row: dict[str, Any], evidence: Evidence) -> str:
    """Where a record belongs."""
    if row["spf_aligned"]:
        return "aligned"
    if row["dkim_aligned"]:
        return "aligned" if is_of_a_sender_of_ours(row, evidence) else "forwarded"
    signs = {"mailing_list", "trusted_forwarder", "forwarded"}
    if signs & set(row["reasons"]) or any("arc=pass" in comment.lower().split() for comment in row["comments"]):
        return "forwarded"
    return "ours-failing" if is_of_a_sender_of_ours(row, evidence) else "unknown"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_piles_of_random_mail_are_those_of_the_words(storage: Storage, seed: int) -> None:
    chance = random.Random(seed)
    configure(
        storage,
        {"name": BILLING, "addresses": [BILLING_ADDRESSES]},
        {"name": NOTICES, "services": [NOTICES_SERVICE]},
    )
    rows = [record(chance, index) for index in range(400)]
    for first in range(0, len(rows), 100):  # several parts, as of several days
        storage.put("dmarc_records", *rows[first : first + 100], known=False)
    for reporter in COUNTING:
        storage.accepted(
            DOMAIN, f"{reporter.lower().replace(' ', '-')}.example", "dkim", days_ago(90), TODAY, kind="dmarc"
        )
    evidence = Evidence()
    for row in rows:
        evidence.learn(row)

    expected: Counter[tuple[Any, ...]] = Counter()
    counted: Counter[str] = Counter()
    for row in rows:
        pile = pile_of(row, evidence)
        expected[row["day"], row["header_from"], row["source_ip"].removeprefix("::ffff:"), pile] += row["messages"]
        counted[pile] += row["messages"] if row["organization"] != FORGER else 0
    found = storage.ask(
        "SELECT day, header_from, if(source_ip = '', '::', source_ip), pile, sum(messages) AS sent"
        " FROM dmarc_sources_daily GROUP BY ALL HAVING sent > 0"
    )
    assert {tuple(row[:4]): row[4] for row in found} == {key: sent for key, sent in expected.items() if sent}
    by_pile = storage.ask("SELECT pile, sum(counted_messages) AS sent FROM dmarc_sources_daily GROUP BY pile")
    assert dict(by_pile) == counted

    figures = ", ".join(
        f"sum({figure}_messages)" for figure in ("passed", "spf_aligned", "dkim_aligned", "quarantined", "rejected")
    )
    by_day = f"SELECT day, sum(messages), {figures} FROM {{}} GROUP BY day ORDER BY day"
    assert storage.ask(by_day.format("dmarc_sources_daily")) == storage.ask(by_day.format("dmarc_daily"))
    ((delivered,),) = storage.ask("SELECT sum(delivered_messages) FROM dmarc_sources_daily")
    assert delivered == sum(row["messages"] for row in rows if row["disposition"] not in ("quarantine", "reject"))
    assert storage.ask("SELECT count() FROM dmarc_sources_daily WHERE source = '' OR evidence = ''") == [(0,)]


@pytest.mark.slow
def test_answers_do_not_change_when_parts_are_merged(storage: Storage) -> None:
    """A forged report says that an address of ours, and a vendor, passed on days on which nobody who counts saw it."""
    seen = {"spf_aligned": True, "spf_domains": [DOMAIN], "spf_results": ["pass"], "spf_scopes": ["mfrom"]}
    vendor = {
        "dkim_domains": ["vendor.example"],
        "dkim_results": ["pass"],
        "dkim_selectors": ["s"],
        "dkim_details": [""],
    }
    failing = {"passed": False, "dkim_aligned": False, "day": days_ago(1)}
    there, elsewhere = {"source_ip": "::ffff:192.0.2.1"}, {"source_ip": "::ffff:203.0.113.9"}
    storage.put(
        "dmarc_records",
        {**seen, **vendor, **there, "spf_details": [""], "day": days_ago(200)},
        {**_EMPTY, **there, **failing, "record_index": 1},
        {**_EMPTY, **elsewhere, **vendor, **failing, "record_index": 2},
    )
    forged = {
        **seen,
        **vendor,
        **there,
        "spf_details": [""],
        "day": days_ago(2),
        "organization": FORGER,
        "report_key": 9,
    }
    storage.put("dmarc_records", forged, known=False)
    asked = "SELECT source_ip, pile FROM dmarc_sources_daily WHERE passed_messages = 0 ORDER BY source_ip"
    before = storage.ask(asked)
    assert before == [("192.0.2.1", "unknown"), ("203.0.113.9", "unknown")]
    for table in ("dmarc_own_addresses", "dmarc_own_companions"):
        storage.client().command(f"OPTIMIZE TABLE {storage.config.clickhouse.tables_database}.{table} FINAL")
    assert storage.ask(asked) == before


_EMPTY: dict[str, Any] = {
    f"{kind}_{column}": []
    for kind, columns in (
        ("dkim", ("domains", "results", "selectors", "details")),
        ("spf", ("domains", "results", "scopes", "details")),
    )
    for column in columns
}
