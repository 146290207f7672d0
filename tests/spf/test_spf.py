"""SPF evaluation, by the test suite of RFC 7208's authors, and within bounds whatever the record is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mailposture.spf import SpfOutcome, SpfResult, UnansweredError, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLIENT = "192.0.2.1"


class Dns:
    """Answers from a dict of name to records; counts the questions."""

    def __init__(self, zone: dict[str, list[Any]], *, spf_is_txt: bool = False) -> None:
        self.zone = {name.lower(): records for name, records in zone.items()}
        self.spf_is_txt = spf_is_txt
        self.asked = 0

    async def __call__(self, name: str, type_: str) -> Sequence[str]:
        self.asked += 1
        name = name.lower().rstrip(".")
        for _ in range(10):
            records = self.zone.get(name, [])
            found = list(self._of_type([each for each in records if isinstance(each, dict)], type_))
            alias = [each["CNAME"] for each in records if isinstance(each, dict) and "CNAME" in each]
            if not found and "TIMEOUT" in records:
                raise UnansweredError(name)
            if found or not alias:
                return found
            name = alias[0].lower().rstrip(".")
        raise UnansweredError(f"aliases of {name} without end")

    def _of_type(self, records: list[Any], type_: str) -> Iterator[str]:
        of_suite = type_ == "TXT" and self.spf_is_txt and not any("TXT" in each for each in records)
        for each in records:
            value = each.get(type_) or (each.get("SPF") if of_suite else None)
            if value is None or value == "NONE":
                continue
            if value == "TIMEOUT":
                raise UnansweredError(type_)
            if type_ == "MX":
                yield value[1].rstrip(".")
            else:
                yield value if isinstance(value, str) else "".join(value)


def of_suite() -> Iterator[Any]:
    text = (Path(__file__).parent / "rfc7208-tests.yml").read_text()
    for scenario in yaml.safe_load_all(text):
        for name, case in scenario["tests"].items():
            yield pytest.param(scenario["zonedata"], case, id=name)


@pytest.mark.parametrize(("zone", "case"), list(of_suite()))
async def test_rfc_7208(zone: dict[str, list[Any]], case: dict[str, Any]) -> None:
    sender = case["mailfrom"]
    if not sender or "%{h" in str(zone.get(sender.rpartition("@")[2])).lower():
        pytest.skip("about HELO, which decides nothing here")
    result = await evaluate(client=case["host"], sender=sender, ask=Dns(zone, spf_is_txt=True), seconds=20)
    allowed = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert result.outcome in allowed, result


async def of_record(record: str, **zone: list[Any]) -> SpfResult:
    records = {"example.com": [{"TXT": record}], **{name.replace("_", "."): each for name, each in zone.items()}}
    return await evaluate(client=CLIENT, sender="a@example.com", ask=Dns(records), seconds=20, count_all=True)


async def test_all_look_ups_of_a_record_are_counted() -> None:
    includes = {f"s{number}.example.com": [{"TXT": "v=spf1 a:there.example.com -all"}] for number in range(7)}
    zone = {
        "example.com": [{"TXT": "v=spf1 " + " ".join(f"include:{name}" for name in includes) + " -all"}],
        "there.example.com": [{"A": "192.0.2.200"}],
        **includes,
    }
    for count_all, lookups in ((True, 14), (False, 11)):
        result = await evaluate(client=CLIENT, sender="a@example.com", ask=Dns(zone), seconds=20, count_all=count_all)
        assert (result.outcome, result.lookups) == (SpfOutcome.PERMERROR, lookups)


async def test_void_look_ups_are_counted() -> None:
    result = await of_record("v=spf1 a:x.example.com a:y.example.com mx:z.example.com a:w.example.com -all")
    assert (result.outcome, result.lookups, result.void_lookups) == (SpfOutcome.PERMERROR, 4, 4)


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 " + " ".join(f"ip4:10.0.{number % 256}.1" for number in range(5000)),  # as long as DNS allows
        "v=spf1 exists:%{d" + "9" * 5000 + "}.example.com",  # a number that Python reads no more
        "v=spf1 include:%{l" + "r" * 300 + "}.example.com -all",
        "v=spf1 redirect=example.com",
        "v=spf1 include:example.com",
        "v=spf1 a:" + "a" * 7000 + ".example.com",
        "v=spf1 \u2028 all",
        "v=spf1 ip4:1.2.3.4/33",
    ],
)
async def test_hostile_record_is_no_pass_and_no_exception(record: str) -> None:
    assert (await of_record(record)).outcome is SpfOutcome.PERMERROR


async def test_questions_are_bounded_whatever_the_record_asks_for() -> None:
    hosts = [{"MX": [10, f"mx{number}.example.com"]} for number in range(10)]
    zone = {
        "example.com": [{"TXT": "v=spf1 " + " ".join(f"mx:m{number}.example.com" for number in range(10)) + " -all"}],
        **{f"m{number}.example.com": hosts for number in range(10)},
        **{f"mx{number}.example.com": [{"A": "192.0.2.200"}] for number in range(10)},
    }
    dns = Dns(zone)
    await evaluate(client=CLIENT, sender="a@example.com", ask=dns, seconds=20, count_all=True)
    assert dns.asked <= 75


async def test_silence_is_a_temperror_within_the_time_given() -> None:
    async def silent(_name: str, _type: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    result = await evaluate(client=CLIENT, sender="a@example.com", ask=silent, seconds=0.01)
    assert result.outcome is SpfOutcome.TEMPERROR


@pytest.mark.parametrize(
    "sender", ["", "@", "a@", "example.com\x00", "a@b@example.com", "a@" + "x" * 70 + ".com", "a@localhost", " a@é.com"]
)
async def test_odd_sender_has_a_result(sender: str) -> None:
    result = await evaluate(client=CLIENT, sender=sender, ask=Dns({}), seconds=20)
    assert result.outcome in (SpfOutcome.NONE, SpfOutcome.PERMERROR)
