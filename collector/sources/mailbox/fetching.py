"""Fetches mails, and keeps what is wrong with one of them from the others.

A server may be unable to hand out a mail, answer without its body, or end the session whenever it is asked for it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from collector.metrics import LEFT
from collector.sources.mailbox.backoff import MAIL_WAITS, Backoff
from collector.sources.mailbox.mailbox import LostError, RefusedError, TooLargeError
from collector.sources.mailbox.remembered import keep_present

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from structlog.typing import FilteringBoundLogger

    from collector.sources.mailbox.mailbox import Fetched, Mailbox, Session
    from collector.sources.mailbox.remembered import Remembered

_MOST_BREAKS: Final = 3  # of the session while one mail is fetched: then the mail is the reason


class Fetching:
    """Of one mailbox. What could not be read stands in `remembered.unread`; methods raise what sessions do."""

    def __init__(
        self,
        mailbox: Mailbox,
        remembered: Remembered,
        *,
        limit: int,
        log: FilteringBoundLogger,
        clock: Callable[[], float],
    ) -> None:
        """`limit`: bytes; larger mails are left alone."""
        self._mailbox = mailbox
        self._remembered = remembered
        self._limit = limit
        self._log = log
        self._backoff = Backoff(*MAIL_WAITS, clock=clock)
        self._broke: Counter[str] = Counter()  # sessions that ended while a mail was fetched

    def seconds_until_due(self) -> float | None:
        """None if nothing waits."""
        return self._backoff.left if self._remembered.unread else None

    def due(self, session: Session) -> list[str]:
        """What could not be read before, if it is to be tried again now."""
        unread = self._remembered.unread
        if not unread or self._backoff.left:
            return []
        keep_present(session, unread)
        if unread:
            self._backoff.failed()  # until one of them can be read
        return list(unread)

    def fetch(self, session: Session, keys: Sequence[str], *, large: bool) -> Iterator[Fetched]:
        """Those of some mails that can be read, with their bodies; `large` ones in pieces."""
        missing = dict.fromkeys(keys)
        if len(keys) > 1 and not any(key in self._broke for key in keys):
            try:
                for mail in session.fetch(keys):
                    if mail.body is not None:
                        del missing[mail.key]
                        yield mail
            except RefusedError:
                pass  # because of one of them
            except (LostError, OSError):
                self._broke.update(missing.keys())
                raise
        for key in missing:
            if (alone := self._alone(session, key, large=large)) is not None:
                yield alone

    def _alone(self, session: Session, key: str, *, large: bool) -> Fetched | None:
        mail = None
        try:
            if self._broke[key] >= _MOST_BREAKS:
                raise RefusedError("the session ends whenever it is fetched")
            mail = session.fetch_large(key, limit=self._limit) if large else next(iter(session.fetch([key])), None)
            if (mail is None or mail.body is None) and key in session.present([key]):
                raise RefusedError("the server answers without it")
        except TooLargeError as error:
            self.leave_too_large(key, error.size)
        except RefusedError as error:
            self._cannot_read(key, str(error))
            return None
        except (LostError, OSError):
            self._broke[key] += 1
            raise
        self._broke.pop(key, None)
        if key in self._remembered.unread:
            del self._remembered.unread[key]
            self._backoff.succeeded()
        return mail if mail is not None and mail.body is not None else None

    def _cannot_read(self, key: str, reason: str) -> None:
        self._broke.pop(key, None)
        if key in self._remembered.unread:
            return
        self._remembered.unread[key] = None
        if not self._backoff.failing:
            self._backoff.failed()
        LEFT.labels(self._mailbox.source.value, "unreadable").inc()
        self._log.warning(
            "a mail cannot be read; it stays in the mailbox, and is tried again later",
            mail=self._mailbox.mail_name(key),
            reason=reason,
        )

    def leave_too_large(self, key: str, size: int) -> None:
        """Log and count it; nothing else happens to it."""
        LEFT.labels(self._mailbox.source.value, "too-large").inc()
        self._log.warning(
            "a mail is too large to be a report; it stays in the mailbox",
            mail=self._mailbox.mail_name(key),
            bytes=size,
            limit=self._limit,
        )
