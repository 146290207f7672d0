"""The tables of the spool's SQLite file, and the accounts that its triggers keep."""

from __future__ import annotations

VERSION = 1

# A queue row never changes: rewriting one would rewrite its body. What changes is beside it, in `deferred`.
# `ledger` counts what a COUNT(*) over a large backlog would have to read, and numbers the queue, no number twice.
# `shares` counts what is unauthenticated: for each state in all (level 0), by client (1), and by client and claim (2).
_TABLES = """
CREATE TABLE ledger (last_id INTEGER NOT NULL, depth INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO ledger VALUES (0, 0, 0);
CREATE TABLE queue (id INTEGER PRIMARY KEY, envelope BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE deferred (
    id INTEGER PRIMARY KEY REFERENCES queue (id), due REAL NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL,
    signed INTEGER NOT NULL, client TEXT NOT NULL, claim TEXT NOT NULL, bytes INTEGER NOT NULL
);
CREATE INDEX deferred_by_due ON deferred (due);
CREATE INDEX deferred_by_origin ON deferred (signed, client, claim);
CREATE TABLE held (
    id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, held_at REAL NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    signed INTEGER NOT NULL, client TEXT NOT NULL, claim TEXT NOT NULL,
    size INTEGER NOT NULL, bytes INTEGER NOT NULL, envelope BLOB NOT NULL, body BLOB NOT NULL
);
CREATE INDEX held_by_state ON held (state, held_at);
CREATE INDEX held_by_origin ON held (state, signed, client, claim);
CREATE TABLE shares (
    state TEXT NOT NULL, signed INTEGER NOT NULL, level INTEGER NOT NULL, client TEXT NOT NULL, claim TEXT NOT NULL,
    messages INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (state, signed, level, client, claim)
) WITHOUT ROWID;
CREATE INDEX heaviest_client ON shares (state, signed, bytes) WHERE level = 1;
CREATE INDEX heaviest_claim ON shares (state, signed, client, bytes) WHERE level = 2;
"""


def statements() -> list[str]:
    """What makes a new spool, in order."""
    tables = _TABLES.strip().removesuffix(";").split(";\n")
    return [*tables, *_accounts_of("deferred", "'deferred'"), *_accounts_of("held", "{row}.state")]


def _accounts_of(table: str, state: str) -> list[str]:
    """Triggers that keep `shares` true in the same transaction, whoever inserts or deletes."""

    def trigger(event: str, row: str, *actions: str) -> str:
        share = f"{state}, {{row}}.signed"
        key = f"({share}, 0, '', ''), ({share}, 1, {{row}}.client, ''), ({share}, 2, {{row}}.client, {{row}}.claim)"
        body = "; ".join(action.replace("KEYS", key) for action in actions).format(row=row)
        return f"CREATE TRIGGER {table}_{event.lower()} AFTER {event} ON {table} BEGIN {body}; END"

    of_row = "(state, signed, level, client, claim) IN (VALUES KEYS)"
    return [
        trigger(
            "INSERT",
            "NEW",
            "INSERT OR IGNORE INTO shares SELECT *, 0, 0 FROM (VALUES KEYS)",
            f"UPDATE shares SET messages = messages + 1, bytes = bytes + {{row}}.bytes WHERE {of_row}",
        ),
        trigger(
            "DELETE",
            "OLD",
            f"UPDATE shares SET messages = messages - 1, bytes = bytes - {{row}}.bytes WHERE {of_row}",
            f"DELETE FROM shares WHERE {of_row} AND messages = 0",
        ),
    ]
