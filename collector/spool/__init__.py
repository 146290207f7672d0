"""The durable queue between whoever receives bytes and whoever understands them.

A source answers its peer only after `Spool.put` says that the bytes are on disk; ingest forgets them only after
ClickHouse has the rows. Killed at any instant in between, the bytes are still here. Everything lies in one SQLite file
in a folder of its own, used by two processes at once:

- the receiver puts (`Spool`);
- ingest takes, defers, forgets and holds (`SpoolQueue`), and prunes what was held too long (`HeldMessages`);
- the command line lists, shows, releases and discards what is held (`HeldMessages`), saves it all in a file and puts
  it back (`back_up`, `restore`).

What nobody has authenticated is bounded: what waits for DNS, what is quarantined and what is rejected (shares.py).
"""

from collector.spool.backup import Saved, back_up, restore
from collector.spool.database import SpoolDamagedError, SpoolError, SpoolFullError
from collector.spool.held import HeldMessage, HeldMessages, HeldState, NotHeldError, Pruned, held_id
from collector.spool.intake import Spool
from collector.spool.queue import Displaced, HeldTotal, Holding, Spooled, SpoolQueue, SpoolStats
from collector.spool.shares import Origin

__all__ = [
    "Displaced",
    "HeldMessage",
    "HeldMessages",
    "HeldState",
    "HeldTotal",
    "Holding",
    "NotHeldError",
    "Origin",
    "Pruned",
    "Saved",
    "Spool",
    "SpoolDamagedError",
    "SpoolError",
    "SpoolFullError",
    "SpoolQueue",
    "SpoolStats",
    "Spooled",
    "back_up",
    "held_id",
    "restore",
]
