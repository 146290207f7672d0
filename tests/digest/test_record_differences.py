"""What is otherwise in a record, in few words, whatever stands in it."""

from __future__ import annotations

import pytest

from reports.digest.difference import difference

KEY = "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA" + 100 * "a"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "v=DMARC1; p=none; rua=mailto:r@x.example",
            "v=DMARC1; p=reject; rua=mailto:r@x.example",
            "p=none; → p=reject;",
        ),
        ("v=spf1 mx -all", "v=spf1 mx include:a.example -all", "added include:a.example"),
        ("v=spf1 mx a -all", "v=spf1 mx -all", "taken out a"),
        ("v=spf1 -all", "v=spf1 -all", "changed, and changed back"),
        ("", "v=spf1 -all", "new: v=spf1 -all"),
        ("v=spf1 -all", "", "gone; was v=spf1 -all"),
        (
            "10 mx1.x.example\n20 mx2.x.example",
            "10 mx1.x.example\n30 mx3.x.example",
            "20 mx2.x.example → 30 mx3.x.example",
        ),
        ("v=spf1  -all", "v=spf1 -all", "v=spf1 -all, written otherwise"),
        (f"{KEY}bb", f"{KEY}cc", "…aaaaaaaaaaaabb → …aaaaaaaaaaaacc"),
        ("x y", "x \u202e\x1b[2J", "y → [2J"),
    ],
)
def test_difference(before: str, after: str, words: str) -> None:
    assert difference(before, after) == words


def test_it_stays_short_whatever_a_zone_says() -> None:
    before, after = (" ".join(f"include:{word}{number}.example" for number in range(500)) for word in "ab")
    assert len(difference(before, after)) < 170
    assert difference(before, after).endswith("…")
