"""Who counts of those that report on mail from a domain (view dmarc_reporters)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine import DOMAIN, TODAY, days_ago

if TYPE_CHECKING:
    from engine import Storage


ASKED = "SELECT reporter, standing, counts FROM dmarc_reporters ORDER BY reporter, trust"


@pytest.mark.slow
def test_reporter_that_is_proven_by_dkim_and_by_spf_is_one(storage: Storage) -> None:
    for trust in ("dkim", "authserv", "spf"):
        storage.accepted(DOMAIN, "a.example", trust, TODAY, TODAY, kind="dmarc")
    assert storage.ask(ASKED) == [("a.example", "newcomer", False)] * 3, "one newcomer alone does not count"
    storage.accepted(DOMAIN, "b.example", "spf", TODAY, TODAY, kind="dmarc")
    assert {row[2] for row in storage.ask(ASKED)} == {True}


@pytest.mark.slow
def test_days_of_both_proofs_make_a_reporter_known(storage: Storage) -> None:
    storage.accepted(DOMAIN, "a.example", "dkim", days_ago(40), days_ago(40), kind="dmarc")
    storage.accepted(DOMAIN, "a.example", "spf", TODAY, TODAY, kind="dmarc")
    assert storage.ask(ASKED) == [("a.example", "established", True)] * 2


@pytest.mark.parametrize("trust", ["author", "token"])
def test_unproven_reporter_never_counts_and_takes_no_place(storage: Storage, trust: str) -> None:
    for number in range(5):
        storage.accepted(DOMAIN, f"r{number}.example", trust, days_ago(90), TODAY, kind="dmarc")
    assert {row[1:] for row in storage.ask(ASKED)} == {("unproven", False)}
    storage.accepted(DOMAIN, "a.example", "dkim", TODAY, TODAY, kind="dmarc")
    assert storage.ask(ASKED)[0] == ("a.example", "newcomer", False), "they are no company for a newcomer"
    storage.accepted(DOMAIN, "a.example", "dkim", days_ago(2), TODAY, kind="dmarc")
    assert storage.ask(ASKED)[0] == ("a.example", "known", True)
