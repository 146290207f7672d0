"""Names in queries, however many and however long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mailposture.clickhouse.parameters import names
from mailposture.clickhouse.reference import write_domains
from mailposture.config.domains import Domain
from reports.dmarc.rolling_up import roll_up

if TYPE_CHECKING:
    from engine import Storage

# Labels of a domain have 63 octets at most, and a domain 253 (RFC 1035, section 2.3.4).
LONG = [f"{number:05}.{'.'.join(3 * ['x' * 60])}.example" for number in range(5_000)]


@pytest.mark.slow
@pytest.mark.parametrize("user", ["analyst", "exporter", "collector"])
def test_a_query_takes_any_number_of_names(storage: Storage, user: str) -> None:
    some = names("domains", LONG)
    assert len(some.parameters) > 9
    answer = storage.client(user).query(
        "SELECT count(), countIf(name NOT LIKE '%.example') FROM"
        f" (SELECT concat(leftPad(toString(number), 5, '0'), {{end:String}}) AS name FROM numbers(6000))"
        f" WHERE name IN {some.sql}",
        parameters={"end": LONG[0].removeprefix("00000"), **some.parameters},
    )
    assert answer.result_rows == [(5_000, 0)]


@pytest.mark.slow
def test_any_number_of_domains_is_sorted_in_one_round(storage: Storage) -> None:
    domains = (*storage.config.domains, *(Domain(name=name, parked=True) for name in LONG))
    config = storage.config.model_copy(update={"domains": domains})
    write_domains(storage.client(), config)
    roll_up(storage.client(), config)
    known = "SELECT uniqExact(policy_domain) FROM mailposture_tables"
    assert storage.ask(f"{known}.configured_domains") == [(len(domains),)]
    assert storage.ask(f"{known}.dmarc_rolled_up") == [(5_000,)], "as many as a round takes"
    roll_up(storage.client(), config)
    assert storage.ask(f"{known}.dmarc_rolled_up") == [(len(domains),)]


def test_few_names_are_one_parameter() -> None:
    assert names("domains", ["a", "b"]) == ("{domains_0:Array(String)}", {"domains_0": ["a", "b"]})
    assert names("domains", []) == ("{domains_0:Array(String)}", {"domains_0": []})
