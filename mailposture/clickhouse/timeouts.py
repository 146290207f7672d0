"""How long every client of ours waits for ClickHouse, engine or server: read at each use, so that a test can set it.

A database that is paused, swapped out or behind a broken network takes connections and then says nothing. What counts
is the silence: a query may take minutes, since the server sends its progress every few seconds meanwhile.
"""

from __future__ import annotations

from typing import Final

CONNECT: int = 10  # seconds until the connection stands
SILENCE: int = 15  # seconds without a byte; the driver asks for progress every 10 s, users.xml for readers
WORK: Final = 600  # the same, for what makes rows of a great many others: it sorts for long without any progress
KNOCK: Final = 5  # seconds for `/ping`, which asks nothing of the database
