"""The client that SPF is asked about: a real one over SMTP, behind a proxy the one that the PROXY protocol states."""

from __future__ import annotations

import base64
import gzip
import smtplib
import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import loopback_dns
import pytest
from dmarc_samples import feedback
from loopback_dns import Zone
from sources_net.listeners import RCPT

from collector.ingest.judge import Accepted, Judge, Quarantined
from collector.trust import DkimVerifier, KeyCache, SpfVerifier
from mailposture.config.model import Config
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SENDER = "noreply@reporter.example"
ZONE = 'reporter.example. 60 IN TXT "v=spf1 ip4:127.0.0.2 ip4:192.0.2.10 ip6:2001:db8::10 -all"\n'
LMTP_PEER = "127.0.0.2"


def report() -> bytes:
    name = "reporter.example!example.com!1772409600!1772495999.xml.gz"
    head = (
        f"From: {SENDER}\r\nTo: {RCPT}\r\nSubject: Report Domain: example.com Submitter: reporter.example\r\n"
        f'MIME-Version: 1.0\r\nContent-Type: application/gzip; name="{name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )

    return head.encode() + base64.encodebytes(gzip.compress(feedback(), mtime=0)).replace(b"\n", b"\r\n")


class Client(smtplib.SMTP):
    """Says through the PROXY protocol for whom it comes."""

    def __init__(self, address: tuple[str, int], *, header: bytes = b"", source: str = "127.0.0.1") -> None:
        self._header, self._source = header, source
        super().__init__(*address, timeout=10)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made = socket.create_connection((host, port), timeout, source_address=(self._source, 0))
        made.sendall(self._header)
        return made


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    monkeypatch.setattr("collector.ingest.judge._SPF_PATIENCE", 10)
    monkeypatch.setattr("collector.spf._PRIVATE", ())  # clients of these tests come over loopback
    config = Config.model_validate({"domains": [{"name": "example.com"}], "clickhouse": {"retention": "9999d"}})
    with loopback_dns.serving(Zone(ZONE)) as port:
        asked = {"nameservers": [f"127.0.0.1@{port}"], "timeout": timedelta(seconds=2)}
        with closing(KeyCache(**asked)) as keys, closing(SpfVerifier(**asked)) as spf:  # type: ignore[arg-type]
            yield Judge(config, verifier=DkimVerifier(keys=keys), spf=spf)


def verdict(server: object, judge: Judge) -> str:
    """How the only message that the server received is judged."""
    (message,) = server.received()  # type: ignore[attr-defined]
    (judged,) = judge.judge([(message.envelope, message.body)], now=datetime.now(UTC))
    if isinstance(judged, Accepted):
        return judged.reports[0].report.trust
    assert isinstance(judged, Quarantined), judged
    return judged.reason.value


@pytest.mark.parametrize(("source", "trust"), [("127.0.0.2", "spf"), ("127.0.0.3", "no-signature")])
def test_client_is_the_peer(mail_server: Callable, judge: Judge, source: str, trust: str) -> None:
    server = mail_server()
    with Client(server.smtp, source=source) as client:
        client.sendmail(SENDER, [RCPT], report())
    assert verdict(server, judge) == trust


@pytest.mark.parametrize(
    ("header", "trust"),
    [
        (b"PROXY TCP4 192.0.2.10 192.0.2.2 1 25\r\n", "spf"),
        (b"PROXY TCP6 2001:db8::10 2001:db8::2 1 25\r\n", "spf"),
        (b"PROXY TCP4 192.0.2.11 192.0.2.2 1 25\r\n", "no-signature"),
        (b"PROXY UNKNOWN\r\n", "no-signature"),  # the proxy itself
    ],
)
def test_client_behind_a_proxy_is_the_one_that_it_states(
    mail_server: Callable, judge: Judge, header: bytes, trust: str
) -> None:
    server = mail_server(proxies=["127.0.0.1/32"])
    with Client(server.smtp, header=header) as client:
        client.sendmail(SENDER, [RCPT], report())
    assert verdict(server, judge) == trust


def test_client_that_is_no_proxy_states_nothing(mail_server: Callable, judge: Judge) -> None:
    server = mail_server(proxies=["127.0.0.1/32"])
    with Client(server.smtp, source="127.0.0.3") as client:
        client.sendmail(SENDER, [RCPT], report())
    assert verdict(server, judge) == "no-signature"


def test_null_sender_with_the_name_of_a_reporter_in_its_greeting(mail_server: Callable, judge: Judge) -> None:
    server = mail_server()
    with Client(server.smtp, source="127.0.0.2") as client:
        client.ehlo("reporter.example")
        client.sendmail("", [RCPT], report())
    assert verdict(server, judge) == "no-signature"


def test_lmtp_has_no_client_of_the_senders(mail_server: Callable, judge: Judge) -> None:
    server = mail_server()
    client = smtplib.LMTP(*server.lmtp, source_address=(LMTP_PEER, 0))
    with client:
        client.sendmail(SENDER, [RCPT], report())
    (message,) = server.received()
    assert (message.envelope.source, message.envelope.peer) == (Source.LMTP, LMTP_PEER)
    (judged,) = judge.judge([(message.envelope, message.body)], now=datetime.now(UTC))
    assert isinstance(judged, Quarantined)
