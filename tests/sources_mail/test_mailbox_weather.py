"""Whatever a server refuses, whenever it hangs up and we are restarted: each report is stored, and moved in the end."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from sources_mail.odd_imap import HangUpError, OddImap
from sources_mail.reading import Clock, RecordingSpool, news_feed, private_mail, report_mail

from collector.sources.mailbox.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.sources.mailbox.loop import MailboxLoop

DAY = 86_400.0


class Weather:
    """A server that does at random what some server does."""

    def __init__(self, odd: OddImap, seed: int) -> None:
        self.odd = odd
        self.chance = random.Random(seed)
        self.bad = True
        odd.before_fetch = self.before_fetch
        odd.before_move = self.before_move
        odd.body = self.body
        odd.size = self.size

    def happens(self, share: float) -> bool:
        return self.bad and self.chance.random() < share

    def before_fetch(self, _uid: int) -> str | None:
        if self.happens(0.01):
            raise HangUpError
        return "[UNAVAILABLE] later" if self.happens(0.03) else None

    def before_move(self, _uid: int) -> str | None:
        if self.happens(0.01):
            raise HangUpError
        return "[OVERQUOTA] later" if self.happens(0.05) else None

    def body(self, uid: int) -> bytes | None:
        return self.chance.choice([b"BODY[] NIL", b"FLAGS ()", None]) if self.happens(0.03) else self.odd.literal(uid)

    def size(self, uid: int) -> str:
        return "FLAGS ()" if self.happens(0.05) else f"RFC822.SIZE {len(self.odd.mails[uid])}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_in_bad_weather_nothing_is_lost_and_nothing_else_is_taken(
    read: Callable[..., MailboxLoop], spool: RecordingSpool, clock: Clock, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(Backoff, "left", property(lambda self: 0.02 if self.failing else 0.0))
    chance = random.Random(seed)
    mails = [chance.choice([report_mail, private_mail, lambda _: news_feed()])(number) for number in range(1, 301)]
    reports = {mail for mail in mails if b"report-type=tlsrpt" in mail}
    with OddImap(*mails[:200]).serving() as odd:
        weather = Weather(odd, seed)
        reader = read(odd)
        for start in range(200, 300, 20):
            with odd.lock:
                odd.mails |= dict(enumerate(mails[start : start + 20], start=start + 1))
            if chance.random() < 0.7:
                reader.stop()
                spool.full = chance.random() < 0.3
                reader = read(odd)
                if spool.full:
                    eventually("the spool is full, or nothing more comes", lambda: spool.refused or _all_read(odd))
                    spool.full = False
        with odd.lock:
            weather.bad = False
        clock.turn(DAY)
        eventually("every report is moved", lambda: set(odd.processed.values()) == reports)
    assert set(spool.bodies) == reports
    assert set(odd.mails.values()) == set(mails) - reports
    downloads = Counter(odd.bodies_sent)
    assert sum(downloads.values()) < 3 * len(mails)
    assert max(downloads.values()) < 20


def _all_read(odd: OddImap) -> bool:
    with odd.lock:
        return all(odd.downloads(uid) for uid in odd.mails)
