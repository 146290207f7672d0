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
SHORT = [f"{number:05}.example" for number in range(7_000)]
HOSTILE = [f"{number:05}', ' \\'%2C&x=\u00fc\n{'y' * 9}.example" for number in range(5_000)]


@pytest.mark.slow
@pytest.mark.parametrize("user", ["analyst", "exporter", "collector"])
@pytest.mark.parametrize("values", [LONG, SHORT, HOSTILE], ids=["long", "short", "hostile"])
def test_a_query_takes_any_number_of_names(storage: Storage, user: str, values: list[str]) -> None:
    some = names("domains", values)
    assert len(some.parameters) > 1
    numbered = "SELECT concat(leftPad(toString(number), 5, '0'), {end:String}) AS name FROM numbers(8000)"
    asked = f"SELECT count() FROM ({numbered}) WHERE name IN {some.sql}"
    parameters = {"end": values[0].removeprefix("00000"), **some.parameters}
    assert storage.client(user).query(asked, parameters=parameters).result_rows == [(len(values),)]
    assert storage.client(user).command(asked, parameters=parameters) == len(values)


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
