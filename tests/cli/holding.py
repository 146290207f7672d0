"""A configuration and a spool that holds messages, for commands about what is held."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from click.testing import CliRunner, Result

from cli import quarantine
from collector.origin import origin_of
from collector.spool import HeldMessages, HeldState, Spool, SpoolQueue
from mailposture.config.model import Spool as SpoolRules
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from pathlib import Path

RULES = SpoolRules(keep_free=0)
RECEIVED = datetime(2026, 11, 1, 4, tzinfo=UTC)


@dataclass
class House:
    """A configuration, and what its spool holds."""

    folder: Path

    @property
    def spool(self) -> Path:
        return self.folder / "data" / "spool"

    def hold(self, author: str, state: HeldState, reason: str, *, report: bytes = b"") -> str:
        """Hold a mail as the collector does, with a report in it if there is one; returns its id."""
        body = f"From: {author}\r\nSubject: x\r\n\r\nbody of {author} {reason}\r\n".encode()
        if report:
            body = f"From: {author}\r\nContent-Type: application/tlsrpt+json\r\n\r\n".encode() + report
        envelope = Envelope(source=Source.SMTP, received_at=RECEIVED, peer="192.0.2.1", mail_from=author)
        with closing(Spool(self.spool, keep_free=0)) as spool, closing(SpoolQueue(self.spool)) as queue:
            spool.put(envelope, body)
            (message,) = queue.claim(10, 10**6)
            origin = origin_of(envelope, body)
            return queue.hold(message, state=state, reason=reason, detail="as it was", origin=origin).id

    def run(self, *arguments: str) -> Result:
        config = str(self.folder / "mailposture.yaml")
        command = [arguments[0], "--config", config, *arguments[1:]]
        return CliRunner().invoke(quarantine.command, command, catch_exceptions=False)

    def waiting(self) -> dict[str, Envelope]:
        """What waits to be judged: envelopes by author."""
        with closing(SpoolQueue(self.spool)) as queue:
            return {message.envelope.mail_from: message.envelope for message in queue.claim(100, 10**6)}

    def ids(self) -> set[str]:
        with closing(HeldMessages(self.spool, rules=RULES)) as held:
            return {message.id for message in held.list()}

    def held(self) -> set[str]:
        with closing(HeldMessages(self.spool, rules=RULES)) as held:
            return {message.envelope.mail_from for message in held.list()}


def house_in(folder: Path) -> House:
    """A new one, of example.com and example.org."""
    domains = "[{name: example.com}, {name: example.org}]"
    (folder / "mailposture.yaml").write_text(f"domains: {domains}\ndata: {folder}/data\n")
    return House(folder)
