"""The numbers that messages get as they enter the queue, and the totals of what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def count_in(connection: sqlite3.Connection, *, messages: int, size: int) -> range:
    """Add messages of so many bytes together to the totals, in the caller's transaction; returns their ids."""
    (last_id,) = connection.execute(
        "UPDATE ledger SET last_id = last_id + :messages, depth = depth + :messages, bytes = bytes + :size"
        " RETURNING last_id",
        {"messages": messages, "size": size},
    ).fetchall()[0]
    return range(last_id - messages + 1, last_id + 1)


def count_out(connection: sqlite3.Connection, *, messages: int, size: int) -> None:
    """Take messages that leave the queue off the totals, in the caller's transaction."""
    connection.execute(
        "UPDATE ledger SET depth = depth - :messages, bytes = bytes - :size", {"messages": messages, "size": size}
    )


def read(connection: sqlite3.Connection) -> tuple[int, int]:
    """How many messages are in the queue, and their bytes."""
    depth, size = connection.execute("SELECT depth, bytes FROM ledger").fetchone()
    return depth, size
