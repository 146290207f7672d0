"""Behind a real Postfix, by transport map: mail arrives as it was, and is bounced or kept as we answer."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from postfix import NEEDED, running_postfix
from room import has_room
from sources_net.listeners import RCPT, SENDER

from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postfix import Postfix
    from sources_net.listeners import MailServer

    from mailposture.config.model import TlsFiles

pytestmark = [pytest.mark.slow, *NEEDED]

LMTP_RCPT = "reports@xn--bcher-kva.example"
REPORT = (
    b"From: noreply@sender.example\r\nTo: tlsrpt@example.com\r\nMessage-ID: <1@sender.example>\r\n"
    b"Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nSubject: Report Domain: example.com\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    b"DKIM-Signature: v=1; d=sender.example;\r\n\tb=folded==\r\n\r\n"
    b".a line with a dot in front\r\n..\r\n\r\n  spaces at the end  \r\n\xc3\xa4\xff 8 bit\r\n"
    + b"x" * 50_000
    + b"\r\n\r\n\r\n"
)


@pytest.fixture
def postfix() -> Iterator[Callable[[MailServer], Postfix]]:
    """Starts a Postfix that relays to a mail server of ours, by SMTP and by LMTP."""
    with contextlib.ExitStack() as stack:

        def start(server: MailServer) -> Postfix:
            transports = {
                "example.com": f"smtp:[127.0.0.1]:{server.smtp[1]}",
                "xn--bcher-kva.example": f"lmtp:inet:127.0.0.1:{server.lmtp[1]}",
            }
            whole = {"smtp_line_length_limit": "0", "lmtp_line_length_limit": "0"}  # as docs/receiving.md says
            return stack.enter_context(running_postfix(transports=transports, settings=whole))

        yield start


def test_mail_arrives_as_postfix_had_it(mail_server: Callable, postfix: Callable, tls_files: TlsFiles) -> None:
    server = mail_server(tls=tls_files)
    relay = postfix(server)
    relay.send(SENDER, RCPT, REPORT)
    relay.wait_for("status=sent (250 2.0.0 OK: queued as ")
    relay.send(SENDER, LMTP_RCPT, REPORT)
    relay.wait_for(f"to=<{LMTP_RCPT}>, relay=127.0.0.1[127.0.0.1]:{server.lmtp[1]}")
    assert relay.log().count("status=sent") == 2
    assert "TLS connection established to 127.0.0.1" in relay.log()
    by_smtp, by_lmtp = server.received()
    for message, source, recipient in ((by_smtp, Source.SMTP, RCPT), (by_lmtp, Source.LMTP, LMTP_RCPT)):
        received, _, rest = message.body.partition(b"From: ")
        assert received.startswith(b"Received: from ")
        assert b"From: " + rest == REPORT
        assert message.envelope.source is source
        assert message.envelope.recipients == (recipient,)
        assert message.envelope.mail_from == SENDER
    assert by_smtp.envelope.name in relay.log(), "what Postfix logs finds the report here"


def test_mail_for_nobody_is_bounced_by_postfix(mail_server: Callable, postfix: Callable) -> None:
    server = mail_server()
    relay = postfix(server)
    relay.send(SENDER, "nobody@example.com", REPORT)
    relay.wait_for("status=bounced")
    relay.send(SENDER, "nobody@xn--bcher-kva.example", REPORT)
    relay.wait_for("to=<nobody@xn--bcher-kva.example>")
    assert relay.log().count("550 5.1.1 Recipient rejected: no reports are accepted at this address") == 2
    assert server.received() == []


def test_postfix_keeps_mail_while_our_disk_is_full(mail_server: Callable, postfix: Callable) -> None:
    server = mail_server(keep_free=1 << 60)
    relay = postfix(server)
    relay.send(SENDER, RCPT, REPORT)
    relay.wait_for("status=deferred")
    assert "452 4.3.1 Insufficient disk space" in relay.log()
    server.spool._keep_free = 0
    eventually("the spool sees that there is room", lambda: has_room(server.spool))
    relay.run("postqueue", "-f")
    relay.wait_for("status=sent")
    (message,) = server.received()
    assert message.body.endswith(REPORT)


def test_many_mails_reuse_connections_and_all_arrive(mail_server: Callable, postfix: Callable) -> None:
    server = mail_server()
    relay = postfix(server)
    for number in range(100):
        relay.send(SENDER, RCPT, REPORT.replace(b"<1@", b"<%d@" % number))
    relay.wait_for("status=sent", times=100)
    identities = {message.body.partition(b"Message-ID: <")[2].partition(b"@")[0] for message in server.received()}
    assert identities == {b"%d" % number for number in range(100)}
