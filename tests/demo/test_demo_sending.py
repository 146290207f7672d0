"""The demo goes through a real SMTP server."""

import socket

import pytest
from aiosmtpd.controller import Controller
from ports import free_port

from demo.dmarc.mails import dmarc_mails
from demo.odd_mails import odd_mails
from demo.send import send_demo


class Mailbox:
    def __init__(self):
        self.received = []
        self.peers = set()

    async def handle_DATA(self, _server, session, envelope):  # noqa: N802  aiosmtpd's name
        self.received.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        self.peers.add(session.peer)
        return "250 OK"


@pytest.fixture
def mailbox():
    port = free_port()
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port, decode_data=False)
    controller.start()
    box.port = port
    yield box
    controller.stop()


@pytest.mark.slow
def test_every_mail_arrives_unchanged_over_few_connections(mailbox, today, demo_keys, demo_mails):
    expected = [*demo_mails, *dmarc_mails(today, demo_keys), *odd_mails(today, demo_keys)]
    assert send_demo(today, demo_keys, host="127.0.0.1", port=mailbox.port) == len(expected)
    assert sorted(mailbox.received) == sorted((mail.mail_from, [mail.recipient], mail.content) for mail in expected)
    assert len(mailbox.peers) < 100


@pytest.mark.slow
def test_an_unreachable_listener_is_an_error(today, demo_keys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening
        with pytest.raises(OSError, match="refused"):
            send_demo(today, demo_keys, host="127.0.0.1", port=unused.getsockname()[1])
