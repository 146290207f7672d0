"""`mailposture quarantine judge-again`: held messages enter the queue as they came."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
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

    def hold(self, author: str, state: HeldState, reason: str) -> str:
        """Hold a mail as the collector does; returns its id."""
        body = f"From: {author}\r\nSubject: x\r\n\r\nbody of {author} {reason}\r\n".encode()
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

    def held(self) -> set[str]:
        with closing(HeldMessages(self.spool, rules=RULES)) as held:
            return {message.envelope.mail_from for message in held.list()}


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "mailposture.yaml").write_text(f"domains: [{{name: example.com}}]\ndata: {tmp_path}/data\n")
    return House(tmp_path)


def test_messages_of_a_reason_go_back_with_the_time_at_which_they_came(house: House) -> None:
    """Of DMARC reports, which an earlier version rejected with this reason, signatures are judged by that time."""
    house.hold("a@reporter.example", HeldState.REJECTED, "dmarc-report")
    house.hold("b@reporter.example", HeldState.REJECTED, "no-report")
    result = house.run("judge-again", "--reason", "dmarc-report")
    assert (result.exit_code, result.output.split(" to be")[0]) == (0, "1")
    assert house.held() == {"b@reporter.example"}
    envelope = house.waiting()["a@reporter.example"]
    assert envelope.received_at == RECEIVED
    assert envelope.peer == "192.0.2.1"
    assert not envelope.by_operator, "nobody accepted it on his word"


def test_messages_of_an_author_go_back(house: House) -> None:
    house.hold("a@reporter.example", HeldState.QUARANTINED, "no-signature")
    house.hold("a@mail.reporter.example", HeldState.QUARANTINED, "not-aligned")
    house.hold("a@reporter.example.attacker.test", HeldState.QUARANTINED, "no-signature")
    assert house.run("judge-again", "--from", "Reporter.example").output.startswith("2 to be judged again")
    assert house.held() == {"a@reporter.example.attacker.test"}
    assert house.run("judge-again", "--from", "reporter.example").output.startswith("0 to be judged again")


def test_both_together_choose_what_has_both_and_an_id_one(house: House) -> None:
    one = house.hold("a@reporter.example", HeldState.QUARANTINED, "no-signature")
    house.hold("b@reporter.example", HeldState.QUARANTINED, "unclear")
    house.hold("c@other.example", HeldState.QUARANTINED, "unclear")
    house.run("judge-again", "--from", "reporter.example", "--reason", "unclear")
    assert house.held() == {"a@reporter.example", "c@other.example"}
    house.run("judge-again", one[:8])
    assert house.held() == {"c@other.example"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name IDs, or choose"),
        (("abcd1234", "--reason", "unclear"), 2, "name IDs, or choose"),
        (("--from", "no domain"), 2, "domain"),
        (("abcd1234",), 1, "nothing is held under"),
    ],
)
def test_what_to_judge_must_be_said(house: House, arguments: tuple[str, ...], code: int, said: str) -> None:
    house.hold("a@reporter.example", HeldState.QUARANTINED, "no-signature")
    result = house.run("judge-again", *arguments)
    assert result.exit_code == code
    assert said in result.output
    assert house.held() == {"a@reporter.example"}
