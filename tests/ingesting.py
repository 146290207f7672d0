"""What tests of ingest are made of: small reports, envelopes, and the pipeline with what it stands between."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson
from engine import DOMAIN

from collector.ingest.pipeline import Pipeline
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from pathlib import Path

    from collector.heartbeat import Heartbeat
    from collector.ingest.judge import Judge
    from collector.ingest.suspects import Suspects
    from collector.ingest.writer import Writer
    from collector.spool import HeldMessages, Spool, SpoolQueue


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
