"""A real Dovecot in a folder of its own, and the mailbox in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from imapclient import IMAPClient
from pki import make_ca
from ports import free_port, listens
from programs import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from pki import CertificateAuthority

PASSWORD = "correct-horse"
_OF_2_3 = """
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={home}/mail/%u
}}
mail_location = maildir:~/Maildir
"""
_OF_2_4 = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
auth_allow_cleartext = yes
passdb static {{
  password = {password}
}}
userdb static {{
  fields {{
    uid = nobody
    gid = nogroup
    home = {home}/mail/%{{user}}
  }}
}}
mail_driver = maildir
mail_path = ~/Maildir
"""
_OF_BOTH = """
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
auth_mechanisms = plain
first_valid_uid = 1
mail_max_userip_connections = 50
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {plain_port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
{more}
"""


def _configuration() -> str:
    """In the words of the Dovecot that is here: 2.4, which Debian 13 has, refuses those of 2.3."""
    version = subprocess.run([program("dovecot"), "--version"], check=True, capture_output=True, text=True).stdout
    return (_OF_2_3 if version.startswith("2.3.") else _OF_2_4) + _OF_BOTH


@dataclass
class Dovecot:
    """The server; may be stopped and started again."""

    home: Path
    authority: CertificateAuthority
    more: str = ""
    plain_port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        issued = self.authority.issue(["localhost"])
        configuration = self.home / "dovecot.conf"
        configuration.write_text(
            _configuration().format(
                home=self.home,
                certificate=issued.certificate,
                key=issued.key,
                password=PASSWORD,
                plain_port=self.plain_port,
                tls_port=self.tls_port,
                more=self.more,
            )
        )
        self._process = subprocess.Popen([program("dovecot"), "-F", "-c", str(configuration)])
        eventually("Dovecot listens", self._listens)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.home / "log").read_text()
        return listens(self.tls_port)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def client(self, user: str = "reports") -> IMAPClient:
        client = IMAPClient("127.0.0.1", port=self.plain_port, ssl=False, timeout=10)
        client.login(user, PASSWORD)
        return client

    def deliver(self, *mails: bytes, folder: str = "INBOX", at: datetime | None = None) -> None:
        with self.client() as client:
            for mail in mails:
                client.append(folder, mail, msg_time=at)

    def bodies(self, folder: str) -> list[bytes]:
        with self.client() as client:
            if not client.folder_exists(folder):
                return []
            client.select_folder(folder, readonly=True)
            uids = client.search(["NOT", "DELETED"])
            return [answer[b"BODY[]"] for answer in client.fetch(uids, ["BODY.PEEK[]"]).values()]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return make_ca(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def new_dovecot(authority: CertificateAuthority) -> Iterator[Callable[[str], Dovecot]]:
    """Starts a server, with more configuration if given."""
    program("dovecot")
    servers: list[Dovecot] = []

    def new(more: str = "") -> Dovecot:
        # Not below pytest's folder, which is closed to the user who owns the mails.
        home = Path(tempfile.mkdtemp(prefix="dovecot-"))
        home.chmod(0o755)
        nobody = pwd.getpwnam("nobody")
        (home / "mail").mkdir()
        os.chown(home / "mail", nobody.pw_uid, nobody.pw_gid)
        server = Dovecot(home, authority, more)
        servers.append(server)
        server.start()
        return server

    yield new
    for server in servers:
        server.stop()
        shutil.rmtree(server.home)


@pytest.fixture
def dovecot(new_dovecot: Callable[[str], Dovecot]) -> Dovecot:
    return new_dovecot("")
