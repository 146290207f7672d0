"""Prose and names use the standard terms of mail operations: some words that have crept in before do not come back."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
from programs import needs, program

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parent.parent
# What others wrote, or what tools write: mails and reports as they came, licence, locked requirements.
_NOT_OURS: Final = re.compile(r"(^|/)samples/|^LICENSE$|^requirements/|\.(png|eml|gz|zip)$")

# A pattern, and what to write instead.
WORDS: Final = {
    r"\b(?:un)?mend(?:s|ed|ing)?\b": "fix",
    r"stranger": "untrusted (sender, client, text), anyone",
    r"\bvouch\w*": "authenticated, trusted, accepted by an operator",
    r"\btold\b": "is logged, reported, shown; distinguished",
    r"(?<![.\w])tell(?:s|ing)?\b(?!\()": "log, report, show, say; distinguish",
    r"\banew\b": "again",
    r"\bby itself\b": "automatically; on its own",
    r"\b(?:held|holds?|holding) (?:\w+ ){0,2}back\b": "not delivered, refused, deferred",
    r"\brot(?:s|ted|ting)?\b": "are already there",
    r"\bin peace\b": "undisturbed",
    r"\bends? well\b": "is rejected safely",
    r"\bwhose word\b|\bword counts\b": "that counts in alerts",
    r"\bfor people\b": "in words, to read",
    r"\b(?:one|a) row an? \w+": "one row per",
    r"\b(?:bytes|mails|messages|posts|queries|reports|rows|sessions) an? (?:second|minute|hour)\b": "per second",
    r"\b(?:a|one) (?:command|field|file|line|mail|panel|policy|report|session) an? "
    r"(?:connection|dashboard|day|domain|group|host|line|month|report|user)\b": "one per",
    r"\b(?:travels?|travelled|crosses the internet|sent) readable\b": "is sent in plaintext",
    r"\b(?:Believed|Unproven|Unusable|NotYet)\b": "Accepted, Quarantined, Rejected, Deferred",
    r"\bUnprovenReason\b": "QuarantineReason",
}


def _texts() -> dict[str, str]:
    """Every tracked text file of ours but this one, by its path."""
    listed = subprocess.run([program("git"), "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    texts = {}
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path == Path(__file__) or _NOT_OURS.search(name) or not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" not in content:
            texts[name] = content.decode("utf-8", "replace")
    return texts


def _misses(text: str) -> list[str]:
    """Each word that is not to be used, with its line and what to write instead."""
    return [
        f"{text.count(chr(10), 0, found.start()) + 1}: {found[0]!r}, better: {better}"
        for pattern, better in WORDS.items()
        for found in re.finditer(pattern, text, re.IGNORECASE if pattern.islower() else 0)
    ]


@needs("git")
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a Git checkout")
def test_prose_and_names_use_the_terms_of_the_field() -> None:
    texts = _texts()
    assert len(texts) > 300
    assert [f"{name}:{miss}" for name, text in sorted(texts.items()) for miss in _misses(text)] == []


@pytest.mark.parametrize(
    "line",
    [
        "the view must be mended",
        "text that strangers wrote",
        "def stranger_id():",
        "an operator vouches for it",
        "DKIM results tell of nothing",
        "one row a report",
        "senders hold the mail back",
        "class Unproven:",
    ],
)
def test_a_word_of_the_list_is_found(line: str) -> None:
    assert len(_misses(line)) == 1


@pytest.mark.parametrize("line", ["recommended: fix it", "position = body.tell()", "one row per report", "twice a day"])
def test_plain_words_are_not_found(line: str) -> None:
    assert _misses(line) == []
