"""A mailbox by Microsoft Graph: what holds for one by IMAP holds here, by the same loop."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from eventually import eventually
from sources_mail.identity import Identity
from sources_mail.reading import SOON, Clock, RecordingSpool, dmarc_report, events, private_mail, report_mail
from sources_mail.strict_graph import START, USER, StrictGraph, answer, error
from sources_mail.web_server import Answer
from structlog.testing import capture_logs

from collector.sources.mailbox.graph import GraphMailbox
from mailposture.config.mailboxes import GraphMailbox as Settings
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pki import CertificateAuthority
    from sources_mail.web_server import Request

    from collector.sources.mailbox.loop import MailboxLoop

MAILS = (report_mail(1), private_mail(1), dmarc_report(), report_mail(2), private_mail(2))
PROCESSED = "mailposture/processed"
HOUR = 3600.0


@pytest.fixture
def identity(authority: CertificateAuthority) -> Iterator[Identity]:
    with Identity(authority).serving() as server:
        yield server


@pytest.fixture
def graph(authority: CertificateAuthority, identity: Identity) -> Iterator[StrictGraph]:
    with StrictGraph(authority, identity.valid, *MAILS).serving() as server:
        yield server


@pytest.fixture
def start(
    graph: StrictGraph, identity: Identity, read_mailbox: Callable[..., MailboxLoop], tmp_path: Path
) -> Callable[..., MailboxLoop]:
    """Starts to read the mailbox there; `reading` goes to the loop, the rest is configuration."""

    def start(*, limit: int = 1_000_000, **more: Any) -> MailboxLoop:
        settings: dict[str, Any] = {
            "user": USER,
            "oauth": identity.settings(tmp_path),
            "url": graph.url,
            "certificate_authority": graph.authority.certificate,
        }
        often = Settings(**{**settings, **more}).model_copy(update={"poll": SOON})
        mailbox = GraphMailbox(often, folder=tmp_path / "mailboxes")
        return read_mailbox(mailbox, limit=limit)

    return start


def test_reports_are_stored_and_moved_and_other_mail_is_left_unread(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    start()
    eventually("all", lambda: len(graph.bodies(PROCESSED)) == 3)
    assert spool.bodies == [MAILS[0], MAILS[2], MAILS[3]]
    assert graph.bodies("Inbox") == [MAILS[1], MAILS[4]]
    assert graph.unread == set(graph.mails)
    envelope = spool.got[1][0]
    assert (envelope.source, envelope.delivered_at) == (Source.GRAPH, START + timedelta(minutes=2))
    assert envelope.name == f"{USER} by Microsoft Graph, INBOX message AAMk/3+="


def test_new_mail_and_what_somebody_puts_back_is_read_and_nothing_else_again(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    first = start()
    eventually("all", lambda: len(graph.bodies(PROCESSED)) == 3)
    graph.deliver(report_mail(3), private_mail(3))
    eventually("the next", lambda: len(spool.got) == 4)
    first.stop()
    graph.put_back("AAMk/1+=")
    graph.deliver(report_mail(4))
    start()
    eventually("both", lambda: len(spool.got) == 6)
    assert spool.bodies[4:] == [MAILS[0], report_mail(4)]
    eventually("moved", lambda: len(graph.bodies(PROCESSED)) == 5)
    assert {key: graph.downloads.count(key) for key in graph.mails} == {
        **dict.fromkeys(graph.mails, 1),
        "AAMk/1+=": 2,
    }


@pytest.mark.slow
@pytest.mark.parametrize("kept", [20, 1_000])
def test_a_large_mailbox_is_read_oldest_first_and_resumed(
    graph: StrictGraph, start: Callable[..., MailboxLoop], monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Whether all of it may be in memory or not; and an old mail that is moved into it meanwhile is not missed."""
    monkeypatch.setattr("collector.sources.mailbox.graph_listing._MOST_KEPT", kept)
    monkeypatch.setattr("collector.sources.mailbox.graph_listing._HANDED_OUT_AT_ONCE", 7)
    graph.page = 9
    graph.deliver(*(private_mail(number) if number % 5 else report_mail(number) for number in range(10, 110)))
    moved_in_later = "AAMk/3+="
    graph.parents[moved_in_later] = "sent"
    enough = error(429, "TooManyRequests", "later", {"Retry-After": "3600"})
    graph.instead = lambda _request: enough if len(graph.downloads) == 50 else None
    first = start()
    eventually("half of it", lambda: first.health.errors["throttled"])
    first.stop()
    graph.instead = lambda _request: None
    graph.put_back(moved_in_later)
    second = start()
    eventually("all", lambda: len(set(graph.downloads)) == 105)
    eventually("all moved", lambda: len(graph.bodies(PROCESSED)) == 23)
    eventually("that nothing waits", lambda: second.health.waiting == 0)
    keys = [key for key in graph.mails if key != moved_in_later]
    assert graph.downloads[:50] == keys[:50]
    again = graph.downloads[50:].index(keys[50])
    assert again < 7  # of what was begun
    assert graph.downloads[50 + again :] == [*keys[50:], moved_in_later]


@pytest.mark.parametrize("at", ["delta", "$value", "move", "inbox"])
def test_throttling_is_waited_for_as_long_as_it_says(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop], at: str
) -> None:
    refusals = iter([error(429, "TooManyRequests", "later", {"Retry-After": "40"})])
    graph.instead = lambda request: next(refusals, None) if request.path.endswith(at) else None
    with capture_logs() as said:
        loop = start()
        eventually("that it is said", lambda: events(said, "cannot read a mailbox"))
        assert loop.health.errors["throttled"] == 1
        (line,) = events(said, "cannot read a mailbox")
        assert line["seconds"] == 40
    loop.stop()
    start()
    eventually("all", lambda: len(graph.bodies(PROCESSED)) == 3)
    assert sorted(spool.bodies) == sorted([MAILS[0], MAILS[2], MAILS[3]])


def test_a_token_that_has_expired_is_replaced(
    graph: StrictGraph, identity: Identity, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    def expire(request: Request) -> Answer | None:
        if request.path.endswith("$value") and len(identity.issued) == 1:
            identity.valid.clear()
        return None

    graph.instead = expire
    with capture_logs() as said:
        start()
        eventually("all", lambda: len(graph.bodies(PROCESSED)) == 3)
    assert len(identity.issued) == 2
    assert sorted(spool.bodies) == sorted([MAILS[0], MAILS[2], MAILS[3]])
    assert all(token not in json.dumps(said, default=str) for token in identity.issued)


def test_revocation_is_an_error_until_there_is_consent_again(
    identity: Identity, graph: StrictGraph, start: Callable[..., MailboxLoop]
) -> None:
    identity.revoked = True
    loop = start()
    eventually("an error", lambda: loop.health.errors["token"] > 0)
    assert loop.health.up is False
    identity.revoked = False
    eventually("all", lambda: len(graph.bodies(PROCESSED)) == 3)


@pytest.mark.parametrize("remembered", ["https://old.example/link", "[]", '["a", "b"]', "5"])
def test_a_place_that_cannot_be_read_costs_another_look(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop], tmp_path: Path, remembered: str
) -> None:
    first = start()
    eventually("all", lambda: len(graph.bodies(PROCESSED)) == 3)
    first.stop()
    (path,) = (tmp_path / "mailboxes").glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "position": remembered}))
    graph.deliver(report_mail(3))
    start()
    eventually("the new one", lambda: len(spool.got) == 4)
    assert spool.bodies[3] == report_mail(3)


def test_a_link_that_has_expired_costs_another_look_and_no_mail(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    first = start()
    eventually("all", lambda: len(graph.bodies(PROCESSED)) == 3)
    first.stop()
    graph.expire_links()
    graph.deliver(report_mail(3))
    start()
    eventually("the new one", lambda: len(spool.got) == 4)
    assert spool.bodies[3] == report_mail(3)


def test_without_the_right_to_move_reports_are_stored_and_stay(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop], clock: Clock
) -> None:
    """Mail.Read instead of Mail.ReadWrite."""
    denied = error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
    graph.instead = lambda request: denied if request.method == "POST" else None
    with capture_logs() as said:
        start()
        eventually("that it is said", lambda: events(said, "cannot be moved"))
        eventually("all", lambda: len(spool.got) == 3)
        graph.instead = lambda _request: None
        clock.turn(HOUR)
        eventually("moved", lambda: len(graph.bodies(PROCESSED)) == 3)
    (line,) = events(said, "cannot be moved")
    assert "ErrorAccessDenied" in line["reason"]
    assert len(spool.got) == 3


def test_reports_stay_if_wished(graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop]) -> None:
    start(processed=None)
    eventually("all", lambda: len(spool.got) == 3)
    graph.deliver(report_mail(3))
    eventually("the next", lambda: len(spool.got) == 4)
    assert len(graph.bodies("Inbox")) == 6
    assert not [path for method, path in graph.requests if method != "GET"]


def test_a_folder_per_kind_and_another_folder_to_read(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    graph.folders |= {"of ours": ("in==", "Rep\u00f6rts of 'us'")}
    graph.deliver(report_mail(3), dmarc_report())
    for key in ("AAMk/6+=", "AAMk/7+="):
        graph.parents[key] = "of ours"
        graph.added.append((key, "of ours"))
    start(folder="inbox/Rep\u00f6rts of 'us'", processed="done/{kind}")
    eventually("one", lambda: graph.bodies("done/tls") == [report_mail(3)])
    eventually("other", lambda: graph.bodies("done/dmarc") == [dmarc_report()])
    assert len(spool.got) == 2


def test_a_processed_folder_that_somebody_deletes_is_made_again(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop], clock: Clock
) -> None:
    start()
    eventually("all", lambda: len(graph.bodies(PROCESSED)) == 3)
    del graph.folders["id of processed=="]
    with capture_logs() as said:
        graph.deliver(report_mail(3))
        eventually("that it is said", lambda: events(said, "cannot be moved"))
    clock.turn(HOUR)
    eventually("moved", lambda: report_mail(3) in graph.bodies(PROCESSED))
    assert len(spool.got) == 4


@pytest.mark.parametrize("status", [500, 400, 404])
def test_a_mail_that_cannot_be_read_does_not_stop_the_others(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop], clock: Clock, status: int
) -> None:
    broken = error(status, "ErrorMimeContentConversionFailed", "The message content cannot be converted.")
    graph.instead = lambda request: broken if "AAMk%2F1" in request.path and request.path.endswith("$value") else None
    with capture_logs() as said:
        start()
        eventually("the others", lambda: len(graph.bodies(PROCESSED)) == 2)
        eventually("that it is said", lambda: events(said, "cannot be read"))
        graph.instead = lambda _request: None
        clock.turn(12 * HOUR)
        eventually("the first too", lambda: len(graph.bodies(PROCESSED)) == 3)
    (line,) = events(said, "cannot be read")
    assert line["mail"].endswith("message AAMk/1+=")


def test_a_mail_that_is_too_large_stays(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    graph.deliver(report_mail(9, more=b"x" * 3_000_000 + b"\r\n"), report_mail(3))
    with capture_logs() as said:
        start(limit=9_000_000)
        eventually("all", lambda: len(graph.bodies(PROCESSED)) == 5)
        graph.deliver(report_mail(8, more=b"x" * 9_500_000 + b"\r\n"), report_mail(4))
        eventually("the last", lambda: report_mail(4) in spool.bodies)
    assert len(spool.got) == 6
    assert events(said, "too large")


@pytest.mark.parametrize(
    ("folder", "user", "reason"),
    [("Nowhere", USER, "there is no folder Nowhere"), ("INBOX", "other@shop.example", "ErrorInvalidUser")],
)
def test_what_is_not_there_is_said(start: Callable[..., MailboxLoop], folder: str, user: str, reason: str) -> None:
    with capture_logs() as said:
        start(folder=folder, user=user)
        eventually("that it is said", lambda: events(said, "cannot read a mailbox"))
    line = events(said, "cannot read a mailbox")[0]
    assert line["trouble"] == "folder"
    assert reason in line["reason"]


def test_a_link_to_another_server_gets_no_token(graph: StrictGraph, start: Callable[..., MailboxLoop]) -> None:
    def astray(request: Request) -> Answer | None:
        if request.path.endswith("delta"):
            return answer(200, {"value": [], "@odata.nextLink": "https://graph.evil.example/v1.0/more"})
        return None

    graph.instead = astray
    with capture_logs() as said:
        start()
        eventually("that it is said", lambda: events(said, "cannot read a mailbox"))
    assert "outside" in events(said, "cannot read a mailbox")[0]["reason"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"value": [{"id": "x", "@removed": {}}]}'])
def test_answers_that_cannot_be_read_lose_nothing(
    graph: StrictGraph, spool: RecordingSpool, start: Callable[..., MailboxLoop], body: bytes
) -> None:
    odd = iter([Answer(200, body)])
    graph.instead = lambda request: next(odd, None) if request.path.endswith("delta") else None
    start()
    eventually("all", lambda: len(graph.bodies(PROCESSED)) == 3)
    assert spool.bodies == [MAILS[0], MAILS[2], MAILS[3]]


@pytest.mark.parametrize(
    "page",
    [
        *({"value": value} for value in ("x", 5, None, [5], [None], {"id": "1"})),
        {"value": [{"id": 5}, {"id": None}, {}], "@odata.nextLink": "https://elsewhere.example/v1.0/x"},
    ],
)
def test_pages_that_cannot_be_read_do_no_harm(
    graph: StrictGraph,
    spool: RecordingSpool,
    start: Callable[..., MailboxLoop],
    monkeypatch: pytest.MonkeyPatch,
    page: dict[str, Any],
) -> None:
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(graph, "_delta", lambda *_: answer(200, page))
        loop = start()
        eventually("trouble", lambda: events(logs, "cannot read a mailbox; trying again"))
    assert not events(logs, "reading a mailbox failed; trying again")
    del loop
    eventually("all", lambda: len(spool.bodies) == 3)


@pytest.mark.parametrize("names", [["same"], ["one", "other"], range(10_000)])
def test_pages_that_go_on_for_ever_have_an_end(
    graph: StrictGraph, start: Callable[..., MailboxLoop], monkeypatch: pytest.MonkeyPatch, names: Sequence[object]
) -> None:
    links = (f"{graph.url}/users/{USER}/{name}" for name in itertools.cycle(names))
    monkeypatch.setattr("collector.sources.mailbox.graph_listing._MOST_PAGES_WITHOUT_MAILS", 50)
    monkeypatch.setattr(
        graph, "_account", lambda *_: answer(200, {"id": "a", "value": [], "@odata.nextLink": next(links)})
    )
    with capture_logs() as logs:
        start(folder="Inbox")
        eventually("trouble", lambda: events(logs, "cannot read a mailbox; trying again"))
    assert "pages without an end" in events(logs, "cannot read a mailbox; trying again")[0]["reason"]


def test_a_server_that_repeats_our_token_does_not_bring_it_into_the_log(
    graph: StrictGraph, identity: Identity, start: Callable[..., MailboxLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    def echo(*_: Any) -> Answer:
        return error(403, "ErrorAccessDenied", f"you sent Bearer {identity.issued[-1]}")

    monkeypatch.setattr(graph, "_delta", echo)
    with capture_logs() as logs:
        start()
        eventually("trouble", lambda: events(logs, "cannot read a mailbox; trying again"))
    assert "you sent Bearer [secret]" in events(logs, "cannot read a mailbox; trying again")[0]["reason"]
