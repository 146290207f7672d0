"""Certificates by SNI, real handshakes (RFC 8461, section 3.3)."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from pki import Issued

from mailposture.config.model import TlsFiles
from mailposture.net.certificate_files import CertificateError, CertificateFiles
from policy_host.certificates import Certificates
from policy_host.service import PolicyHost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from hosting import Running
    from pki import CertificateAuthority


async def shown_names(port: int, name: str | None) -> list[str]:
    """The names on the certificate that a client gets which asks for `name`, or for none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # Without a server name asyncio would ask for the address, which is not sent as SNI.
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name or "127.0.0.1")
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    san = x509.load_der_x509_certificate(shown).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return san.value.get_values_for_type(x509.DNSName)


async def test_certificate_is_chosen_by_the_name_asked_for(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    first = authority.issue(["mta-sts.enforced.example"])
    second = authority.issue(["mta-sts.tested.example", "*.wild.example"])
    running = await start(first, second)
    assert await shown_names(running.port, "mta-sts.enforced.example") == ["mta-sts.enforced.example"]
    assert await shown_names(running.port, "MTA-STS.tested.example") == ["mta-sts.tested.example", "*.wild.example"]
    assert await shown_names(running.port, "mta-sts.wild.example") == ["mta-sts.tested.example", "*.wild.example"]


async def test_clients_without_sni_or_with_another_name_get_the_first_certificate(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    running = await start(authority.issue(["mta-sts.enforced.example"]), authority.issue(["*.wild.example"]))
    for name in (None, "unknown.example", "mta-sts.deep.wild.example"):
        assert await shown_names(running.port, name) == ["mta-sts.enforced.example"]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("newest", "refused"), [(ssl.TLSVersion.TLSv1_1, "UNSUPPORTED_PROTOCOL"), (ssl.TLSVersion.TLSv1_2, None)]
)
def test_server_itself_refuses_what_is_older_than_tls_1_2(
    authority: CertificateAuthority, newest: ssl.TLSVersion, refused: str | None
) -> None:
    issued = authority.issue(["mta-sts.enforced.example"])
    files = TlsFiles(certificate=issued.certificate, key=issued.key)
    client_context = authority.client_context()
    client_context.set_ciphers("DEFAULT@SECLEVEL=0")
    client_context.minimum_version, client_context.maximum_version = ssl.TLSVersion.TLSv1, newest
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="mta-sts.enforced.example")
    server = Certificates(files=[files]).server_context.wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with pytest.raises(ssl.SSLError) as caught:
        server.do_handshake()
    assert caught.value.reason == refused or (refused is None and isinstance(caught.value, ssl.SSLWantReadError))


async def test_renewed_certificate_is_shown_without_restart(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    issued = authority.issue(["mta-sts.enforced.example"])
    running = await start(issued)
    authority.issue(["mta-sts.enforced.example", "renewed.example"], into=issued)
    certificates = running.host.certificates
    assert certificates is not None
    assert certificates.reload_changed() == []
    assert await shown_names(running.port, "mta-sts.enforced.example") == [
        "mta-sts.enforced.example",
        "renewed.example",
    ]


async def test_broken_renewal_leaves_the_old_certificate_in_use(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    issued = authority.issue(["mta-sts.enforced.example"])
    running = await start(issued)
    issued.key.write_text(authority.issue(["other.example"]).key.read_text())
    certificates = running.host.certificates
    assert certificates is not None
    assert "KEY_VALUES_MISMATCH" in certificates.reload_changed()[0]
    assert certificates.reload_changed() == [], "said once, not at each look"
    assert await shown_names(running.port, "mta-sts.enforced.example") == ["mta-sts.enforced.example"]


async def test_one_broken_certificate_does_not_keep_the_others_from_serving(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    broken, good = authority.issue(["mta-sts.enforced.example"]), authority.issue(["mta-sts.tested.example"])
    broken.certificate.unlink()
    running = await start(broken, good)
    assert await shown_names(running.port, None) == ["mta-sts.tested.example"]


async def test_no_usable_certificate_is_an_error_that_names_the_files(tmp_path: Path) -> None:
    config = tmp_path / "mailposture.yaml"
    config.write_text(
        "domains: [{name: a.example}]\npolicy_host: {tls: [{certificate: absent.pem, key: absent.key}]}\n"
    )
    with pytest.raises(CertificateError, match=r"absent\.pem.*No such file"):
        PolicyHost(config_path=config)


async def test_expiry_is_exported_for_each_domain_and_zero_where_no_certificate_fits(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    expiry = (datetime.now(UTC) + timedelta(days=20)).replace(microsecond=0)
    running = await start(authority.issue(["mta-sts.enforced.example"], not_after=expiry))
    reader, writer = await asyncio.open_connection("127.0.0.1", running.metrics_port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    metrics = (await reader.read()).decode()
    writer.close()
    name = "mta_sts_hosted_certificate_not_after_timestamp_seconds"
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line.startswith(name))
    assert float(values[f'{name}{{policy_domain="enforced.example"}}']) == expiry.timestamp()
    assert float(values[f'{name}{{policy_domain="tested.example"}}']) == 0


def as_configured(*issued: Issued) -> dict[str, list[dict[str, str]]]:
    """What `policy_host.tls` says of certificates."""
    return {"tls": [{"certificate": str(one.certificate), "key": str(one.key)} for one in issued]}


async def test_certificate_that_is_configured_again_is_shown_again(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    first, second = authority.issue(["mta-sts.enforced.example"]), authority.issue(["mta-sts.tested.example"])
    running = await start(first, second)
    for shown in ((first,), (first, second)):
        running.rewrite(policy_host=as_configured(*shown))
        running.host.reload()
        assert await shown_names(running.port, "mta-sts.tested.example") == [
            "mta-sts.tested.example" if second in shown else "mta-sts.enforced.example"
        ]


async def test_reload_to_certificates_that_cannot_be_read_changes_nothing_and_is_said(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority, tmp_path: Path
) -> None:
    running = await start(authority.issue(["mta-sts.enforced.example"]))
    before = running.host.policies
    absent = Issued(certificate=tmp_path / "absent.pem", key=tmp_path / "absent.key")
    running.rewrite(domains=[{"name": "other.example"}], policy_host=as_configured(absent))
    with structlog.testing.capture_logs() as logs:
        running.host.reload()
    assert await shown_names(running.port, "mta-sts.enforced.example") == ["mta-sts.enforced.example"]
    assert running.host.policies == before
    assert any("absent.pem" in line["reason"] and "stays in use" in line["event"] for line in logs)


async def test_change_of_permissions_is_reason_to_read_again(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    issued = authority.issue(["mta-sts.enforced.example"])
    running = await start(issued)
    issued.key.chmod(0o640)  # what a user does after "permission denied"; the file's own time stays as it was
    certificates = running.host.certificates
    assert certificates is not None
    with structlog.testing.capture_logs() as logs:
        certificates.reload_changed()
    assert [line["event"] for line in logs] == ["certificate loaded"]


def test_encrypted_key_is_said_and_nobody_asked_for_its_password(authority: CertificateAuthority) -> None:
    issued = authority.issue(["mta-sts.enforced.example"])
    key = serialization.load_pem_private_key(issued.key.read_bytes(), password=None)
    protection = serialization.BestAvailableEncryption(b"secret")
    pem = serialization.Encoding.PEM
    issued.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, protection))
    with pytest.raises(CertificateError, match=r"the key is encrypted; store it without a password"):
        CertificateFiles(TlsFiles(certificate=issued.certificate, key=issued.key)).follow()
