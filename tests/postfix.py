"""A real Postfix for the tests, with a queue and ports of its own; it starts as root only."""

from __future__ import annotations

import contextlib
import os
import shutil
import smtplib
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from ports import free_port
from programs import needs, program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NEEDED = [
    needs("postfix"),
    pytest.mark.skipif(os.geteuid() != 0, reason="Postfix starts as root only"),
]

_MASTER = """
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
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_MAIN = """
compatibility_level = 3.6
config_directory = {folder}
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_dns_support_level = disabled
smtp_tls_security_level = may
smtp_tls_loglevel = 1
relay_domains = {domains}
transport_maps = inline:{{ {transports} }}
notify_classes =
smtputf8_enable = yes
"""


class Postfix:
    """A Postfix that relays by `transports` (domain to transport) only; `settings` are further lines of main.cf."""

    def __init__(self, folder: Path, *, transports: Mapping[str, str], settings: Mapping[str, str]) -> None:
        self.folder = folder
        port = free_port()
        self.address = ("127.0.0.1", port)
        relayed = ", ".join(f"{domain}={transport}" for domain, transport in transports.items())
        main = _MAIN.format(folder=folder, domains=", ".join(transports), transports=relayed)
        own = {"myhostname": "relay.example", **settings}
        (folder / "main.cf").write_text(main + "".join(f"{name} = {value}\n" for name, value in own.items()))
        (folder / "master.cf").write_text(_MASTER.format(port=f"127.0.0.1:{port}"))
        (folder / "queue").mkdir()
        (folder / "data").mkdir()
        shutil.chown(folder / "data", "postfix")
        self.run("postfix", "start")

    def run(self, command: str, *arguments: str) -> None:
        subprocess.run(
            [program(command), "-c", str(self.folder), *arguments], check=True, capture_output=True, timeout=60
        )

    def send(self, sender: str, recipient: str, mail: bytes) -> None:
        """Hand it a mail by SMTP."""
        with eventually("Postfix listens", self._connection) as client:
            client.sendmail(sender, [recipient], mail, mail_options=["BODY=8BITMIME"])

    def _connection(self) -> smtplib.SMTP | None:
        with contextlib.suppress(OSError):
            return smtplib.SMTP(*self.address)
        return None

    def wait_for(self, words: str, *, times: int = 1) -> None:
        """Wait until the log says it so many times."""
        eventually(f"{words!r} in the log of Postfix, {self.folder}", lambda: self.log().count(words) >= times)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""


@contextmanager
def running_postfix(*, transports: Mapping[str, str], settings: Mapping[str, str] | None = None) -> Iterator[Postfix]:
    """Start one, and end it with its queue."""
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)  # its daemons are not root
    try:
        postfix = Postfix(folder, transports=transports, settings=settings or {})
        try:
            yield postfix
        finally:
            postfix.run("postfix", "abort")
    finally:
        shutil.rmtree(folder)
