"""What is new in a folder at Microsoft Graph, the oldest first, though a delta query lists in an order of its own.

So all that is new is listed before any of it is handed out. Of more than memory should hold, only the oldest are kept,
and then everything is listed again for those that come after them. Where the first of these lists ended, the next look
begins: what has come or was moved back meanwhile is listed then.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from collector.sources.mailbox.graph_client import GoneError, entries
from collector.sources.mailbox.mailbox import LostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.sources.mailbox.graph_client import GraphClient

_MOST_KEPT: Final = 20_000  # mails, some 6 MB
_HANDED_OUT_AT_ONCE: Final = 100
_LONGEST_KEY: Final = 1_024  # characters; Graph's have some 150
_MOST_PAGES_WITHOUT_MAILS: Final = 1_000  # in a row


class GraphMail(NamedTuple):
    """In the order of their delivery."""

    delivered: str  # UTC in ISO 8601, which sorts as time does; empty if Graph does not say
    key: str


class Place(NamedTuple):
    """How far a folder was read."""

    begin: str = ""  # the link that lists what is being handed out; empty: the whole folder
    end: str = ""  # the link that lists what has come since; empty if no list has ended yet
    last: GraphMail = GraphMail("", "")  # it and all before it are done

    def written(self) -> str:
        return json.dumps(self)


class Listing:
    """Of one folder. mails() may be called again after it has ended, from where it ended."""

    def __init__(self, client: GraphClient, first: str) -> None:
        """`first`: the path of a delta query about the whole folder."""
        self._client = client
        self._first = first
        self.waiting = 0  # mails that were listed and are not handed out
        self.end = ""  # the place, once all is done

    def mails(self, after: str) -> Iterator[list[tuple[GraphMail, str]]]:
        """Mails after a place, each with its own, some at a time; and nothing now and then while they are listed."""
        place = place_of(after)
        while True:
            oldest: list[GraphMail] = []
            found, end = 0, ""
            try:
                for page in self._pages(place.begin or self._first):
                    new = [mail for mail in _mails_on(page) if mail > place.last]
                    found += len(new)
                    oldest = _oldest(oldest + new)
                    self.waiting = found
                    end = _link(page, "deltaLink")
                    yield []
            except GoneError:  # links expire some day
                if not place.begin:
                    raise
                place = Place()
                continue
            place = place._replace(end=place.end or end)
            oldest = sorted(oldest)[:_MOST_KEPT]
            for start in range(0, len(oldest), _HANDED_OUT_AT_ONCE):
                some = oldest[start : start + _HANDED_OUT_AT_ONCE]
                self.waiting = found - start - len(some)
                yield [(mail, place._replace(last=mail).written()) for mail in some]
            if len(oldest) == found:
                self.end = Place(begin=place.end).written()
                return
            place = place._replace(last=oldest[-1])

    def first_page(self) -> list[GraphMail]:
        """Some mails, in no order."""
        return next((mails for page in self._pages(self._first) if (mails := _mails_on(page))), [])

    def _pages(self, link: str) -> Iterator[dict[str, Any]]:
        """The last one has a deltaLink."""
        followed: set[int] = set()
        without_mails = 0
        while True:
            page = self._client.get(link)
            yield page
            following = _link(page, "nextLink")
            if not following:
                if not _link(page, "deltaLink"):
                    raise LostError("Graph does not say how its list goes on")
                return
            followed.add(hash(link))
            without_mails = 0 if _mails_on(page) else without_mails + 1
            if hash(link := following) in followed or without_mails > _MOST_PAGES_WITHOUT_MAILS:
                raise LostError("Graph names pages without an end")


def place_of(written: str) -> Place:
    """The whole folder, if it is not one of ours."""
    try:
        begin, end, (delivered, key) = json.loads(written)
        return Place(str(begin), str(end), GraphMail(str(delivered), str(key)))
    except (ValueError, TypeError):
        return Place()


def moment_of(written: object) -> datetime | None:
    """`receivedDateTime`: 2026-11-28T09:15:00Z."""
    try:
        return datetime.fromisoformat(str(written)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _mails_on(page: dict[str, Any]) -> list[GraphMail]:
    found = []
    for each in entries(page):
        key = each.get("id")
        if not isinstance(key, str) or "@removed" in each:
            continue
        if len(key) > _LONGEST_KEY:
            raise LostError(f"Graph names a mail with {len(key):,} characters")
        moment = moment_of(each.get("receivedDateTime"))
        found.append(GraphMail(moment.isoformat(timespec="microseconds") if moment else "", key))
    return found


def _oldest(mails: list[GraphMail]) -> list[GraphMail]:
    """Those that are kept; sorted now and then only."""
    return mails if len(mails) <= 2 * _MOST_KEPT else sorted(mails)[:_MOST_KEPT]


def _link(page: dict[str, Any], name: str) -> str:
    return str(page.get(f"@odata.{name}") or "")
