"""Keys from DNS: remembered, shared, and never in the way of mails that do not need them."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eventually import eventually

from collector.dkim.keys import KeyCache, NoKey, PublicKey, Unanswered
from collector.dkim.verifier import Arrived, DkimVerifier, Outcome

pytestmark = pytest.mark.slow

KEY = "s1._domainkey.example.net"


def test_key_is_asked_for_once(keys: KeyCache, name_server: Any, rsa_key: Any) -> None:
    name_server.records[KEY] = [rsa_key.record]
    for _ in range(3):
        assert isinstance(keys.look_up([KEY], patience=30)[KEY], PublicKey)
    assert name_server.asked[KEY] == 1


def test_missing_key_is_remembered_too(keys: KeyCache, name_server: Any) -> None:
    for _ in range(3):
        assert isinstance(keys.look_up([KEY], patience=30)[KEY], NoKey)
    assert name_server.asked[KEY] == 1


def test_key_is_asked_for_again_when_its_time_is_over(keys: KeyCache, name_server: Any, rsa_key: Any) -> None:
    keys.SHORTEST = 0.0
    name_server.ttl = 0
    name_server.records[KEY] = [rsa_key.record]
    keys.look_up([KEY], patience=30)
    name_server.records[KEY] = [b"v=DKIM1; p="]
    assert isinstance(keys.look_up([KEY], patience=30)[KEY], NoKey)


def test_concurrent_callers_join_one_lookup(keys: KeyCache, name_server: Any, rsa_key: Any) -> None:
    name_server.records[KEY] = [rsa_key.record]
    name_server.delay = 0.3
    answers: list[object] = []
    callers = [threading.Thread(target=lambda: answers.append(keys.look_up([KEY], patience=30)[KEY])) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [type(answer) for answer in answers] == [PublicKey] * 8
    assert name_server.asked[KEY] == 1


def test_long_keys_come_by_tcp(keys: KeyCache, name_server: Any, rsa_key: Any) -> None:
    name_server.records[KEY] = [rsa_key.record + b"; n=" + b"x" * 6000]
    assert isinstance(keys.look_up([KEY], patience=30)[KEY], PublicKey)


def test_many_cold_keys_are_looked_up_at_once(name_server: Any, rsa_key: Any) -> None:
    names = [f"s1._domainkey.sender{i}.example" for i in range(50)]
    name_server.records = {name: [rsa_key.record] for name in names}
    name_server.delay = 0.8
    with closing(KeyCache(nameservers=(name_server.address,), timeout=timedelta(seconds=60))) as keys:
        found = keys.look_up(names, patience=30)  # one after another: 40 s
    assert {type(key) for key in found.values()} == {PublicKey}


def test_server_failure_is_temporary_and_verifies_later(
    keys: KeyCache, verifier: DkimVerifier, name_server: Any, rsa_key: Any, mail: bytes
) -> None:
    keys.WITHOUT_ANSWER = 0.0
    name_server.records[KEY] = [rsa_key.record]
    name_server.failing.add(KEY)
    result = verifier.verify(rsa_key.sign(mail))
    assert (result.outcome, result.domains) == (Outcome.TEMPERROR, ())
    assert result.detail == (
        f"DKIM signature of example.net cannot be checked now: DNS does not answer for {KEY} (NoNameservers)"
    )
    name_server.failing.clear()
    assert verifier.verify(rsa_key.sign(mail)).outcome is Outcome.PASS


def test_silent_name_server_of_one_domain_holds_up_no_other_mail(
    keys: KeyCache, name_server: Any, rsa_key: Any, mail: bytes
) -> None:
    name_server.records[KEY] = [rsa_key.record]
    name_server.silent.add("s1._domainkey.silent.example")
    impatient = DkimVerifier(keys=keys, patience=2)
    silent = rsa_key.sign(mail, domain="silent.example")
    now = datetime.now(UTC)
    mails = [Arrived(message=message, accepted_at=now) for message in (silent, rsa_key.sign(mail))]
    # They are there while the silence lasts.
    results = list(impatient.verify_all(mails, policy=lambda _signature, _mail: True, now=now))
    assert [result.outcome for result in results] == [Outcome.TEMPERROR, Outcome.PASS]


def test_time_out_is_temporary(keys: KeyCache, name_server: Any) -> None:
    name_server.silent.add(KEY)
    assert isinstance(keys.look_up([KEY], patience=30)[KEY], Unanswered)


def test_unreachable_name_server_is_temporary() -> None:
    cache = KeyCache(nameservers=("127.0.0.1@1",), timeout=timedelta(seconds=0.3))
    assert isinstance(cache.look_up([KEY], patience=30)[KEY], Unanswered)
    cache.close()


def test_an_organization_has_its_share_of_lookups_and_not_more(keys: KeyCache, name_server: Any) -> None:
    names = [f"s{i}._domainkey.a{i}.example.net" for i in range(2 * keys.IN_FLIGHT_OF_ONE)]
    name_server.silent.update(names)
    found = keys.look_up([*names, "s1._domainkey.other.example"], patience=30)
    assert isinstance(found.pop("s1._domainkey.other.example"), NoKey)
    assert {type(answer) for answer in found.values()} == {Unanswered}
    assert len(name_server.asked.keys() & set(names)) == keys.IN_FLIGHT_OF_ONE


def test_selectors_that_somebody_made_up_keep_a_key_of_the_same_organization_from_nobody(
    keys: KeyCache, name_server: Any, rsa_key: Any
) -> None:
    """A flood under the name of a reporter: DNS denies each at once, so the others have their turn."""
    name_server.records[KEY] = [rsa_key.record]
    made_up = [f"s{i}.{KEY}" for i in range(10 * keys.IN_FLIGHT_OF_ONE)]
    found = keys.look_up([*made_up, KEY], patience=60)
    assert isinstance(found.pop(KEY), PublicKey)
    assert {type(answer) for answer in found.values()} == {NoKey}


def test_more_lookups_than_fit_are_made_in_turns(name_server: Any) -> None:
    with closing(FewLookups(nameservers=(name_server.address,), timeout=timedelta(seconds=30))) as keys:
        found = keys.look_up([f"s1._domainkey.sender{i}.example" for i in range(8)], patience=60)
        assert [type(answer) for answer in found.values()] == [NoKey] * 8


class FewLookups(KeyCache):
    IN_FLIGHT = 4


def test_silent_names_keep_no_name_that_answers_waiting(name_server: Any, rsa_key: Any) -> None:
    name_server.records[KEY] = [rsa_key.record]
    silent = [f"s1._domainkey.silent{i}.example" for i in range(40)]
    name_server.silent.update(silent)
    with closing(FewLookups(nameservers=(name_server.address,), timeout=timedelta(seconds=60))) as keys:
        for start in range(0, 40, 4):
            found = keys.look_up(silent[start : start + 4], patience=0)
            assert {type(answer) for answer in found.values()} == {Unanswered}
        assert isinstance(keys.look_up([KEY], patience=30)[KEY], PublicKey)


def test_silent_names_of_an_organization_keep_its_own_key_from_nobody(name_server: Any, rsa_key: Any) -> None:
    """A delegation to name servers that are gone is found below many a name."""
    silent = [f"s{i}._domainkey.lame.example.net" for i in range(40)]
    name_server.silent.update(silent)
    name_server.records[KEY] = [rsa_key.record]
    with closing(KeyCache(nameservers=(name_server.address,), timeout=timedelta(seconds=60))) as keys:
        keys.look_up(silent, patience=0)
        assert isinstance(keys.look_up([KEY], patience=30)[KEY], PublicKey)


def test_a_key_that_was_there_is_asked_for_apart_from_new_names(name_server: Any, rsa_key: Any) -> None:
    now = [0.0]
    name_server.records[KEY] = [rsa_key.record]
    silent = [f"s1._domainkey.silent{i}.example" for i in range(40)]
    name_server.silent.update(silent)
    with closing(
        FewLookups(nameservers=(name_server.address,), timeout=timedelta(seconds=60), clock=lambda: now[0])
    ) as keys:
        keys.look_up([KEY], patience=30)
        now[0] = 3600.0
        found = keys.look_up([KEY, *silent], patience=3)
        assert isinstance(found[KEY], PublicKey)
    assert name_server.asked[KEY] == 2


def test_nobody_waits_twice_for_the_same_question(name_server: Any) -> None:
    name_server.silent.add(KEY)
    now = [0.0]
    with closing(
        KeyCache(nameservers=(name_server.address,), timeout=timedelta(hours=2), clock=lambda: now[0])
    ) as keys:
        keys.look_up([KEY], patience=0.1)
        now[0] = 3600.1
        answers: list[object] = []
        caller = threading.Thread(target=lambda: answers.append(keys.look_up([KEY], patience=3600)[KEY]))
        caller.start()
        eventually("an answer long before the patience ends", lambda: answers)
    caller.join()
    assert [type(answer) for answer in answers] == [Unanswered]


def test_a_silent_name_is_asked_for_ever_less_often(name_server: Any, rsa_key: Any) -> None:
    now = [0.0]
    name_server.failing.add(KEY)
    with closing(
        KeyCache(nameservers=(name_server.address,), timeout=timedelta(seconds=5), clock=lambda: now[0])
    ) as keys:
        asked_at = []
        for second in range(0, 3600, 5):
            now[0] = float(second)
            before = name_server.asked[KEY]
            keys.look_up([KEY], patience=30)
            if name_server.asked[KEY] > before:
                asked_at.append(second)
        assert asked_at == [0, 15, 45, 105, 225, 465, 945, 1845, 2745]
        name_server.failing.clear()
        name_server.records[KEY] = [rsa_key.record]
        now[0] = 3645.0
        assert isinstance(keys.look_up([KEY], patience=30)[KEY], PublicKey)


def test_memory_is_bounded_and_names_without_a_key_push_out_none_that_has_one(name_server: Any, rsa_key: Any) -> None:
    class Forgetful(KeyCache):
        CAPACITY, CAPACITY_OF_ONE = 10, 3

    name_server.records[KEY] = [rsa_key.record]
    with closing(Forgetful(nameservers=(name_server.address,), timeout=timedelta(seconds=5))) as keys:
        keys.look_up([KEY], patience=30)
        for start in range(0, 100, 20):
            keys.look_up([f"s1._domainkey.sender{i}.example" for i in range(start, start + 20)], patience=30)
        assert len(keys._others) == 10
        assert isinstance(keys.look_up([KEY], patience=0)[KEY], PublicKey)


def test_closing_ends_callers_that_wait(name_server: Any) -> None:
    cache = KeyCache(nameservers=(name_server.address,), timeout=timedelta(seconds=60))
    name_server.silent.add(KEY)
    answers: list[object] = []
    caller = threading.Thread(target=lambda: answers.append(cache.look_up([KEY], patience=60)[KEY]))
    caller.start()
    eventually("the question", lambda: name_server.asked[KEY])
    cache.close()
    caller.join(timeout=60)
    assert [type(answer) for answer in answers] == [Unanswered]
