"""A digest reaches real mailboxes through a real mail server: once, and whatever happens in between."""

from __future__ import annotations

import pwd
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner
from clock import NOW, TODAY
from eventually import eventually
from postfix import NEEDED, running_postfix
from programs import needs
from prometheus_client import CollectorRegistry
from sources_mail.conftest import PASSWORD

from cli.digest import command
from exporter.digests.delivery import DeliveryError
from exporter.digests.sending import Sending
from mailposture.clickhouse.client import connect
from mailposture.config.digest import Digest, Weekday

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from engine import Storage
    from pki import CertificateAuthority
    from postfix import Postfix
    from sample_reports import Reports
    from sources_mail.conftest import Dovecot

pytestmark = [pytest.mark.slow, needs("dovecot"), *NEEDED]

TEAM = "team.example"
BOSS, ADMIN, NOBODY = f"boss@{TEAM}", f"admin@{TEAM}", "nobody@elsewhere.example"
_SASL = """
service auth {
  unix_listener auth-postfix {
    mode = 0666
  }
}
"""


@dataclass
class Office:
    """A mail server that takes mail only from who logs in under TLS, the mailboxes behind it, and who sends."""

    storage: Storage
    dovecot: Dovecot
    authority: CertificateAuthority
    password: Path
    now: datetime = NOW
    postfix: Postfix | None = None
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Run the mail server."""
        owner = pwd.getpwnam("nobody")
        issued = self.authority.issue(["localhost"])
        with running_postfix(
            transports={TEAM: "virtual:"},
            settings={
                "smtpd_tls_cert_file": str(issued.certificate),
                "smtpd_tls_key_file": str(issued.key),
                "smtpd_tls_security_level": "encrypt",
                "smtpd_sasl_auth_enable": "yes",
                "smtpd_sasl_type": "dovecot",
                "smtpd_sasl_path": f"{self.dovecot.home}/run/auth-postfix",
                "smtpd_recipient_restrictions": "reject_unauth_destination, permit_sasl_authenticated, reject",
                "virtual_mailbox_base": f"{self.dovecot.home}/mail",
                "virtual_mailbox_maps": f"inline:{{ {BOSS}=boss/Maildir/, {ADMIN}=admin/Maildir/ }}",
                "virtual_uid_maps": f"static:{owner.pw_uid}",
                "virtual_gid_maps": f"static:{owner.pw_gid}",
                "virtual_minimum_uid": "1",
            },
        ) as postfix:
            self.postfix = postfix
            yield
        self.postfix = None

    def digest(self, *recipients: str) -> Digest:
        return Digest.model_validate(
            {
                "sender": "mailposture@shop.example",
                "recipients": recipients,
                "day": Weekday(TODAY.weekday()).name,
                "hour": 8,
                "smtp": {
                    "host": "localhost",
                    "port": self.postfix.address[1] if self.postfix else 9,  # nobody listens there
                    "certificate_authority": self.authority.certificate,
                    "user": "mailposture",
                    "password_file": self.password,
                },
            }
        )

    def sending(self, *recipients: str, client: Callable[[], Any] | None = None) -> Sending:
        """A process that has just started."""
        self.registry = CollectorRegistry()
        config = self.storage.config.model_copy(update={"digest": self.digest(*recipients)})

        def own_client() -> Any:
            return connect(config, user=config.clickhouse.exporter_user, endpoint=self.storage.endpoint)

        return Sending(
            config=lambda: config,
            registry=self.registry,
            client=client or own_client,
            clock=lambda: self.now,
        )

    def samples(self) -> dict[str, float]:
        """What the process that started last shows of itself."""
        return {sample.name: sample.value for metric in self.registry.collect() for sample in metric.samples}

    def arrived(self, user: str, number: int) -> list[EmailMessage]:
        """The mails in a mailbox, once there are so many; in the order in which they were sent."""

        def mails() -> list[bytes]:
            with self.dovecot.client(user) as client:
                client.select_folder("INBOX", readonly=True)
                answers = client.fetch(client.search(), ["BODY.PEEK[]"])
                return [answer[b"BODY[]"] for _, answer in sorted(answers.items())]

        eventually(f"{number} digests for {user}", lambda: len(mails()) >= number)
        return [message_from_bytes(mail, policy=policy.default) for mail in mails()]


@pytest.fixture
def office(
    two_domains: Storage,
    reports: Reports,
    new_dovecot: Callable[..., Dovecot],
    authority: CertificateAuthority,
    tmp_path: Path,
) -> Office:
    for day in range(1, 9):
        reports.add("shop.example", day=day, successful=100)
    dovecot = new_dovecot(_SASL)
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    return Office(two_domains, dovecot, authority, password)


def configuration(office: Office, folder: Path, **settings: Any) -> Path:
    """The file of a configuration on the engine that runs."""
    file = folder / "mailposture.yaml"
    known = {
        "domains": [{"name": "shop.example", "team": "web"}, {"name": "other.example"}],
        "data": str(office.storage.config.data),
        "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"},
    }
    file.write_text(yaml.safe_dump({**known, **settings}), encoding="utf-8")
    return file


WAITING, SINCE = "mailposture_digest_waiting", "mailposture_digest_waiting_since_timestamp_seconds"


def test_it_arrives_once_for_each_recipient_and_a_restart_repeats_none(office: Office) -> None:
    with office.open():
        office.sending(BOSS, ADMIN).look()
        office.sending(BOSS, ADMIN).look()
        office.now += timedelta(days=7)
        after = office.sending(BOSS, ADMIN)
        after.look()
        for user in ("boss", "admin"):
            first, second = office.arrived(user, 2)
            assert first["Message-ID"] != second["Message-ID"]
            assert first["To"] == f"{BOSS}, {ADMIN}"
            assert first["From"] == "mailposture@shop.example"
            assert first["Auto-Submitted"] == "auto-generated"
            body = first.get_body(("html",))
            assert body is not None
            assert "shop.example" in body.get_content()
            assert first.get_body(("plain",)) is not None
    assert office.samples()[WAITING] == 0
    assert office.samples()["mailposture_digest_last_sent_timestamp_seconds"] == office.now.timestamp()


def test_a_mail_server_that_is_away_for_hours_loses_none(office: Office) -> None:
    process = office.sending(BOSS)
    process.look()
    due = NOW.replace(hour=8, minute=0).timestamp()
    assert (office.samples()[WAITING], office.samples()[SINCE]) == (1, due)
    office.now += timedelta(hours=5)
    with office.open():
        restarted = office.sending(BOSS)
        restarted.look()
        assert office.samples()[WAITING] == 0
        assert SINCE not in office.samples()
        (mail,) = office.arrived("boss", 1)
        assert mail["Date"].datetime == office.now.replace(microsecond=0)


def test_a_failure_is_tried_again_after_growing_pauses(office: Office) -> None:
    asked = list[datetime]()

    def away() -> None:
        asked.append(office.now)
        raise OSError("away")

    process = office.sending(BOSS, client=away)
    for minute in range(130):
        office.now = NOW + timedelta(minutes=minute)
        process.look()
    assert [(each - NOW).seconds // 60 for each in asked] == [0, 1, 3, 7, 15, 31, 61, 91, 121]


def test_who_is_refused_keeps_it_from_nobody(office: Office) -> None:
    with office.open():
        process = office.sending(NOBODY, BOSS)
        process.look()
        office.arrived("boss", 1)
        assert office.samples()[WAITING] == 1
        assert "nobody@elsewhere.example is refused: 554" in process.fault


def test_what_was_handed_over_and_not_noted_is_sent_again_as_the_same(office: Office) -> None:
    config = office.storage.config

    class Forgetful:
        """A database that does not take the note."""

        def __init__(self) -> None:
            self._client = connect(config, user=config.clickhouse.exporter_user, endpoint=office.storage.endpoint)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def insert(self, *_: Any, **__: Any) -> None:
            raise OSError("no disk")

    with office.open():
        office.sending(BOSS, client=Forgetful).look()
        office.sending(BOSS).look()
        first, second = office.arrived("boss", 2)
    assert first["Message-ID"] == second["Message-ID"]


def test_a_process_that_lives_does_not_repeat_what_it_could_not_note(office: Office) -> None:
    takes = [False]
    config = office.storage.config

    class Ailing:
        """A database that takes no note until it is well."""

        def __init__(self) -> None:
            self._client = connect(config, user=config.clickhouse.exporter_user, endpoint=office.storage.endpoint)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def insert(self, *arguments: Any, **options: Any) -> None:
            if not takes[0]:
                raise OSError("no disk")
            self._client.insert(*arguments, **options)

    with office.open():
        process = office.sending(BOSS, client=Ailing)
        process.look()
        takes[0] = True
        office.now += timedelta(minutes=5)
        process.look()
        office.now += timedelta(days=7)
        process.look()
        first, second = office.arrived("boss", 2)
    assert first["Message-ID"] != second["Message-ID"]


def test_the_command_mails_it_now(office: Office, tmp_path: Path) -> None:
    with office.open():
        digest = office.digest(BOSS).model_dump(mode="json")
        file = configuration(office, tmp_path, digest={**digest, "day": "monday"})
        done = CliRunner().invoke(command, ["--config", str(file), "--send"])
        assert (done.exit_code, done.output) == (0, f"Handed to localhost for {BOSS}.\n"), done.output
        (mail,) = office.arrived("boss", 1)
        assert mail["Subject"].startswith("Mail security, ")


def test_who_got_it_by_the_command_does_not_get_it_again_when_it_is_due(office: Office, tmp_path: Path) -> None:
    with office.open():
        digest = office.digest(NOBODY, BOSS).model_dump(mode="json")
        file = configuration(office, tmp_path, digest={**digest, "day": Weekday(TODAY.weekday()).name})
        done = CliRunner().invoke(command, ["--config", str(file), "--send"])
        assert "nobody@elsewhere.example is refused: 554" in str(done.exception), (
            "and who is refused keeps it from none"
        )
        of_one = CliRunner().invoke(command, ["--config", str(file), "--send", "--domain", "shop.example"])
        assert "of shop.example" not in done.output
        assert f"Handed to localhost for {BOSS}." in of_one.output
        assert office.storage.ask("SELECT first_day, scope, recipient FROM digests_sent") == [
            (TODAY - timedelta(days=7), "", BOSS)
        ]
        office.sending(BOSS, ADMIN).look()
        office.now += timedelta(days=7)
        office.sending(BOSS, ADMIN).look()
        by_command, _, due = office.arrived("boss", 3)
        (first, second) = office.arrived("admin", 2)
    assert by_command["Message-ID"] not in (first["Message-ID"], due["Message-ID"])
    assert due["Message-ID"] == second["Message-ID"]


def test_a_server_that_does_not_take_it_is_named(office: Office, tmp_path: Path) -> None:
    digest = office.digest(BOSS).model_dump(mode="json")
    file = configuration(office, tmp_path, digest={**digest, "day": "monday"})
    done = CliRunner().invoke(command, ["--config", str(file), "--send"])
    assert isinstance(done.exception, DeliveryError)
    assert str(done.exception) == (
        "localhost:9 takes no digest: Connection refused; see digest.smtp in the configuration"
    )
