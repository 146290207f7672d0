"""A collector's ingest on the real engine, fed through a real spool."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from engine import engine, storage
from ingesting import Ingest

from collector.heartbeat import Heartbeat
from collector.ingest.judge import Judge
from collector.ingest.suspects import Suspects
from collector.ingest.writer import Writer
from collector.spool import HeldMessages, Spool, SpoolQueue
from collector.trust import DkimVerifier, KeyCache
from mailposture.config.model import Authentication
from mailposture.config.model import Spool as SpoolRules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine import Storage

__all__ = ["engine", "storage"]


@pytest.fixture
def ingest(storage: Storage, tmp_path: Path) -> Iterator[Ingest]:
    folder = tmp_path / "spool"
    # Nobody answers on this port: keys of signatures stay unknown.
    rules = Authentication(nameservers=("127.0.0.1@9",), dns_timeout=timedelta(milliseconds=200))
    with (
        closing(Spool(folder, keep_free=0)) as spool,
        closing(SpoolQueue(folder)) as queue,
        closing(HeldMessages(folder, rules=SpoolRules(keep_free=0))) as held,
        closing(KeyCache(nameservers=rules.nameservers, timeout=rules.dns_timeout)) as keys,
    ):
        yield Ingest(
            folder=folder,
            spool=spool,
            queue=queue,
            held=held,
            judge=Judge(storage.config.model_copy(update={"authentication": rules}), verifier=DkimVerifier(keys=keys)),
            writer=Writer(client=storage.client(), database=storage.config.clickhouse.tables_database),
            heartbeat=Heartbeat(tmp_path / "run"),
            suspects=Suspects(tmp_path / "run"),
        )
