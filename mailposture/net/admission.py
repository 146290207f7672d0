"""Admission of untrusted clients: how many may be connected at once, and how often one may connect.

One mechanism for SMTP, HTTPS and the policy host. What is counted may be connections or requests; whose they are is the
true client, also behind a proxy, whose own connections count in all only until it has said for whom they are.
"""

from __future__ import annotations

import time
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from mailposture.net.client_networks import client_network

if TYPE_CHECKING:
    from collections.abc import Callable

_WINDOW = 60.0  # seconds


class Refusal(StrEnum):
    """Why a client is refused; fit for a label."""

    FULL = "too-many-connections"
    FULL_OF_CLIENT = "too-many-connections-of-client"
    TOO_OFTEN = "too-many-connections-a-minute"


class Place:
    """One connection or request that is in, until it leaves."""

    __slots__ = ("_admission", "client")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.client = ""  # as client_network() names it; empty while only a proxy is known

    def belong_to(self, address: str) -> Refusal | None:
        """Count it for a client from now on, by its IP address; the reason to turn the client away, if there is one."""
        self.client = client_network(address)
        return self._admission.count(self.client)

    def leave(self) -> None:
        """It has ended; may be said more than once."""
        self._admission.leave(self)


class Admission:
    """Counts who is in; for one event loop."""

    def __init__(
        self,
        *,
        most: int,
        most_of_client: int | None = None,
        most_a_minute: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Bounds in all, of one client, and of one client's arrivals in a minute; None is no bound."""
        self._most = most
        self._most_of_client = most_of_client
        self._most_a_minute = most_a_minute
        self._clock = clock
        self._places: set[Place] = set()
        self._of_client: Counter[str] = Counter()
        self._arrivals: Counter[str] = Counter()  # since the window began
        self._window_began = clock()

    def __len__(self) -> int:
        return len(self._places)

    def enter(self, address: str | None) -> Place | Refusal:
        """Admit a client by IP address; None for a proxy that has not yet named its client."""
        if len(self._places) >= self._most:
            return Refusal.FULL
        place = Place(self)
        self._places.add(place)
        refusal = place.belong_to(address) if address is not None else None
        if refusal is not None:
            place.leave()
            return refusal
        return place

    def count(self, client: str) -> Refusal | None:
        """For Place: one more of this client."""
        self._of_client[client] += 1
        if self._most_of_client is not None and self._of_client[client] > self._most_of_client:
            return Refusal.FULL_OF_CLIENT
        if self._most_a_minute is not None:
            now = self._clock()
            if now - self._window_began >= _WINDOW:
                self._arrivals.clear()
                self._window_began = now
            self._arrivals[client] += 1
            if self._arrivals[client] > self._most_a_minute:
                return Refusal.TOO_OFTEN
        return None

    def leave(self, place: Place) -> None:
        """For Place: it has ended."""
        if place not in self._places:
            return
        self._places.remove(place)
        if place.client:
            self._of_client[place.client] -= 1
            if not self._of_client[place.client]:
                del self._of_client[place.client]
