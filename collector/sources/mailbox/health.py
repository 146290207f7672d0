"""How each mailbox fares, for whoever scrapes: the only way in whose failure no sender notices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from collector.sources.mailbox.mailbox import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client.core import Metric

    from collector.sources.mailbox.remembered import Remembered


class MailboxHealth:
    """Of one mailbox; written by the thread that reads it, read by scrapes."""

    def __init__(self, mailbox: str, remembered: Remembered, *, clock: Callable[[], float] = time.time) -> None:
        """`mailbox`: its name, the label of its series; `clock`: seconds since 1970."""
        self.mailbox = mailbox
        self.up = False
        self.last_success: float | None = None
        self.waiting = 0  # mails that were found in it and not yet looked at
        self.errors = dict.fromkeys(Trouble, 0)
        self._remembered = remembered
        self._clock = clock

    def succeeded(self) -> None:
        """Mails were read, or there are none."""
        self.up, self.last_success = True, self._clock()

    def failed(self, trouble: Trouble) -> None:
        self.up = False
        self.errors[trouble] += 1

    @property
    def backlog(self) -> dict[str, int]:
        """Mails that are to be done, by what is to be done."""
        return {
            "waiting": self.waiting,
            "unreadable": len(self._remembered.unread),
            "unmoved": len(self._remembered.unmoved),
        }


class MailboxCollector(Collector):
    """The series of all mailboxes."""

    def __init__(self, mailboxes: Sequence[MailboxHealth]) -> None:
        self._mailboxes = mailboxes

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "mailposture_mailbox_up", "1 while a mailbox can be read, 0 from the first failure on", labels=["mailbox"]
        )
        last = GaugeMetricFamily(
            "mailposture_mailbox_last_success_timestamp_seconds",
            "When a mailbox was last read; no series before the first time",
            labels=["mailbox"],
        )
        backlog = GaugeMetricFamily(
            "mailposture_mailbox_backlog",
            "Mails of a mailbox that are to be done, by state: waiting, unreadable, or unmoved (stored, but not moved)",
            labels=["mailbox", "state"],
        )
        errors = CounterMetricFamily(
            "mailposture_mailbox_errors",
            "Failures of a mailbox as a whole, by reason",
            labels=["mailbox", "reason"],
        )
        for each in self._mailboxes:
            up.add_metric([each.mailbox], each.up)
            if each.last_success is not None:
                last.add_metric([each.mailbox], each.last_success)
            for state, mails in each.backlog.items():
                backlog.add_metric([each.mailbox, state], mails)
            for trouble, times in each.errors.items():
                errors.add_metric([each.mailbox, trouble.value], times)
        return up, last, backlog, errors
