"""Who may fill how much of the spool with mail that nothing authenticates.

Anybody can send such mail, so each state (deferred, quarantined, rejected) has a budget, kept in the transaction that
inserts. Over it, the client that takes most makes room, of its messages those of the claimed domain that takes most,
and of these the newest: a flood displaces itself first, and what was there before it stays. With one relay in front all
mail has one client, and the claims decide. What carries a valid signature, though not of whom the report claims to come
from, is counted by its signer, and there by who delivered it, for anybody can deliver it again and again. Half of a
budget is its own, so mail that anybody can forge never displaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

_ROW_BYTES = 512  # what a row and its entries in indexes take beside its bytes: very many small ones are bounded too
_COPIES_OF_ORIGIN = 4  # in the row, an index, and `shares` with its index
_STEP_BYTES = 64 * 1024  # that one share gives at once, at least, so that a large message costs few steps
_STEP_MESSAGES = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a message counts for."""

    client: str  # an IPv4 address, an IPv6 /48, a mailbox; where it is signed, the organizational domain of the signer
    claim: str = ""  # the organizational domain that it says it comes from; where it is signed, who delivered it
    signed: bool = False  # a DKIM signature holds

    @property
    def row_bytes(self) -> int:
        """About what a message of it takes in the file beside its own bytes."""
        return _ROW_BYTES + _COPIES_OF_ORIGIN * (len(self.client) + len(self.claim))


@dataclass(frozen=True, slots=True)
class _Share:
    """What one origin has, and by how much that is more than what the next one has."""

    client: str
    claim: str
    lead: int


def too_many(connection: sqlite3.Connection, state: str, budget: int) -> list[int]:
    """The rows of a state that have to go next until it fits into `budget` bytes: some of them; empty if it fits.

    Rows are of `held`, or of `deferred` for the state of this name. Delete them, then ask again.
    """
    totals = dict(
        connection.execute("SELECT signed, bytes FROM shares WHERE state = ? AND level = 0", (state,)).fetchall()
    )
    excess = sum(totals.values()) - budget
    if excess <= 0:
        return []
    signed = int(totals.get(0, 0) <= budget // 2)
    share = _heaviest(connection, state, signed)
    origin = (signed, share.client, share.claim)
    if state == "deferred":
        newest = "SELECT id, bytes FROM deferred WHERE signed = ? AND client = ? AND claim = ? ORDER BY id DESC LIMIT ?"
        rows = connection.execute(newest, (*origin, _STEP_MESSAGES))
    else:
        newest = (
            "SELECT rowid, bytes FROM held WHERE state = ? AND signed = ? AND client = ? AND claim = ?"
            " ORDER BY rowid DESC LIMIT ?"
        )
        rows = connection.execute(newest, (state, *origin, _STEP_MESSAGES))
    going: list[int] = []
    enough = min(excess, max(share.lead, _STEP_BYTES))
    for number, size in rows:
        going.append(number)
        enough -= size
        if enough <= 0:
            break
    rows.close()
    return going


def _heaviest(connection: sqlite3.Connection, state: str, signed: int) -> _Share:
    clients = connection.execute(
        "SELECT client, bytes FROM shares WHERE state = ? AND signed = ? AND level = 1 ORDER BY bytes DESC LIMIT 2",
        (state, signed),
    ).fetchall()
    client = clients[0][0]
    claims = connection.execute(
        "SELECT claim, bytes FROM shares WHERE state = ? AND signed = ? AND client = ? AND level = 2"
        " ORDER BY bytes DESC LIMIT 2",
        (state, signed, client),
    ).fetchall()
    leads = [shares[0][1] - shares[1][1] for shares in (clients, claims) if len(shares) > 1]
    return _Share(client, claims[0][0], min(leads, default=claims[0][1]))
