"""A Maildir through the whole product: what is authenticated is in the tables, the rest waits in quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dkim
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from eventually import eventually
from loopback_dns import Zone, serving
from proof.house import running_house, settings
from proof.signing import report_key, zone
from sources_mail.reading import private_mail
from sources_mail.test_mailbox_to_tables import recent
from sources_mail.test_maildir import Delivery

if TYPE_CHECKING:
    from pathlib import Path

    from demo.keys import SigningKey

pytestmark = pytest.mark.slow

SIGNED = [b"from", b"subject", b"mime-version", b"content-type"]
VERIFIED = b"Authentication-Results: mx.shop.example; dkim=pass header.d=example.net\r\n"


def sign(mail: bytes, key: SigningKey) -> bytes:
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    header: bytes = dkim.sign(mail, key.selector.encode(), key.domain.encode(), pem, include_headers=SIGNED)
    return header + mail


def rebuilt(mail: bytes) -> bytes:
    """As Exchange does: with another boundary."""
    return mail.replace(b'"b0"', b'"_004_"').replace(b"--b0", b"--_004_")


def test_signatures_are_checked_and_the_mailboxs_server_is_believed(tmp_path: Path) -> None:
    key = report_key("example.net")
    deliver = Delivery(tmp_path / "Maildir")
    deliver(sign(recent(1), key), VERIFIED + rebuilt(sign(recent(2), key)), rebuilt(sign(recent(3), key)), recent(4))
    deliver(private_mail(1))
    with serving(Zone(zone(key))) as port:
        configuration = settings(
            domains=[{"name": "shop.example"}],
            maildir=[{"path": "Maildir", "authserv_id": "mx.shop.example", "poll": "1s"}],
            authentication={"nameservers": [f"127.0.0.1@{port}"]},
        )
        with running_house(tmp_path, configuration) as house:
            asked = "SELECT trust, reporter, reporter_proven AS proven FROM tls_report_log ORDER BY trust"
            expected = [{"trust": trust, "reporter": "example.net", "proven": True} for trust in ("authserv", "dkim")]
            eventually("both reports", lambda: house.ask(asked) == expected)
            quarantined = [
                f'mailposture_quarantined_total{{kind="tls",reason="{reason}"}}'
                for reason in ("invalid", "no-signature")
            ]
            eventually("the others", lambda: [house.metric(series) for series in quarantined] == [1, 1])
            up = f'mailposture_mailbox_up{{mailbox="Maildir {deliver.path}, INBOX"}}'
            assert house.metric(up) == 1
            assert b"good" in house.command("check", "--mailboxes")
            assert deliver.bodies() == [private_mail(1)]
