"""Who sends in our name, and in which pile it belongs: stories on the real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from engine import DOMAIN, YESTERDAY, days_ago

from mailposture.config.model import Config
from reports.dmarc.senders import write_senders

if TYPE_CHECKING:
    from engine import Storage


SERVER, FORWARDER, ANYBODY = "::ffff:192.0.2.1", "::ffff:198.51.100.7", "::ffff:203.0.113.9"


def sent(
    index: int, *, spf: str = "", dkim: str = "", aligned: str = "", ip: str = SERVER, **more: Any
) -> dict[str, Any]:
    """A record: domains that SPF and DKIM passed for, and which of the two were aligned (`spf`, `dkim`, both)."""
    return {
        "record_index": index,
        "source_ip": ip,
        "messages": 10,
        "spf_domains": spf.split(),
        "spf_results": ["pass"] * len(spf.split()),
        "spf_scopes": ["mfrom"] * len(spf.split()),
        "spf_details": [""] * len(spf.split()),
        "dkim_domains": dkim.split(),
        "dkim_results": ["pass"] * len(dkim.split()),
        "dkim_selectors": ["s"] * len(dkim.split()),
        "dkim_details": [""] * len(dkim.split()),
        "spf_aligned": "spf" in aligned,
        "dkim_aligned": "dkim" in aligned,
        "passed": bool(aligned),
        **more,
    }


def failing(index: int, **more: Any) -> dict[str, Any]:
    return sent(index, **more)


def piles(storage: Storage, where: str = "true") -> list[tuple[Any, ...]]:
    return storage.ask(
        f"SELECT source, pile, reason, sum(messages) FROM dmarc_sources_daily WHERE {where}"
        " GROUP BY ALL ORDER BY source, pile, reason"
    )


def configure(storage: Storage, *senders: dict[str, Any]) -> None:
    data = {"domains": [{"name": DOMAIN, "senders": list(senders)}, {"name": "example.net"}]}
    write_senders(storage.client(), Config.model_validate(data))
    storage.roll_up()


def test_mail_that_passes_spf_is_aligned(storage: Storage) -> None:
    storage.put(
        "dmarc_records", sent(0, spf=DOMAIN, dkim=DOMAIN, aligned="spf dkim"), sent(1, spf=DOMAIN, aligned="spf")
    )
    assert piles(storage) == [("192.0.2.0/24", "aligned", "", 20)]


def test_own_server_that_fails_is_ours_and_what_is_wrong_is_said(storage: Storage) -> None:
    broken = {"dkim_domains": [DOMAIN], "dkim_results": ["fail"], "dkim_selectors": ["s1"], "dkim_details": [""]}
    storage.put("dmarc_records", sent(0, spf=DOMAIN, aligned="spf"), {**failing(1), **broken})
    assert piles(storage) == [("192.0.2.0/24", "aligned", "", 10), ("192.0.2.0/24", "ours-failing", "dkim-broken", 10)]


def test_dkim_alone_is_aligned_from_own_server_and_forwarded_from_elsewhere(storage: Storage) -> None:
    storage.put(
        "dmarc_records",
        sent(0, spf=DOMAIN, aligned="spf"),
        sent(1, dkim=DOMAIN, aligned="dkim"),
        sent(2, dkim=DOMAIN, aligned="dkim", ip=FORWARDER, spf="university.example"),
    )
    assert piles(storage) == [("192.0.2.0/24", "aligned", "", 20), ("198.51.100.0/24", "forwarded", "", 10)]


@pytest.mark.slow
def test_service_that_signs_as_us_is_aligned_without_spf(storage: Storage) -> None:
    storage.put("dmarc_records", sent(0, spf="mail12.atl31.mcsv.net", dkim=DOMAIN, aligned="dkim", ip=FORWARDER))
    assert piles(storage) == [("Mailchimp", "aligned", "", 10)]


@pytest.mark.slow
def test_mailbox_provider_that_rewrites_the_return_path_has_forwarded(storage: Storage) -> None:
    storage.put("dmarc_records", sent(0, spf="gmail.com", dkim=DOMAIN, aligned="dkim", ip=FORWARDER))
    assert piles(storage) == [("Google Workspace", "forwarded", "", 10)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "sign",
    [
        {"reasons": ["mailing_list"], "comments": [""]},
        {"reasons": ["trusted_forwarder"], "comments": [""]},
        {"reasons": ["forwarded"], "comments": ["looks forwarded, downgrade to none"]},
        {"reasons": ["local_policy"], "comments": ["arc=pass as.1.example.org=pass"]},
    ],
)
def test_what_a_reporter_says_was_passed_on_is_forwarded(storage: Storage, sign: dict[str, Any]) -> None:
    storage.put("dmarc_records", failing(0, ip=FORWARDER, spf="lists.example.org", **sign))
    assert piles(storage) == [("198.51.100.0/24", "forwarded", "changed-on-the-way", 10)]


@pytest.mark.slow
def test_a_comment_about_arc_that_failed_is_no_sign(storage: Storage) -> None:
    storage.put(
        "dmarc_records", failing(0, ip=FORWARDER, reasons=["local_policy"], comments=["arc=fail, noarc=passed"])
    )
    assert piles(storage) == [("198.51.100.0/24", "unknown", "not-authenticated", 10)]


def test_forgery_is_unknown_and_not_own_mail(storage: Storage) -> None:
    storage.put(
        "dmarc_records",
        sent(0, spf=DOMAIN, aligned="spf", messages=3),
        failing(1, ip=ANYBODY, messages=90, disposition="reject"),
    )
    assert piles(storage, "pile = 'unknown'") == [("203.0.113.0/24", "unknown", "not-authenticated", 90)]
    own = "SELECT sum(passed_messages) / sum(messages) FROM dmarc_sources_daily WHERE pile != 'unknown'"
    assert storage.ask(own) == [(1.0,)]
    assert storage.ask("SELECT sum(rejected_messages), sum(delivered_messages) FROM dmarc_sources_daily") == [(90, 3)]


@pytest.mark.slow
def test_service_that_signs_for_itself_is_possibly_ours(storage: Storage) -> None:
    storage.put("dmarc_records", failing(0, ip=ANYBODY, spf="bounce.mcsv.net", dkim="mcsv.net"))
    assert piles(storage) == [("Mailchimp", "unknown", "dkim-other-domain", 10)]
    ((possibly, evidence),) = storage.ask("SELECT possibly_ours, evidence FROM dmarc_sources_daily")
    assert possibly
    assert evidence.startswith("possibly yours: Mailchimp authenticates it as itself")


@pytest.mark.slow
def test_service_that_authenticates_as_us_at_other_times_is_ours(storage: Storage) -> None:
    storage.put(
        "dmarc_records",
        sent(0, ip=FORWARDER, spf="x.mcsv.net", dkim=DOMAIN, aligned="dkim", day=days_ago(20)),
        failing(1, ip=ANYBODY, spf="bounce.mcsv.net", dkim="mcsv.net"),
    )
    assert piles(storage, f"day = '{YESTERDAY}'") == [("Mailchimp", "ours-failing", "dkim-other-domain", 10)]


@pytest.mark.slow
def test_other_customers_of_a_shared_service_are_not_ours(storage: Storage) -> None:
    storage.put(
        "dmarc_records",
        sent(0, spf=f"bounce.{DOMAIN}", dkim=f"{DOMAIN} amazonses.com", aligned="spf dkim"),
        failing(1, dkim="amazonses.com"),
        sent(2, spf=DOMAIN, dkim="ours.onmicrosoft.com", aligned="spf", ip=FORWARDER),
        failing(3, spf="theirs.onmicrosoft.com", dkim="theirs.onmicrosoft.com", ip=FORWARDER),
        failing(4, dkim="ours.onmicrosoft.com", ip=ANYBODY),
    )
    rows = storage.ask(
        "SELECT source, pile, possibly_ours, sum(messages) FROM dmarc_sources_daily WHERE passed_messages = 0"
        " GROUP BY ALL ORDER BY source, pile"
    )
    assert rows == [
        ("Amazon SES", "unknown", True, 10),
        ("Microsoft 365", "ours-failing", False, 10),
        ("Microsoft 365", "unknown", True, 10),
    ]


@pytest.mark.slow
def test_strict_alignment_of_spf_makes_own_mail_no_forwarded_mail(storage: Storage) -> None:
    """With aspf=s a return path of a subdomain passes SPF and is not aligned: DKIM alone is."""
    storage.put(
        "dmarc_records",
        sent(0, spf=f"bounce.{DOMAIN}", dkim=DOMAIN, aligned="dkim"),
        {**failing(1, spf=f"bounce.{DOMAIN}", dkim=DOMAIN), "dkim_results": ["permerror"]},
    )
    assert piles(storage) == [
        ("192.0.2.0/24", "aligned", "", 10),
        ("192.0.2.0/24", "ours-failing", "dkim-key-missing", 10),
    ]


@pytest.mark.slow
def test_another_domain_of_ours_makes_a_message_ours(storage: Storage) -> None:
    storage.put("dmarc_records", failing(0, ip=ANYBODY, spf="example.net"))
    assert piles(storage) == [("203.0.113.0/24", "ours-failing", "spf-other-domain", 10)]


@pytest.mark.slow
def test_evidence_ends_after_three_months(storage: Storage) -> None:
    storage.put("dmarc_records", sent(0, spf=DOMAIN, aligned="spf", day=days_ago(95)), failing(1))
    assert piles(storage, "passed_messages = 0") == [("192.0.2.0/24", "unknown", "not-authenticated", 10)]
    storage.put("dmarc_records", sent(0, spf=DOMAIN, aligned="spf", day=days_ago(91), report_key=2))
    assert piles(storage, "passed_messages = 0") == [("192.0.2.0/24", "ours-failing", "not-authenticated", 10)]


@pytest.mark.slow
def test_reporters_that_do_not_count_are_no_evidence_and_add_nothing_that_counts(storage: Storage) -> None:
    storage.put("dmarc_records", failing(0, ip=ANYBODY))
    forged = {"organization": "Forger", "report_key": 7}
    storage.put("dmarc_records", sent(0, ip=ANYBODY, spf=DOMAIN, aligned="spf", **forged), known=False)
    storage.put("dmarc_records", failing(1, ip=ANYBODY, messages=5000, **forged), known=False)
    assert piles(storage, "passed_messages = 0") == [("203.0.113.0/24", "unknown", "not-authenticated", 5010)]
    assert storage.ask("SELECT sum(counted_messages) FROM dmarc_sources_daily") == [(10,)]


REASONS = {
    "dkim-key-missing": {"dkim_results": ["permerror"]},
    "dkim-temperror": {"dkim_results": ["temperror"]},
    "dkim-broken": {"dkim_results": ["neutral"]},
    "not-aligned": {"dkim_results": ["pass"]},
    "spf-not-listed": {"dkim_results": ["none"], "spf_domains": [DOMAIN], "spf_results": ["softfail"]},
    "spf-permerror": {"dkim_domains": [""], "spf_domains": [DOMAIN], "spf_results": ["permerror"]},
    "spf-temperror": {"dkim_domains": [""], "spf_domains": [DOMAIN], "spf_results": ["temperror"]},
    "spf-other-domain": {"dkim_domains": [""], "spf_domains": ["b.example.org"], "spf_results": ["pass"]},
    "dkim-other-domain": {"dkim_domains": ["example.org"], "spf_domains": ["b.example.org"], "spf_results": ["pass"]},
    "not-authenticated": {"dkim_domains": ["example.org"], "dkim_results": ["fail"]},
    "no-verdict": {"evaluated": False, "dkim_results": ["fail"]},
}


def test_what_is_wrong_is_named(storage: Storage) -> None:
    """Each at an address of its own network."""
    rows = []
    for number, said in enumerate(REASONS.values()):
        domains = {"dkim_domains": [f"mail.{DOMAIN}"], "dkim_results": ["pass"], **said}
        lists = {
            "dkim_selectors": [""], "dkim_details": [""],
            "spf_scopes": [""] * len(domains.get("spf_domains", ())),
            "spf_details": [""] * len(domains.get("spf_domains", ())),
        }  # fmt: skip
        rows.append({**failing(number, ip=f"::ffff:192.0.{100 + number}.1"), **lists, **domains})
    for row in rows:  # each has columns of its own
        storage.put("dmarc_records", row)
    # a name of ours can only be proven by us
    asked = "SELECT source_ip, pile, reason, messages FROM dmarc_sources_daily ORDER BY source_ip"
    assert storage.ask(asked) == [
        (f"192.0.{100 + number}.1", "ours-failing" if reason == "not-aligned" else "unknown", reason, 10)
        for number, reason in enumerate(REASONS)
    ]


@pytest.mark.slow
def test_unknown_mail_is_one_source_by_the_domain_that_it_authenticates_as(storage: Storage) -> None:
    """DKIM before SPF, which a forwarder has of its own; and no name that only the mail itself claims."""
    storage.put(
        "dmarc_records",
        failing(0, ip=ANYBODY, dkim="mail.vendor.example", spf="bounce.vendor.example"),
        failing(1, ip=FORWARDER, dkim="vendor.example", spf="forwarder.example"),
        failing(2, ip=SERVER, spf="bounces.vendor.example"),
        sent(3, ip=FORWARDER, dkim=DOMAIN, aligned="dkim", spf="forwarder.example"),
    )
    claimed = {
        "dkim_domains": ["vendor.example"],
        "dkim_results": ["fail"],
        "dkim_selectors": [""],
        "dkim_details": [""],
    }
    storage.put("dmarc_records", {**failing(4, ip="::ffff:203.0.114.9"), **claimed})
    asked = "SELECT source, source_kind, pile, sum(messages) FROM dmarc_sources_daily GROUP BY ALL ORDER BY source"
    assert storage.ask(asked) == [
        ("198.51.100.0/24", "network", "forwarded", 10),
        ("203.0.114.0/24", "network", "unknown", 10),
        ("vendor.example", "domain", "unknown", 30),
    ]


@pytest.mark.slow
def test_addresses_are_shown_as_in_the_details(storage: Storage) -> None:
    storage.put("dmarc_records", *(failing(n, ip=ip) for n, ip in enumerate((SERVER, "2001:db8::7", "::"))))
    shown = storage.ask("SELECT source, source_kind, source_ip FROM dmarc_sources_daily ORDER BY source_ip")
    assert shown == [
        ("unknown address", "unknown", ""),
        ("192.0.2.0/24", "network", "192.0.2.1"),
        ("2001:db8::/48", "network", "2001:db8::7"),
    ]
    assert [(ip,) for *_, ip in shown] == storage.ask("SELECT source_ip FROM dmarc_record_details ORDER BY source_ip")


@pytest.mark.slow
def test_address_of_a_shared_service_that_passes_spf_as_us_is_not_ours_alone(storage: Storage) -> None:
    google = {"ip": "::ffff:209.85.220.41"}
    storage.put(
        "dmarc_records",
        sent(0, spf=DOMAIN, dkim=DOMAIN, aligned="spf dkim", **google),
        failing(1, spf="theirs.example", **google),
    )
    rows = storage.ask("SELECT source, pile, possibly_ours, evidence FROM dmarc_sources_daily ORDER BY pile")
    assert [row[:3] for row in rows] == [("Google Workspace", "aligned", False), ("Google Workspace", "unknown", True)]
    assert rows[1][3] == (
        "possibly yours: the address passes SPF as you at other times, but it is of Google Workspace, where anybody "
        "can be a customer"
    )
