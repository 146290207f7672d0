"""Moves reports that the spool has out of a mailbox, and those that it refuses to move later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.sources.mailbox.backoff import MAIL_WAITS, Backoff
from collector.sources.mailbox.mailbox import RefusedError
from collector.sources.mailbox.remembered import keep_present

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from collector.sources.mailbox.mailbox import Session
    from collector.sources.mailbox.remembered import Remembered

_AT_ONCE: Final = 100
_MOST_REFUSALS: Final = 3  # of the first mails, one by one: then the mailbox refuses all


class Moves:
    """Of one mailbox. What is to be moved stands in `remembered.unmoved`; methods raise what sessions do."""

    def __init__(self, remembered: Remembered, *, log: FilteringBoundLogger, clock: Callable[[], float]) -> None:
        self._remembered = remembered
        self._log = log
        self._backoff = Backoff(*MAIL_WAITS, clock=clock)
        self._nothing_moves = False  # of what was tried last
        self._said_they_stay = False
        self._new: list[str] = []

    def seconds_until_due(self) -> float | None:
        """None if nothing waits."""
        return self._backoff.left if self._remembered.unmoved else None

    def add(self, session: Session, keys: Sequence[str]) -> None:
        """Mails that now stand among the unmoved. They move in groups: each move may cost a server a look at all."""
        self._new += keys
        if len(self._new) >= _AT_ONCE:
            self.move_new(session)

    def move_new(self, session: Session) -> None:
        """Those that were added since, if the mailbox lets any be moved."""
        new, self._new = self._new, []
        if new and not (self._backoff.left and self._nothing_moves):
            self._move(session, new)

    def retry(self, session: Session) -> None:
        """Move what was refused, or what an earlier session did not come to, if it is due."""
        self._new.clear()
        unmoved = self._remembered.unmoved
        if not unmoved or self._backoff.left:
            return
        keep_present(session, unmoved)
        keys = list(unmoved)
        for start in range(0, len(keys), _AT_ONCE):
            self._move(session, keys[start : start + _AT_ONCE])
            if self._nothing_moves:
                break
        if unmoved:
            self._backoff.failed()
        elif self._backoff.failing:
            self._backoff.succeeded()
            self._log.info("reports were moved out of the mailbox")

    def _move(self, session: Session, keys: Sequence[str]) -> None:
        unmoved = self._remembered.unmoved
        kinds = {key: unmoved[key] for key in keys if key in unmoved}
        refused: dict[str, str] = {}
        for kind in () if session.read_only else dict.fromkeys(kinds.values()):
            refused |= self._refused(session, [key for key in kinds if kinds[key] == kind], kind)
        for key in kinds:
            del unmoved[key]
        unmoved.update({key: kinds[key] for key in refused})  # at the end: others go first when they are tried again
        self._nothing_moves = len(refused) == len(kinds)
        if refused and not self._backoff.failing:
            self._backoff.failed()
            self._log.warning(
                "reports cannot be moved; they are stored, stay in the mailbox, and are moved later",
                mails=len(refused),
                reason=next(iter(refused.values())),
            )

    def _refused(self, session: Session, keys: Sequence[str], kind: str) -> dict[str, str]:
        """Move mails; returns those that the server refuses to move, and why."""
        try:
            session.move(keys, kind)
        except RefusedError as error:
            return {keys[0]: str(error)} if len(keys) == 1 else self._refused_alone(session, keys, kind)
        stay = session.present(keys)
        if stay and session.moves_whole:
            return dict.fromkeys(stay, "the server reports them as moved, but they are still in the mailbox")
        if stay and not self._said_they_stay:  # and to copy them again would make a copy each time
            self._said_they_stay = True
            self._log.warning("the server reported reports as moved, but they are still in the mailbox")
        return {}

    def _refused_alone(self, session: Session, keys: Sequence[str], kind: str) -> dict[str, str]:
        """One by one: a single mail may be the reason. If none of the first moves, none does."""
        refused: dict[str, str] = {}
        for number, key in enumerate(keys, start=1):
            refused |= self._refused(session, [key], kind)
            if len(refused) == number == _MOST_REFUSALS:
                return dict.fromkeys(keys, refused[key])
        return refused
