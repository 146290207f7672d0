"""A name server on loopback that we can make lie, fail or fall silent; keys; signed mails."""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from socketserver import ThreadingMixIn, UDPServer
from typing import TYPE_CHECKING

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from dnslib import QTYPE, RCODE, RR, TXT
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from collector.dkim.keys import KeyCache
from collector.dkim.verifier import DkimVerifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dnslib import DNSRecord


@dataclass
class NameServer(BaseResolver):
    """Answers TXT questions from `records`; `failing` names get SERVFAIL, `silent` ones no answer during the test."""

    records: dict[str, list[bytes]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    address: str = ""
    delay: float = 0.0
    ttl: int = 300
    end_of_silence: threading.Event = field(default_factory=threading.Event)

    def resolve(self, request: DNSRecord, handler: object) -> DNSRecord:
        name = str(request.q.qname).rstrip(".").lower()
        self.asked[name] += 1
        reply = request.reply()
        if name in self.silent:
            self.end_of_silence.wait()
        time.sleep(self.delay)
        if name in self.failing or name in self.silent:
            reply.header.rcode = RCODE.SERVFAIL
        elif name not in self.records:
            reply.header.rcode = RCODE.NXDOMAIN
        for text in self.records.get(name, []):
            chunks = [text[i : i + 255] for i in range(0, len(text), 255)] or [b""]
            reply.add_answer(RR(name, QTYPE.TXT, rdata=TXT(chunks), ttl=self.ttl))
        return reply


class _ThreadingUdp(ThreadingMixIn, UDPServer):
    daemon_threads = True


def _on_one_port(zone: NameServer, quiet: DNSLogger) -> tuple[DNSServer, DNSServer]:
    """Servers for UDP and TCP; a port that is free for the one may be taken for the other."""
    while True:
        udp = DNSServer(zone, address="127.0.0.1", port=0, server=_ThreadingUdp, logger=quiet)
        port = udp.server.server_address[1]
        try:
            return udp, DNSServer(zone, address="127.0.0.1", port=port, tcp=True, logger=quiet)
        except OSError:
            udp.server.server_close()


@pytest.fixture(scope="session")
def _one_name_server() -> Iterator[NameServer]:
    zone = NameServer()
    quiet = DNSLogger(log="-request,-reply,-truncated,-error", logf=lambda _text: None)
    udp, tcp = _on_one_port(zone, quiet)
    zone.address = f"127.0.0.1@{udp.server.server_address[1]}"
    for server in (udp, tcp):
        server.start_thread()
    yield zone
    for server in (udp, tcp):
        server.stop()
        server.server.server_close()


@pytest.fixture
def name_server(_one_name_server: NameServer) -> Iterator[NameServer]:
    """An empty zone for each test."""
    zone = _one_name_server
    zone.records, zone.failing, zone.silent, zone.asked = {}, set(), set(), Counter()
    zone.delay, zone.ttl, zone.end_of_silence = 0.0, 300, threading.Event()
    yield zone
    zone.end_of_silence.set()


@pytest.fixture
def keys(name_server: NameServer) -> Iterator[KeyCache]:
    cache = KeyCache(nameservers=(name_server.address,), timeout=timedelta(seconds=3))
    yield cache
    cache.close()


@pytest.fixture
def verifier(keys: KeyCache) -> DkimVerifier:
    return DkimVerifier(keys=keys, patience=30)


@dataclass(frozen=True)
class Signer:
    """A domain with a private key, and the record that belongs into DNS."""

    private: bytes
    public: str
    algorithm: bytes

    @property
    def record(self) -> bytes:
        kind = "rsa" if self.algorithm.startswith(b"rsa") else "ed25519"
        return f"v=DKIM1; k={kind}; p={self.public}".encode()

    def sign(
        self,
        mail: bytes,
        domain: str = "example.net",
        selector: str = "s1",
        form: tuple[bytes, bytes] = (b"relaxed", b"relaxed"),
        fields: list[bytes] | None = None,
        **more: object,
    ) -> bytes:
        signature = dkim.sign(
            mail,
            selector.encode(),
            domain.encode(),
            self.private,
            canonicalize=form,
            signature_algorithm=self.algorithm,
            include_headers=fields,
            **more,
        )
        return signature + mail


def rsa_signer(bits: int, algorithm: bytes = b"rsa-sha256") -> Signer:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Signer(private, base64.b64encode(public).decode(), algorithm)


@pytest.fixture(scope="session")
def rsa_key() -> Signer:
    return rsa_signer(2048)


@pytest.fixture(scope="session")
def make_rsa_key() -> Callable[..., Signer]:
    return rsa_signer


@pytest.fixture(scope="session")
def ed25519_key() -> Signer:
    key = ed25519.Ed25519PrivateKey.generate()
    raw = serialization.Encoding.Raw
    private = key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    public = key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)
    return Signer(base64.b64encode(private), base64.b64encode(public).decode(), b"ed25519-sha256")


@pytest.fixture
def mail() -> bytes:
    """A mailed report as tlsrpt-reporter writes it, unsigned."""
    return b"\r\n".join(
        [
            b"Received: from mx.example.net by mx.example.com; Tue, 24 Nov 2026 04:00:00 +0000",
            b"From: TLS reports <tls-reports@example.net>",
            b"To: tlsrpt@example.com",
            b"Subject: Report Domain: example.com Submitter: example.net",
            b"\tReport-ID: <2026-11-23T00:00:00Z_idx1_example.com@example.net>",
            b"TLS-Report-Domain: example.com",
            b"TLS-Report-Submitter: example.net",
            b"MIME-Version: 1.0",
            b'Content-Type: multipart/report; report-type="tlsrpt"; boundary="x"',
            b"",
            b"--x",
            b"Content-Type: text/plain",
            b"",
            b"This is an aggregate TLS report.  ",
            b"",
            b"--x",
            b"Content-Type: application/tlsrpt+gzip",
            b"Content-Transfer-Encoding: base64",
            b"",
            base64.encodebytes(b"report" * 200).replace(b"\n", b"\r\n").rstrip(),
            b"--x--",
            b"",
        ]
    )
