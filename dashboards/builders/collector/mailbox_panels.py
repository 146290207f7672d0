"""The mailboxes that are read: whether each can be, since when, what waits in it, and what failed."""

from __future__ import annotations

from typing import Final

from dashboards.builders.common import look
from dashboards.builders.common.counters import an_hour, counted
from dashboards.builders.common.grafana import metric, steps, words
from dashboards.builders.common.panels import graph, stat

_NONE: Final = "No mailbox is configured"

PANELS = (
    stat(
        "Mailboxes",
        "Whether each mailbox can be read. While one cannot, its reports wait there; `mailposture check --mailboxes` "
        "says what is wrong.",
        metric("min by (mailbox) (mailposture_mailbox_up)", legend="{{mailbox}}", now=True),
        width=12,
        unit="none",
        thresholds=steps((None, look.BAD), (1, look.GOOD)),
        mappings=(words({"1": ("up", look.GOOD), "0": ("down", look.BAD)}),),
        nothing=_NONE,
        names=True,
        text_size=22,
    ),
    stat(
        "Last read",
        "When each mailbox was last read to its end, or a part of it.",
        metric(
            "1000 * max by (mailbox) (mailposture_mailbox_last_success_timestamp_seconds)",
            legend="{{mailbox}}",
            now=True,
        ),
        width=12,
        unit="dateTimeFromNow",
        nothing=_NONE,
        names=True,
        text_size=22,
    ),
    graph(
        "Mails that are to be done",
        "Mails of each mailbox that wait to be looked at, that the server does not hand out (unreadable), or whose "
        "reports are stored but cannot be moved to their folder (unmoved).",
        metric("sum by (mailbox, state) (mailposture_mailbox_backlog) > 0", legend="{{mailbox}}: {{state}}"),
        width=12,
        unit="locale",
        minimum=0,
        fill=10,
        interval="1m",
        nothing="No mail waits in a mailbox",
    ),
    counted(
        "Errors of mailboxes",
        "Failures per hour of a mailbox as a whole, by reason. A few are normal: providers end sessions.",
        (f"{an_hour('mailposture_mailbox_errors_total', 'mailbox', 'reason')} > 0", "{{mailbox}}: {{reason}}"),
        width=12,
        stacked=False,
        nothing="No mailbox failed in this time range",
    ),
)
