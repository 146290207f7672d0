"""Mailboxes that take no passwords: XOAUTH2 with a token endpoint, on a real Dovecot and on a server as Gmail's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from eventually import eventually
from sources_mail.conftest import is_2_3
from sources_mail.identity import SECRET, Identity
from sources_mail.odd_imap import HangUpError, OddImap
from sources_mail.reading import RecordingSpool, events, report_mail
from sources_mail.web_server import serving_https
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pki import CertificateAuthority

    from collector.sources.mailbox.loop import MailboxLoop

OAUTH2_PASSDB = """
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {}
}}
"""
OAUTH2_CONF = """
introspection_mode = post
introspection_url = http://127.0.0.1:{}/introspect
username_attribute = username
active_attribute = active
active_value = true
"""
OAUTH2_OF_2_4 = """
oauth2_introspection_mode = post
oauth2_introspection_url = http://127.0.0.1:{}/introspect
oauth2_username_attribute = username
oauth2_active_attribute = active
oauth2_active_value = true
passdb oauth2 {{
  mechanisms_filter = xoauth2
}}
"""


@pytest.fixture
def identity(authority: CertificateAuthority) -> Iterator[Identity]:
    with Identity(authority).serving() as server:
        yield server


@pytest.fixture
def odd(identity: Identity) -> Iterator[OddImap]:
    with OddImap(report_mail(1)).serving() as server:
        server.capabilities += " AUTH=XOAUTH2"
        server.tokens = identity.valid
        yield server


@pytest.fixture
def start(identity: Identity, read: Callable[..., MailboxLoop], tmp_path: Path) -> Callable[[Any], MailboxLoop]:
    """Starts to read a mailbox on a server, with tokens."""
    return lambda server: read(server, password_file=None, oauth=identity.settings(tmp_path))


@pytest.mark.slow
def test_dovecot_takes_the_token(
    new_dovecot: Callable[..., Any],
    identity: Identity,
    spool: RecordingSpool,
    start: Callable[[Any], MailboxLoop],
    tmp_path: Path,
) -> None:
    with serving_https(None, identity.introspect) as introspection:
        conf = tmp_path / "oauth2.conf"
        conf.write_text(OAUTH2_CONF.format(introspection))
        more = OAUTH2_PASSDB.format(conf) if is_2_3() else OAUTH2_OF_2_4.format(introspection)
        server = new_dovecot(more, mechanisms="xoauth2")
        server.deliver(report_mail(1))
        start(server)
        eventually("it", lambda: spool.bodies == [report_mail(1)])
        eventually("moved", lambda: server.bodies("mailposture.processed") == [report_mail(1)])


@pytest.mark.parametrize("refresh_token", ["", "1//0refresh"])
def test_a_session_that_ends_begins_again_with_the_same_token(
    odd: OddImap,
    identity: Identity,
    spool: RecordingSpool,
    start: Callable[[Any], MailboxLoop],
    refresh_token: str,
) -> None:
    identity.refresh_token = refresh_token
    loop = start(odd)
    eventually("it", lambda: spool.bodies == [report_mail(1)])
    loop.stop()
    assert len(identity.issued) == 1
    assert identity.requests[0]["grant_type"] == ("refresh_token" if refresh_token else "client_credentials")


def test_a_token_that_the_server_takes_no_more_is_replaced(
    odd: OddImap, identity: Identity, spool: RecordingSpool, start: Callable[[Any], MailboxLoop]
) -> None:
    """Revoked before its time: the next session finds out, and the one after it has another."""

    def revoke_and_hang_up(_uid: int) -> str | None:
        odd.before_fetch = lambda _uid: None
        identity.valid.clear()
        raise HangUpError

    odd.before_fetch = revoke_and_hang_up
    with capture_logs() as said:
        start(odd)
        eventually("it", lambda: spool.bodies == [report_mail(1)])
    assert [each["trouble"] for each in events(said, "cannot read a mailbox")] == ["lost", "login"]
    assert len(identity.issued) == 2
    assert all(token not in json.dumps(said, default=str) for token in identity.issued)


def test_revocation_is_said_and_ends_once_there_is_consent_again(
    odd: OddImap, identity: Identity, spool: RecordingSpool, start: Callable[[Any], MailboxLoop]
) -> None:
    identity.refresh_token, identity.revoked, identity.echoes = "1//0refresh", True, True
    with capture_logs() as said:
        loop = start(odd)
        eventually("that it is said", lambda: events(said, "cannot read a mailbox"))
        assert loop.health.up is False
        identity.revoked = False
        eventually("it", lambda: spool.bodies == [report_mail(1)])
    line = events(said, "cannot read a mailbox")[0]
    assert line["trouble"] == "token"
    assert "invalid_grant" in line["reason"]
    everything = json.dumps(said, default=str)
    assert all(secret not in everything for secret in (SECRET, "1//0refresh", *identity.issued))


def test_a_login_that_is_refused_says_why(
    odd: OddImap, identity: Identity, start: Callable[[Any], MailboxLoop]
) -> None:
    odd.tokens = ()
    with capture_logs() as said:
        start(odd)
        eventually("two tries", lambda: len(events(said, "cannot read a mailbox")) >= 2)
    line = events(said, "cannot read a mailbox")[0]
    assert line["trouble"] == "login"
    assert "Invalid credentials" in line["reason"]
    assert '"status":"400"' in line["reason"]
    assert len(identity.issued) >= 2  # a new token for each try
    assert all(token not in json.dumps(said, default=str) for token in identity.issued)


def test_a_server_without_xoauth2_gets_no_token(
    odd: OddImap, identity: Identity, start: Callable[[Any], MailboxLoop]
) -> None:
    odd.capabilities = "IMAP4rev1 AUTH=PLAIN"
    with capture_logs() as said:
        start(odd)
        eventually("that it is said", lambda: events(said, "cannot read a mailbox"))
    assert "does not offer AUTH=XOAUTH2" in events(said, "cannot read a mailbox")[0]["reason"]
    assert not [command for command in odd.commands if "AUTH" in command]


def test_throttling_of_the_token_endpoint_is_waited_for(
    odd: OddImap,
    identity: Identity,
    spool: RecordingSpool,
    start: Callable[[Any], MailboxLoop],
) -> None:
    identity.busy = [{"Retry-After": "120"}]
    with capture_logs() as said:
        loop = start(odd)
        eventually("that it is said", lambda: events(said, "cannot read a mailbox"))
    line = events(said, "cannot read a mailbox")[0]
    assert (line["trouble"], line["seconds"]) == ("throttled", 120)
    assert loop.health.errors["throttled"] == 1
