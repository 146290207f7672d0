"""What is known about the mails of a mailbox that stay in it, so that none is downloaded twice; over restarts too.

How far the mailbox was read is one key, however many private mails lie there. Beside it stand the few that are not
done: those that could not be read, and reports that we have but that could not be moved. Both are bounded.
"""

from __future__ import annotations

import contextlib
import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from collector.sources.mailbox.mailbox import Session

MOST: Final = 5_000  # keys of each sort; the oldest is forgotten, and its mail stays where it is


class Remembered:
    """In a file, which save() writes. Losing it costs a download of everything, and no report."""

    def __init__(self, folder: Path, mailbox: str, *, kinds: Iterable[str]) -> None:
        """`kinds`: of reports that are recognized; with others, all mails are looked at again."""
        self._path = folder / f"{sha256(mailbox.encode()).hexdigest()[:16]}.json"
        self._mailbox = mailbox
        self._kinds = sorted(kinds)
        self._epoch = ""
        self.position = ""
        self.unmoved: dict[str, str] = {}  # with the kind of their reports
        self.unread: dict[str, None] = {}
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            self._load(json.loads(self._path.read_bytes()))

    def begin(self, epoch: str) -> None:
        """Forget everything if keys mean other mails now."""
        if epoch != self._epoch:
            self._epoch, self.position = epoch, ""
            self.unmoved.clear()
            self.unread.clear()

    def save(self) -> None:
        """Raises OSError."""
        for keys in (self.unmoved, self.unread):
            _forget_oldest(keys)
        known = {
            "mailbox": self._mailbox,
            "kinds": self._kinds,
            "epoch": self._epoch,
            "position": self.position,
            "unmoved": self.unmoved,
            "unread": list(self.unread),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(json.dumps(known), encoding="utf-8")
        unfinished.replace(self._path)

    def _load(self, known: dict[str, object]) -> None:
        if known["kinds"] != self._kinds:
            return
        unmoved, unread = known["unmoved"], known["unread"]
        if isinstance(unmoved, dict) and isinstance(unread, list):
            self._epoch, self.position = str(known["epoch"]), str(known["position"])
            self.unmoved = {str(key): str(kind) for key, kind in unmoved.items()}
            self.unread = dict.fromkeys(map(str, unread))


def _forget_oldest(keys: dict[str, Any]) -> None:
    while len(keys) > MOST:
        del keys[next(iter(keys))]


def keep_present(session: Session, keys: dict[str, Any]) -> None:
    """Forget mails that somebody has moved or deleted. Raises what sessions do."""
    present = session.present(list(keys))
    for key in list(keys):
        if key not in present:
            del keys[key]
