"""A bounded map that no organization uses up alone."""

from __future__ import annotations

import random

from collector.dkim.fair_map import FairMap


def test_what_was_not_used_for_longest_goes_first() -> None:
    names = FairMap[int](capacity=3, share=9)
    for number, name in enumerate("abc"):
        assert names.put(name, name, number) == []
    assert names.get("a") == 0
    assert names.put("d", "d", 3) == [1]
    assert [names.get(name) for name in "abcd"] == [0, None, 2, 3]


def test_an_organization_pushes_out_its_own() -> None:
    names = FairMap[int](capacity=9, share=2)
    names.put("x", "other", 0)
    assert [names.put(name, "one", number) for number, name in enumerate("abcd")] == [[], [], [0], [1]]
    assert names.get("x") == 0


def test_setting_a_name_again_pushes_out_nothing() -> None:
    names = FairMap[int](capacity=2, share=2)
    names.put("a", "one", 1)
    names.put("b", "one", 2)
    assert names.put("a", "other", 3) == []
    assert (names.get("a"), names.get("b"), len(names)) == (3, 2, 2)
    assert (names.pop("a"), names.pop("a"), len(names)) == (3, None, 1)


def test_bounds_hold_whatever_comes() -> None:
    chance = random.Random(6376)
    names = FairMap[str](capacity=20, share=5)
    there: dict[str, str] = {}
    for _ in range(5000):
        name = str(chance.randrange(60))
        if chance.random() < 0.2:
            assert names.pop(name) == there.pop(name, None)
            continue
        there.pop(name, None)
        gone = names.put(name, f"org{int(name) % 8}", name)
        there[name] = name
        for value in gone:
            del there[value]
        assert len(names) == len(there) <= 20
        assert max(sum(int(each) % 8 == one for each in there) for one in range(8)) <= 5
