"""How a mailbox fares is a metric: up, last success, backlog and errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from eventually import eventually
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sources_mail.odd_imap import HangUpError, OddImap
from sources_mail.reading import RecordingSpool, private_mail, report_mail

from collector.sources.mailbox.health import MailboxCollector

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.sources.mailbox.loop import MailboxLoop

NAME = re.compile(r"reports at localhost:\d+, INBOX")


def series(*loops: MailboxLoop) -> dict[tuple[str, ...], float]:
    """By name and labels, without the mailbox's own name."""
    registry = CollectorRegistry()
    registry.register(MailboxCollector([each.health for each in loops]))
    text = generate_latest(registry).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert NAME.fullmatch(sample.labels.pop("mailbox"))
            found[sample.name.removeprefix("mailposture_mailbox_"), *sample.labels.values()] = sample.value
    return found


def test_a_mailbox_that_was_never_read_is_down_and_has_all_its_series(read: Callable[..., MailboxLoop]) -> None:
    with OddImap().serving() as odd:
        pass
    loop = read(odd)  # nobody listens there any more
    eventually("a failure", lambda: series(loop)["errors_total", "unreachable"] > 0)
    found = series(loop)
    assert found["up",] == 0
    assert ("last_success_timestamp_seconds",) not in found
    assert {name: found[name] for name in found if name[0] == "backlog"} == {
        ("backlog", "waiting"): 0,
        ("backlog", "unreadable"): 0,
        ("backlog", "unmoved"): 0,
    }
    assert found["errors_total", "login"] == 0


def test_backlog_and_success_are_shown_while_it_is_read(
    read: Callable[..., MailboxLoop], spool: RecordingSpool
) -> None:
    with OddImap(*(report_mail(number) for number in range(1, 251))).serving() as odd:
        seen: list[Any] = []
        spool.before_return = lambda: seen.append(series(loop)["backlog", "waiting"])
        loop = read(odd)
        eventually("all", lambda: len(odd.processed) == 250)
        eventually("no more waits", lambda: series(loop)["backlog", "waiting"] == 0)
        assert seen[0] == 250
        assert seen[-1] <= 100
        assert series(loop)["up",] == 1
        assert series(loop)["last_success_timestamp_seconds",] > 0


def test_what_cannot_be_read_or_moved_is_backlog(read: Callable[..., MailboxLoop]) -> None:
    with OddImap(report_mail(1), report_mail(2), private_mail(3)).serving() as odd:
        odd.body = lambda uid: odd.literal(uid) if uid != 3 else b"BODY[] NIL"
        odd.before_move = lambda uid: "[OVERQUOTA] full" if uid == 1 else None
        loop = read(odd)
        eventually("one stays", lambda: series(loop)["backlog", "unmoved"] == 1 and 2 in odd.processed)
        assert series(loop)["backlog", "unreadable"] == 1
        assert series(loop)["up",] == 1


def test_a_server_that_fails_from_some_day_on_is_down(read: Callable[..., MailboxLoop]) -> None:
    with OddImap(report_mail(1)).serving() as odd:
        loop = read(odd)
        eventually("up", lambda: series(loop)["up",] == 1)

        def hang_up(_uid: int) -> str | None:
            raise HangUpError

        with odd.lock:
            odd.before_fetch = hang_up
            odd.mails[2] = report_mail(2)
        eventually("down", lambda: series(loop)["up",] == 0)
        assert sum(value for name, value in series(loop).items() if name[0] == "errors_total") > 0


def test_a_spool_that_is_full_is_no_fault_of_the_mailbox(
    read: Callable[..., MailboxLoop], spool: RecordingSpool
) -> None:
    spool.full = True
    with OddImap(report_mail(1)).serving() as odd:
        loop = read(odd)
        eventually("two tries", lambda: spool.refused >= 2)
        assert sum(value for name, value in series(loop).items() if name[0] == "errors_total") == 0
