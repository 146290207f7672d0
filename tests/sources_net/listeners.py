"""Real listeners on free ports with a real spool behind them, and clients to talk to them."""

from __future__ import annotations

import asyncio
import datetime
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.sources.https.server import serve_https
from collector.sources.memory import BodyMemory
from collector.sources.smtp.server import serve_smtp
from collector.spool import Spool, Spooled, SpoolQueue
from mailposture.config.domains import Domain
from mailposture.config.model import Https, Smtp, TlsFiles
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

RECIPIENTS = ("tlsrpt@example.com", "reports@xn--bcher-kva.example")
TOKENS = {"example.com": "secret-of-example-com", "example.net": "secret-of-example-net"}
ALL = 1 << 30
SENDER = "noreply-smtp-tls-reporting@sender.example"
RCPT = "tlsrpt@example.com"


class Loop:
    """An event loop in a thread of its own, so that tests can use blocking clients as senders do."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def close(self) -> None:
        self.run(asyncio.sleep(0.01))  # connections that just ended clean up
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class MailServer:
    """The SMTP and LMTP listeners, and what they put into the spool."""

    def __init__(
        self, loop: Loop, folder: Path, *, keep_free: int = 0, memory: BodyMemory | None = None, **config: Any
    ) -> None:
        self.loop = loop
        self.folder = folder
        self.spool = Spool(folder, keep_free=keep_free)
        settings = Smtp.model_validate(
            {"listen": "127.0.0.1:0", "lmtp": "127.0.0.1:0", "hostname": "mx.example.com", **config}
        )
        self.server = loop.run(
            serve_smtp(settings, recipients=RECIPIENTS, spool=self.spool, memory=memory or BodyMemory(largest=ALL))
        )
        self.smtp: tuple[str, int] = self.server.addresses[Source.SMTP]
        self.lmtp: tuple[str, int] = self.server.addresses[Source.LMTP]
        self._queue = SpoolQueue(folder)

    def received(self) -> list[Spooled]:
        """What arrived since the last call."""
        return self._queue.claim(100_000, ALL)

    def close(self, grace: float = 2.0) -> None:
        self.loop.run(self.server.close(grace))
        self.spool.close()
        self._queue.close()


class PostServer:
    """The HTTPS listener, and what it puts into the spool."""

    def __init__(
        self, loop: Loop, folder: Path, *, keep_free: int = 0, memory: BodyMemory | None = None, **config: Any
    ) -> None:
        self.loop = loop
        self.spool = Spool(folder, keep_free=keep_free)
        settings = Https.model_validate({"listen": "127.0.0.1:0", **config})
        domains = [Domain(name=name, token=token) for name, token in TOKENS.items()]
        self.server = loop.run(
            serve_https(
                settings,
                domains=[*domains, Domain(name="example.org")],
                spool=self.spool,
                memory=memory or BodyMemory(largest=ALL),
            )
        )
        self.address: tuple[str, int] = self.server.address
        self._queue = SpoolQueue(folder)

    def received(self) -> list[Spooled]:
        """What arrived since the last call."""
        return self._queue.claim(100_000, ALL)

    def close(self) -> None:
        self.loop.run(self.server.close())
        self.spool.close()
        self._queue.close()


def write_certificate(files: TlsFiles, name: str) -> str:
    """Write a new self-signed certificate; returns its serial number as in ssl.getpeercert()."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return f"{certificate.serial_number:X}"


class Talk:
    """A raw client: says bytes, hears lines."""

    def __init__(self, address: tuple[str, int], *, greet: bool = True) -> None:
        self.socket = socket.create_connection(address, timeout=60)
        self.file = self.socket.makefile("rb")
        if greet:
            assert self.hear().startswith("220 ")
            assert self.ask("EHLO client.example").startswith("250")

    def say(self, text: str | bytes) -> None:
        self.socket.sendall(text if isinstance(text, bytes) else text.encode() + b"\r\n")

    def hear(self) -> str:
        """One reply, with all its lines; empty when the connection is closed."""
        lines = []
        while line := self.file.readline().decode():
            lines.append(line)
            if line[3:4] != "-":
                break
        return "".join(lines)

    def ask(self, text: str | bytes) -> str:
        self.say(text)
        return self.hear()

    def begin(self, recipient: str = RCPT) -> None:
        assert self.ask(f"MAIL FROM:<{SENDER}>").startswith("250")
        assert self.ask(f"RCPT TO:<{recipient}>").startswith("250")
        assert self.ask("DATA").startswith("354")

    def vanish(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.file.close()
        self.socket.close()

    def closed(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
