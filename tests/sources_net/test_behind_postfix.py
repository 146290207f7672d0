"""Behind a real Postfix, by transport map: mail arrives as it was, and is bounced or kept as we answer."""

from __future__ import annotations

import os
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sources_net.listeners import RCPT, SENDER

from collector.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sources_net.listeners import MailServer

    from mailposture.config import TlsFiles

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("postfix") is None, reason="needs Postfix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix starts as root only"),
]

LMTP_RCPT = "reports@xn--bcher-kva.example"
REPORT = (
    b"From: noreply@sender.example\r\nTo: tlsrpt@example.com\r\nMessage-ID: <1@sender.example>\r\n"
    b"Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nSubject: Report Domain: example.com\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    b"DKIM-Signature: v=1; d=sender.example;\r\n\tb=folded==\r\n\r\n"
    b".a line with a dot in front\r\n..\r\n\r\n  spaces at the end  \r\n\xc3\xa4\xff 8 bit\r\n"
    + b"x" * 990
    + b"\r\n\r\n\r\n"
)

MASTER = """
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

MAIN = """
compatibility_level = 3.6
config_directory = {folder}
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = relay.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtp_tls_security_level = may
smtp_tls_loglevel = 1
relay_domains = example.com, xn--bcher-kva.example
transport_maps = inline:{{ example.com=smtp:[127.0.0.1]:{smtp}, xn--bcher-kva.example=lmtp:inet:127.0.0.1:{lmtp} }}
notify_classes =
smtputf8_enable = yes
"""


class Postfix:
    """A Postfix of its own that relays to a mail server of ours."""

    def __init__(self, folder: Path, server: MailServer) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = ("127.0.0.1", port)
        (folder / "main.cf").write_text(MAIN.format(folder=folder, smtp=server.smtp[1], lmtp=server.lmtp[1]))
        (folder / "master.cf").write_text(MASTER.format(port=f"127.0.0.1:{port}"))
        (folder / "queue").mkdir()
        (folder / "data").mkdir()
        shutil.chown(folder / "data", "postfix")
        self.run("postfix", "start")

    def run(self, command: str, *arguments: str) -> None:
        subprocess.run([command, "-c", str(self.folder), *arguments], check=True, capture_output=True, timeout=30)

    def send(self, recipient: str, mail: bytes) -> None:
        for _ in range(100):
            try:
                client = smtplib.SMTP(*self.address)
                break
            except OSError:
                time.sleep(0.05)
        with client:
            client.sendmail(SENDER, [recipient], mail, mail_options=["BODY=8BITMIME"])

    def wait_for(self, words: str) -> None:
        """Wait until the log says it."""
        for _ in range(400):
            if words in (log := self.log()):
                return
            time.sleep(0.05)
        pytest.fail(f"{words!r} is not in Postfix's log:\n{log}")

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> None:
        self.run("postfix", "abort")


@pytest.fixture
def postfix() -> Iterator[Callable[[MailServer], Postfix]]:
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)  # its daemons are not root
    started = []

    def start(server: MailServer) -> Postfix:
        started.append(Postfix(folder, server))
        return started[0]

    yield start
    for one in started:
        one.stop()
    shutil.rmtree(folder)


def test_mail_arrives_as_postfix_had_it(mail_server: Callable, postfix: Callable, tls_files: TlsFiles) -> None:
    server = mail_server(tls=tls_files)
    relay = postfix(server)
    relay.send(RCPT, REPORT)
    relay.wait_for("status=sent (250 2.0.0 OK: queued as ")
    relay.send(LMTP_RCPT, REPORT)
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
    relay.send("nobody@example.com", REPORT)
    relay.wait_for("status=bounced")
    relay.send("nobody@xn--bcher-kva.example", REPORT)
    relay.wait_for("to=<nobody@xn--bcher-kva.example>")
    assert relay.log().count("550 5.1.1 No reports are received at that address") == 2
    assert server.received() == []


def test_postfix_keeps_mail_while_our_disk_is_full(mail_server: Callable, postfix: Callable) -> None:
    server = mail_server(keep_free=1 << 60)
    relay = postfix(server)
    relay.send(RCPT, REPORT)
    relay.wait_for("status=deferred")
    assert "452 4.3.1 No room on disk" in relay.log()
    server.spool._keep_free = 0
    time.sleep(1.1)
    relay.run("postqueue", "-f")
    relay.wait_for("status=sent")
    (message,) = server.received()
    assert message.body.endswith(REPORT)


def test_many_mails_reuse_connections_and_all_arrive(mail_server: Callable, postfix: Callable) -> None:
    server = mail_server()
    relay = postfix(server)
    for number in range(100):
        relay.send(RCPT, REPORT.replace(b"<1@", b"<%d@" % number))
    for _ in range(400):
        if relay.log().count("status=sent") == 100:
            break
        time.sleep(0.05)
    identities = {message.body.partition(b"Message-ID: <")[2].partition(b"@")[0] for message in server.received()}
    assert identities == {b"%d" % number for number in range(100)}
