"""A collector's ingest on the real engine, fed through a real spool."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import pytest
from engine import DOMAIN, engine, storage

from collector.authenticate import DkimVerifier, KeyCache
from collector.envelope import Envelope, Source
from collector.heartbeat import Heartbeat
from collector.judge import Judge
from collector.pipeline import Pipeline
from collector.spool import HeldMessages, Spool, SpoolQueue
from collector.writer import Writer
from mailposture.config import Authentication
from mailposture.ownership import Ownership

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine import Storage

__all__ = ["engine", "storage"]


def report(number: int = 1, *, domain: str = DOMAIN, failed: int = 0, day: str = "2026-11-01") -> bytes:
    """A small report; each number is another one."""
    return orjson.dumps(
        {
            "organization-name": "Sender Inc.",
            "contact-info": "tls@sender.example",
            "report-id": f"{number}",
            "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
            "policies": [
                {
                    "policy": {"policy-type": "sts", "policy-domain": domain, "policy-string": ["mode: enforce"]},
                    "summary": {"total-successful-session-count": 10, "total-failure-session-count": failed},
                    "failure-details": [{"result-type": "certificate-expired", "failed-session-count": failed}],
                }
            ],
        }
    )


def arrived(source: Source = Source.HTTPS, **known: object) -> Envelope:
    """An envelope; without more, a post to the domain's secret path."""
    about = {"token_domain": DOMAIN} if source is Source.HTTPS else {}
    return Envelope(source=source, received_at=datetime.now(UTC), **{**about, **known})


@dataclass(kw_only=True)
class Ingest:
    """The pipeline and what it stands between."""

    spool: Spool
    queue: SpoolQueue
    held: HeldMessages
    judge: Judge
    writer: Writer
    heartbeat: Heartbeat
    pauses: list[float] = field(default_factory=list)

    def pipeline(self, **changes: object) -> Pipeline:
        """A new pipeline, as after a restart (on the same queue)."""
        parts = {
            "queue": self.queue,
            "judge": self.judge,
            "writer": self.writer,
            "heartbeat": self.heartbeat,
            "stopping": lambda: False,
            "pause": self.pauses.append,
        }
        return Pipeline(**{**parts, **changes})

    def drain(self) -> None:
        """Take everything that waits all the way."""
        pipeline = self.pipeline()
        while pipeline.step():
            pass


@pytest.fixture
def ingest(storage: Storage, tmp_path: Path) -> Iterator[Ingest]:
    folder = tmp_path / "spool"
    # Nobody answers on this port: keys of signatures stay unknown.
    rules = Authentication(nameservers=("127.0.0.1@9",), dns_timeout=timedelta(milliseconds=200))
    with (
        closing(Spool(folder, keep_free=0)) as spool,
        closing(SpoolQueue(folder)) as queue,
        closing(HeldMessages(folder)) as held,
        closing(KeyCache(nameservers=rules.nameservers, timeout=rules.dns_timeout)) as keys,
    ):
        yield Ingest(
            spool=spool,
            queue=queue,
            held=held,
            judge=Judge(verifier=DkimVerifier(keys=keys), ownership=Ownership(storage.config), rules=rules),
            writer=Writer(client=storage.client(), database=storage.config.clickhouse.database),
            heartbeat=Heartbeat(tmp_path / "run"),
        )
