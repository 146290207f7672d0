"""Mails the weekly digest when it is due, each to each recipient once.

At least once, that is: what is not known to have been handed over is handed over again, with the same Message-ID, by
which mail programs and servers recognize it. A mail server that is away delays a digest and loses none: it is tried
until the next one is due.
"""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog

from exporter.digests.delivery import DeliveryError, connected, hand_over
from exporter.digests.record import Sent, note_sent, read_sent
from exporter.digests.schedule import Mailing, last_due, mailings, week_of
from exporter.digests.status import Status
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.faults import reason
from reports.digest.mail import as_mail
from reports.digest.page import page
from reports.digest.reading import read_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage

    from clickhouse_connect.driver import Client
    from prometheus_client.registry import CollectorRegistry

    from mailposture.config.digest import Digest
    from mailposture.config.model import Config
    from reports.digest.week import Week

log = structlog.get_logger()

_LOOK_EVERY: Final = 15.0  # seconds
_FIRST_RETRY: Final = timedelta(minutes=1)
_LONGEST_RETRY: Final = timedelta(minutes=30)


def compose(client: Client, digest: Digest, mailing: Mailing, week: Week, *, now: datetime) -> EmailMessage:
    """The mail of a digest, read now."""
    content = read_digest(client, week, domains=mailing.scope.domains, scope=mailing.scope.title)
    shown = page(content, grafana_url=digest.grafana_url or "")
    return as_mail(shown, week, sender=digest.sender, recipients=mailing.recipients, sent_at=now)


class Sending:
    """Sends from start() to stop(), in a thread of its own."""

    def __init__(
        self,
        *,
        config: Callable[[], Config],
        registry: CollectorRegistry,
        client: Callable[[], Client] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`config` is the configuration as it is now: without a digest in it nothing is sent."""
        self._config = config
        self._connect = client or (lambda: connect(config(), user=config().clickhouse.exporter_user))
        self._clock = clock
        self._done: tuple[Week, Digest] | None = None  # the last week of which nothing waits, by these settings
        self._status = Status(registry)
        self._unnoted: list[Sent] = []  # handed over, and not in the database yet
        self._retry_at: datetime | None = None
        self._pause = _FIRST_RETRY
        self._fault = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="digest", daemon=True)

    @property
    def fault(self) -> str:
        """Why the last attempt failed; empty if none has since the last success."""
        return self._fault

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it is not waited for, since a mail server may hang. Then the mail is sent again."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY):
            self.look()

    def look(self) -> None:
        """Send what is due and has not been sent, unless that failed a moment ago."""
        digest, now = self._config().digest, self._clock()
        if digest is None:
            self._status.waits(0, since=now)
            return
        due = last_due(digest, now)
        week = week_of(digest, due)
        if self._done == (week, digest) or (self._retry_at is not None and now < self._retry_at):
            return
        try:
            with closing(self._connect()) as client:
                complete = self._send(client, digest, week, due)
        except Exception as error:  # whatever it is, the next attempt must come
            self._failed(reason(error))
            complete = False
        if complete:
            self._done, self._retry_at, self._pause, self._fault = (week, digest), None, _FIRST_RETRY, ""
        else:
            self._retry_at = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_RETRY)

    def _send(self, client: Client, digest: Digest, week: Week, due: datetime) -> bool:
        """Whether nothing of the week waits any more."""
        self._note(client)
        sent = read_sent(client, week)
        if sent:
            self._status.sent(max(sent.values()))
        every = tuple(mailings(self._config(), digest))
        waiting = {(each.scope.team, to) for each in every for to in each.recipients} - sent.keys()
        self._status.waits(len(waiting), since=due)
        for mailing in every:
            recipients = [to for to in mailing.recipients if (mailing.scope.team, to) in waiting]
            if recipients:
                mail = compose(client, digest, mailing, week, now=self._clock())
                for recipient in self._hand_over(digest, mail, recipients):
                    waiting.discard((mailing.scope.team, recipient))
                    self._status.waits(len(waiting), since=due)
                    at = self._clock()
                    self._status.sent(at)
                    self._unnoted.append(Sent(week, mailing.scope.team, recipient, mail["Message-ID"], at))
                    self._note(client)
        return not waiting

    def _hand_over(self, digest: Digest, mail: EmailMessage, recipients: list[str]) -> Iterator[str]:
        """Those for whom the server has accepted it."""
        content = mail.as_bytes()
        try:
            with connected(digest.smtp) as session:
                for recipient in recipients:
                    try:
                        hand_over(session, content, sender=digest.sender, recipient=recipient)
                    except DeliveryError as error:
                        self._failed(str(error))
                    else:
                        self._status.attempted("success")
                        log.info("digest handed over", recipient=recipient, message_id=mail["Message-ID"])
                        yield recipient
        except DeliveryError as error:
            self._failed(str(error))

    def _note(self, client: Client) -> None:
        """Before anything else is sent: what is not noted would be sent again after a restart."""
        while self._unnoted:
            note_sent(client, self._config(), self._unnoted[0])
            self._unnoted.pop(0)

    def _failed(self, why: str) -> None:
        self._status.attempted("failure")
        if why != self._fault:
            log.error("digest not sent", reason=why)
        self._fault = why
