"""`mailposture quarantine judge-again`: held messages enter the queue as they came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from holding import RECEIVED, House, house_in

from collector.spool import HeldState

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def house(tmp_path: Path) -> House:
    return house_in(tmp_path)


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
    assert house.run("judge-again", "--reporter", "Reporter.example").output.startswith("2 to be judged again")
    assert house.held() == {"a@reporter.example.attacker.test"}
    assert house.run("judge-again", "--reporter", "reporter.example").output.startswith("0 to be judged again")


def test_both_together_choose_what_has_both_and_an_id_one(house: House) -> None:
    one = house.hold("a@reporter.example", HeldState.QUARANTINED, "no-signature")
    house.hold("b@reporter.example", HeldState.QUARANTINED, "unclear")
    house.hold("c@other.example", HeldState.QUARANTINED, "unclear")
    house.run("judge-again", "--reporter", "reporter.example", "--reason", "unclear")
    assert house.held() == {"a@reporter.example", "c@other.example"}
    house.run("judge-again", one[:8])
    assert house.held() == {"c@other.example"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name IDs, or choose"),
        (("abcd1234", "--reason", "unclear"), 2, "name IDs, or choose"),
        (("--reporter", "no domain"), 2, "domain"),
        (("abcd1234",), 1, "nothing is held under"),
    ],
)
def test_what_to_judge_must_be_said(house: House, arguments: tuple[str, ...], code: int, said: str) -> None:
    house.hold("a@reporter.example", HeldState.QUARANTINED, "no-signature")
    result = house.run("judge-again", *arguments)
    assert result.exit_code == code
    assert said in result.output
    assert house.held() == {"a@reporter.example"}
