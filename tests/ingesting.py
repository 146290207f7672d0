"""What tests of ingest are made of: small reports, envelopes, and the pipeline with what it stands between."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson
import pytest
from engine import DOMAIN

from collector.heartbeat import Heartbeat
from collector.ingest.judge import Judge
from collector.ingest.pipeline import Pipeline
from collector.ingest.suspects import Suspects
from collector.ingest.writer import Writer
from collector.spool import HeldMessages, Spool, SpoolQueue
from collector.trust import DkimVerifier, KeyCache
from mailposture.config.model import Authentication
from mailposture.config.model import Spool as SpoolRules
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine import Storage


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

    folder: Path
    spool: Spool
    queue: SpoolQueue
    held: HeldMessages
    judge: Judge
    writer: Writer
    heartbeat: Heartbeat
    suspects: Suspects
    pauses: list[float] = field(default_factory=list)

    def pipeline(self, **changes: object) -> Pipeline:
        """A new pipeline, as after a restart (on the same queue)."""
        parts = {
            "queue": self.queue,
            "judge": self.judge,
            "writer": self.writer,
            "heartbeat": self.heartbeat,
            "suspects": self.suspects,
            "stopping": lambda: False,
            "pause": self.pauses.append,
        }
        return Pipeline(**{**parts, **changes})

    def drain(self) -> None:
        """Take everything that waits all the way."""
        pipeline = self.pipeline()
        self.heartbeat.alive()
        while judged := pipeline.take():
            pipeline.store(judged)


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
