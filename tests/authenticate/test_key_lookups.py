"""Keys from DNS: remembered, shared, and never in the way of mails that do not need them."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

from collector.dkim.keys import KeyCache, NoKey, PublicKey, Unanswered
from collector.dkim.verifier import DkimVerifier, Outcome

KEY = "s1._domainkey.example.net"


def test_key_is_asked_for_once(keys: KeyCache, name_server: Any, rsa_key: Any) -> None:
    name_server.records[KEY] = [rsa_key.record]
    for _ in range(3):
        assert isinstance(keys.look_up([KEY], patience=5)[KEY], PublicKey)
    assert name_server.asked[KEY] == 1


def test_missing_key_is_remembered_too(keys: KeyCache, name_server: Any) -> None:
    for _ in range(3):
        assert isinstance(keys.look_up([KEY], patience=5)[KEY], NoKey)
    assert name_server.asked[KEY] == 1


def test_key_is_asked_for_again_when_its_time_is_over(keys: KeyCache, name_server: Any, rsa_key: Any) -> None:
    keys.SHORTEST = 0.0
    name_server.ttl = 0
    name_server.records[KEY] = [rsa_key.record]
    keys.look_up([KEY], patience=5)
    name_server.records[KEY] = [b"v=DKIM1; p="]
    assert isinstance(keys.look_up([KEY], patience=5)[KEY], NoKey)


def test_concurrent_callers_join_one_lookup(keys: KeyCache, name_server: Any, rsa_key: Any) -> None:
    name_server.records[KEY] = [rsa_key.record]
    name_server.delay = 0.3
    answers: list[object] = []
    callers = [threading.Thread(target=lambda: answers.append(keys.look_up([KEY], patience=5)[KEY])) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [type(answer) for answer in answers] == [PublicKey] * 8
    assert name_server.asked[KEY] == 1


def test_long_keys_come_by_tcp(keys: KeyCache, name_server: Any, rsa_key: Any) -> None:
    name_server.records[KEY] = [rsa_key.record + b"; n=" + b"x" * 6000]
    assert isinstance(keys.look_up([KEY], patience=5)[KEY], PublicKey)


def test_many_cold_keys_are_looked_up_at_once(keys: KeyCache, name_server: Any, rsa_key: Any) -> None:
    names = [f"s{i}._domainkey.example.net" for i in range(50)]
    name_server.records = {name: [rsa_key.record] for name in names}
    name_server.delay = 0.2
    found = keys.look_up(names, patience=5)  # one after another: 10 s
    assert {type(key) for key in found.values()} == {PublicKey}


def test_server_failure_is_temporary_and_verifies_later(
    keys: KeyCache, verifier: DkimVerifier, name_server: Any, rsa_key: Any, mail: bytes
) -> None:
    keys.WITHOUT_ANSWER = 0.0
    name_server.records[KEY] = [rsa_key.record]
    name_server.failing.add(KEY)
    result = verifier.verify(rsa_key.sign(mail))
    assert (result.outcome, result.unanswered) == (Outcome.DNS_FAILURE, ("example.net",))
    assert result.detail == (
        f"DKIM signature of example.net cannot be checked now: DNS does not answer for {KEY} (NoNameservers)"
    )
    name_server.failing.clear()
    assert verifier.verify(rsa_key.sign(mail)).outcome is Outcome.VALID


def test_silent_name_server_of_one_domain_holds_up_no_other_mail(
    keys: KeyCache, name_server: Any, rsa_key: Any, mail: bytes
) -> None:
    name_server.records[KEY] = [rsa_key.record]
    name_server.silent.add("s1._domainkey.silent.example")
    impatient = DkimVerifier(keys=keys, patience=0.4)
    silent = rsa_key.sign(mail, domain="silent.example")
    started = time.monotonic()
    results = impatient.verify_all([silent, rsa_key.sign(mail)])
    assert time.monotonic() - started < 0.9  # the silence lasts for 1 s
    assert [result.outcome for result in results] == [Outcome.DNS_FAILURE, Outcome.VALID]


def test_time_out_is_temporary(keys: KeyCache, name_server: Any) -> None:
    name_server.silent.add(KEY)
    assert isinstance(keys.look_up([KEY], patience=5)[KEY], Unanswered)


def test_unreachable_name_server_is_temporary() -> None:
    cache = KeyCache(nameservers=("127.0.0.1@1",), timeout=timedelta(seconds=0.3))
    assert isinstance(cache.look_up([KEY], patience=5)[KEY], Unanswered)
    cache.close()


def test_memory_is_bounded(keys: KeyCache) -> None:
    keys.CAPACITY = 10
    for start in range(0, 100, 20):
        keys.look_up([f"s{i}._domainkey.example.net" for i in range(start, start + 20)], patience=5)
    assert len(keys._known) == 10


def test_more_lookups_than_fit_are_told_to_come_back(keys: KeyCache, name_server: Any) -> None:
    keys.IN_FLIGHT = 5
    name_server.delay = 0.2
    found = keys.look_up([f"s{i}._domainkey.example.net" for i in range(8)], patience=5)
    assert sum(isinstance(answer, Unanswered) for answer in found.values()) == 3


def test_closing_ends_callers_that_wait(name_server: Any) -> None:
    cache = KeyCache(nameservers=(name_server.address,), timeout=timedelta(seconds=60))
    name_server.silent.add(KEY)
    answers: list[object] = []
    caller = threading.Thread(target=lambda: answers.append(cache.look_up([KEY], patience=60)[KEY]))
    caller.start()
    while not name_server.asked[KEY]:
        time.sleep(0.01)
    cache.close()
    caller.join(timeout=10)
    assert [type(answer) for answer in answers] == [Unanswered]
