"""Who may come in: in all, of one client, and how often; for connections and requests alike."""

from __future__ import annotations

from mailposture.net.admission import Admission, Place, Refusal


def enter(admission: Admission, address: str | None) -> Place:
    place = admission.enter(address)
    assert isinstance(place, Place)
    return place


def test_places_are_bounded_in_all_and_for_each_client() -> None:
    admission = Admission(most=3, most_of_client=2)
    first, _, other = enter(admission, "192.0.2.1"), enter(admission, "192.0.2.1"), enter(admission, "192.0.2.2")
    assert admission.enter("192.0.2.3") is Refusal.FULL
    other.leave()
    assert admission.enter("192.0.2.1") is Refusal.FULL_OF_CLIENT
    assert len(admission) == 2, "who is turned away takes no place"
    first.leave()
    first.leave()  # which changes nothing any more
    enter(admission, "192.0.2.1")
    assert admission.enter("192.0.2.1") is Refusal.FULL_OF_CLIENT


def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    admission = Admission(most=9, most_of_client=1)
    enter(admission, "2001:db8:0:1::1")
    assert admission.enter("2001:db8:0:1:ffff::2") is Refusal.FULL_OF_CLIENT
    enter(admission, "2001:db8:0:2::1")


def test_connection_of_a_proxy_counts_for_its_client_once_that_is_known() -> None:
    admission = Admission(most=4, most_of_client=1)
    places = [enter(admission, None) for _ in range(3)]
    assert places[0].belong_to("192.0.2.1") is None
    assert places[1].belong_to("192.0.2.1") is Refusal.FULL_OF_CLIENT
    places[1].leave()
    assert places[2].belong_to("192.0.2.2") is None
    assert admission.enter("192.0.2.1") is Refusal.FULL_OF_CLIENT
    places[0].leave()
    enter(admission, "192.0.2.1")


def test_client_that_came_too_often_may_come_again_in_the_next_minute() -> None:
    now = [0.0]
    admission = Admission(most=9, most_a_minute=2, clock=lambda: now[0])
    for _ in range(2):
        enter(admission, "192.0.2.1").leave()
    now[0] = 59
    assert admission.enter("192.0.2.1") is Refusal.TOO_OFTEN
    enter(admission, "192.0.2.2").leave()
    now[0] = 60
    enter(admission, "192.0.2.1").leave()
    assert len(admission) == 0
