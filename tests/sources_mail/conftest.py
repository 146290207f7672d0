"""A real Dovecot in a folder of its own, and the mailbox in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eventually import eventually
from imapclient import IMAPClient
from pki import make_ca
from ports import free_port, listens
from programs import program
from sources_mail.reading import SOON, Clock, RecordingSpool

from collector.sources.mailbox.imap import ImapMailbox
from collector.sources.mailbox.loop import MailboxLoop
from collector.sources.mailbox.remembered import Remembered
from collector.sources.memory import BodyMemory
from mailposture.config.mailboxes import ImapMailbox as Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from pki import CertificateAuthority

    from collector.sources.mailbox.mailbox import Mailbox

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
auth_mechanisms = plain {mechanisms}
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


_LIMITS_OF_2_3 = {
    "acl": "mail_plugins = acl\nplugin {\n  acl = vfile\n}\n"
    "protocol imap {\n  mail_plugins = $mail_plugins imap_acl\n}",
    "quota": "mail_plugins = quota\nplugin {{\n  quota = count:all\n  quota_vsizes = yes\n"
    "  quota_rule = *:storage={}\n}}",
}
_LIMITS_OF_2_4 = {
    "acl": "mail_plugins {\n  acl = yes\n}\nacl_driver = vfile\n"
    "protocol imap {\n  mail_plugins {\n    imap_acl = yes\n  }\n}",
    "quota": 'mail_plugins {{\n  quota = yes\n}}\nquota "all" {{\n  storage_size = {}\n}}',
}
_OWNER = pwd.getpwnam("nobody")[2:4]


def is_2_3() -> bool:
    """Which words Dovecot takes: 2.4, which Debian 13 has, refuses those of 2.3."""
    version = subprocess.run([program("dovecot"), "--version"], check=True, capture_output=True, text=True).stdout
    return version.startswith("2.3.")


def _configuration() -> str:
    return (_OF_2_3 if is_2_3() else _OF_2_4) + _OF_BOTH


@dataclass
class Dovecot:
    """The server; may be stopped and started again."""

    home: Path
    authority: CertificateAuthority
    more: str = ""
    password: str = PASSWORD
    mechanisms: str = ""  # beside PLAIN
    plain_port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None
    _dropped: int = 0

    def start(self) -> None:
        issued = self.authority.issue(["localhost"])
        configuration = self.home / "dovecot.conf"
        configuration.write_text(
            _configuration().format(
                home=self.home,
                certificate=issued.certificate,
                key=issued.key,
                password=self.password,
                mechanisms=self.mechanisms,
                plain_port=self.plain_port,
                tls_port=self.tls_port,
                more=self.more,
            )
        )
        self._process = subprocess.Popen([program("dovecot"), "-F", "-c", str(configuration)])
        eventually("Dovecot listens", self._listens)

    @property
    def settings(self) -> dict[str, Any]:
        """What a configuration says about it."""
        return {"port": self.tls_port, "certificate_authority": self.authority.certificate}

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.home / "log").read_text()
        return listens(self.tls_port)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
            self._process = None

    def client(self, user: str = "reports") -> IMAPClient:
        client = IMAPClient("127.0.0.1", port=self.plain_port, ssl=False, timeout=60)
        client.plain_login(user, self.password)
        return client

    def deliver(self, *mails: bytes, folder: str = "INBOX", at: datetime | None = None) -> None:
        with self.client() as client:
            for mail in mails:
                client.append(folder, mail, msg_time=at)

    def drop(self, *mails: bytes) -> None:
        """Deliver mails past IMAP and its rights, in their order."""
        folder = self.maildir / "new"
        if not folder.exists():
            self.deliver(b"Subject: makes the folders\r\n\r\n")
            for made in (self.maildir / "cur", folder):
                for path in made.iterdir():
                    path.unlink()
        for mail in mails:
            self._dropped += 1
            path = self.maildir / "tmp" / f"{1_790_000_000 + self._dropped}.M{self._dropped}P1.test"
            path.write_bytes(mail)
            os.chown(path, *_OWNER)
            path.rename(folder / path.name)

    def allow(self, rights: str) -> None:
        """What the owner may do with the INBOX (RFC 4314); sessions that have begun keep what they had."""
        (self.maildir / "dovecot-acl").write_text(f"owner {rights}\n")

    @property
    def maildir(self) -> Path:
        return self.home / "mail/reports/Maildir"

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
def new_dovecot(authority: CertificateAuthority) -> Iterator[Callable[..., Dovecot]]:
    """Starts a server, with more configuration if given."""
    program("dovecot")
    servers: list[Dovecot] = []

    def new(more: str = "", **settings: Any) -> Dovecot:
        # Not below pytest's folder, which is closed to the user who owns the mails.
        home = Path(tempfile.mkdtemp(prefix="dovecot-"))
        home.chmod(0o755)
        (home / "mail").mkdir()
        os.chown(home / "mail", *_OWNER)
        server = Dovecot(home, authority, more, **settings)
        servers.append(server)
        server.start()
        return server

    yield new
    for server in servers:
        server.stop()
        shutil.rmtree(server.home)


@pytest.fixture
def limited_dovecot(new_dovecot: Callable[[str], Dovecot]) -> Callable[..., Dovecot]:
    """Starts a server with mails in a mailbox where we have some rights, or a quota."""

    def new(*mails: bytes, rights: str = "", quota: str = "", more: str = "") -> Dovecot:
        words = _LIMITS_OF_2_3 if is_2_3() else _LIMITS_OF_2_4
        limits = [words["quota"].format(quota)] if quota else [words["acl"]]
        server = new_dovecot("\n".join([*limits, more]))
        with server.client() as client:  # which makes the folders
            client.create_folder("mailposture.processed")
        server.drop(*mails)
        if rights:
            server.allow(rights)
        return server

    return new


@pytest.fixture
def dovecot(new_dovecot: Callable[[str], Dovecot]) -> Dovecot:
    return new_dovecot("")


@pytest.fixture
def spool() -> RecordingSpool:
    return RecordingSpool()


@pytest.fixture
def clock() -> Clock:
    """By which the loop waits before it tries again what was refused."""
    return Clock()


@pytest.fixture
def read(tmp_path: Path, read_mailbox: Callable[..., MailboxLoop]) -> Callable[..., MailboxLoop]:
    """Starts to read an IMAP mailbox on a server."""

    def start(server: Any, **more: Any) -> MailboxLoop:
        known = {name: more.pop(name) for name in ("limit", "into", "memory", "kinds") if name in more}
        (tmp_path / "password").write_text(f"{getattr(server, 'password', PASSWORD)}\n", encoding="utf-8")
        settings: dict[str, Any] = {
            "host": "localhost",
            "user": "reports",
            "password_file": tmp_path / "password",
            "poll": timedelta(seconds=60),
        }
        answers = more.pop("answers", time.monotonic)
        settings |= {**server.settings, **more}
        chosen = Settings(**{**settings, "poll": max(settings["poll"], timedelta(seconds=1))})
        chosen = chosen.model_copy(update={"poll": settings["poll"]})
        mailbox = ImapMailbox(chosen, folder=tmp_path / "mailboxes", clock=answers)
        return read_mailbox(mailbox, **known)

    return start


@pytest.fixture
def read_mailbox(tmp_path: Path, spool: RecordingSpool, clock: Clock) -> Iterator[Callable[..., MailboxLoop]]:
    """Starts to read a mailbox; it remembers what an earlier one of the same test did."""
    loops = []

    def start(
        mailbox: Mailbox,
        *,
        limit: int = 1_000_000,
        into: Any = spool,
        memory: BodyMemory | None = None,
        kinds: tuple[str, ...] = ("tls",),
    ) -> MailboxLoop:
        loop = MailboxLoop(
            mailbox,
            spool=into,
            memory=memory or BodyMemory(largest=limit),
            remembered=Remembered(tmp_path / "mailboxes", mailbox.name, kinds=kinds),
            limit=limit,
            clock=clock,
            waits=(SOON.total_seconds(), 300.0),
        )
        loop.start()
        loops.append(loop)
        return loop

    yield start
    for loop in loops:
        loop.stop()
