"""docs/receiving.md: its lines, taken out of the page, work in the programs that they are for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from eventually import eventually
from ports import free_port, listens
from postfix import NEEDED, running_postfix
from programs import needs, program
from sources_net.listeners import Loop, MailServer, PostServer, write_certificate

from mailposture.config.file import load
from mailposture.config.model import TlsFiles
from mailposture.records.tls_rpt import REPORT_PATH
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


def blocks(root: Path, language: str) -> list[str]:
    """The page's blocks of a language."""
    found = re.findall(
        rf"^```{re.escape(language)}\n(.*?)^```$", (root / "docs/receiving.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert found, language
    return found


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[MailServer]:
    loop = Loop()
    server = MailServer(loop, tmp_path / "spool")
    yield server
    server.close()
    loop.close()


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def swaks(root: Path, address: tuple[str, int], *options: str) -> str:
    """The page's own test mail, to another port."""
    (line,) = blocks(root, "swaks")
    command, *arguments = shlex.split(line.replace("127.0.0.1:2525", f"{address[0]}:{address[1]}"))
    return run(program(command), *arguments, *options)


def test_every_configuration_on_the_page_loads(root: Path, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(root, "mailposture.yaml")):
        path = tmp_path / f"{number}.yaml"
        settings = yaml.safe_load(text)
        settings.setdefault("domains", [{"name": "example.com"}])
        path.write_text(yaml.safe_dump(settings))
        load(path)


@needs("haproxy", "swaks")
def test_haproxy_says_whom_it_comes_for(root: Path, tmp_path: Path) -> None:
    loop, port = Loop(), free_port()
    server = MailServer(loop, tmp_path / "spool", proxies=["127.0.0.1/32"])
    (section,) = blocks(root, "haproxy.cfg")
    section = section.replace("bind :25\n", f"bind 127.0.0.1:{port}\n").replace(
        "10.0.3.20:2525", f"127.0.0.1:{server.smtp[1]}"
    )
    (tmp_path / "haproxy.cfg").write_text(
        f"defaults\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n{section}"
    )
    with subprocess.Popen([program("haproxy"), "-f", str(tmp_path / "haproxy.cfg"), "-db"]) as child:
        try:
            eventually("HAProxy", lambda: listens(port))
            assert "250 2.0.0 OK: queued" in swaks(root, ("127.0.0.1", port), "--local-interface", "127.0.0.2")
        finally:
            child.terminate()
    assert [message.envelope.peer for message in server.received()] == ["127.0.0.2"]
    server.close()
    loop.close()


def test_addresses_on_the_page_are_ours(root: Path) -> None:
    page = (root / "docs/receiving.md").read_text()
    assert f"https://reports.example.com{REPORT_PATH}TOKEN" in page
    assert set(re.findall(r"/v1/[a-z-]+/", page)) == {REPORT_PATH}


@needs("swaks")
def test_the_test_mail_is_accepted_and_other_recipients_are_not(root: Path, mail_server: MailServer) -> None:
    assert "250 2.0.0 OK: queued" in swaks(root, mail_server.smtp)
    (message,) = mail_server.received()
    assert message.body.rstrip().endswith(b"not a report")
    refused = subprocess.run(
        [
            program("swaks"),
            "--server",
            f"127.0.0.1:{mail_server.smtp[1]}",
            "--from",
            "a@b.example",
            "--to",
            "x@example.com",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "550 5.1.1" in refused.stdout


# What gateways and mail servers like to change: long lines of 8-bit JSON, dots, blanks at ends of lines, empty lines.
AWKWARD = (
    b"From: tls@sender.example\r\nTo: tlsrpt@example.com\r\nSubject: Report Domain: example.com\r\n"
    b"Date: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@sender.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: application/tlsrpt+json\r\nContent-Transfer-Encoding: 8bit\r\n"
    b"DKIM-Signature: v=1; d=sender.example;\r\n\tb=folded==\r\n\r\n"
    b'{"organization-name": "Gr\xc3\xb6\xc3\x9fe", "x": "'
    + b"y" * 200_000
    + b'"}  \r\n.\r\n..dots\r\n\r\n\r\nFrom here\r\n'
)
# The line for main.cf by the kind of domain, and what the domain then is besides.
DOMAINS = {
    "mydestination": {"mydestination": "example.com", "alias_maps": ""},
    "relay_domains": {"mydestination": "", "relay_domains": "example.com"},
    "virtual_mailbox_domains": {"mydestination": "", "virtual_mailbox_domains": "example.com"},
}


@needs("swaks")
@pytest.mark.parametrize("protocol", [pytest.param(protocol, marks=NEEDED) for protocol in ("smtp", "lmtp")])
@pytest.mark.parametrize("domain", DOMAINS)
def test_postfix_hands_the_address_over_and_changes_nothing(
    root: Path, tmp_path: Path, mail_server: MailServer, protocol: str, domain: str
) -> None:
    (transport,) = blocks(root, "transport")
    (main,) = blocks(root, "main.cf")
    if protocol == "lmtp":
        assert "lmtp:inet:127.0.0.1:2424" in (root / "docs/receiving.md").read_text()
        transport = transport.replace("smtp:[127.0.0.1]:2525", f"lmtp:inet:127.0.0.1:{mail_server.lmtp[1]}")
    else:
        transport = transport.replace("[127.0.0.1]:2525", f"[127.0.0.1]:{mail_server.smtp[1]}")
    (tmp_path / "mailposture").write_text(transport)
    run(program("postmap"), f"hash:{tmp_path}/mailposture")
    main = main.replace("/etc/postfix", str(tmp_path))
    from_the_page = dict(re.findall(r"^(\w+) = (.*)$", main, re.MULTILINE))
    of_domains = dict(re.findall(r"^# in (\w+): +(\w+ = .*) \u2026$", main, re.MULTILINE))
    assert {"mydestination", *of_domains} == set(DOMAINS)
    if domain != "mydestination":
        del from_the_page["local_recipient_maps"]
        name, _, value = of_domains[domain].partition(" = ")
        from_the_page[name] = value
    with running_postfix(transports={}, settings={**from_the_page, **DOMAINS[domain]}) as postfix:
        postfix.wait_for("daemon started")
        swaks(root, postfix.address)
        postfix.wait_for("status=sent (250 2.0.0 OK: queued as ")
        (message,) = mail_server.received()
        assert message.envelope.source is Source(protocol)
        assert message.envelope.recipients == ("tlsrpt@example.com",)
        postfix.send("tls@sender.example", "tlsrpt@example.com", AWKWARD)
        postfix.wait_for("status=sent (250 2.0.0 OK: queued as ", times=2)
        (message,) = mail_server.received()
        received, begins, rest = message.body.partition(b"From: tls@")
        assert received.startswith((b"Received: ", b"Return-Path: "))
        assert begins + rest == AWKWARD
        # Nobody else's mail comes here, and unknown addresses are still refused.
        client = [program("swaks"), "--server", f"127.0.0.1:{postfix.address[1]}", "--from", "a@b.example"]
        client += ["--to", "no-such-account@example.com"]
        refused = subprocess.run(client, capture_output=True, text=True, check=False)
        assert "550 5.1.1" in refused.stdout


@needs("caddy", "curl")
@pytest.mark.parametrize("way", ["page", "stack"])
def test_a_report_comes_through_caddy(root: Path, tmp_path: Path, way: str) -> None:
    if way == "page":
        (site,) = blocks(root, "caddyfile")
    else:
        site = (root / "docker/caddy/reports.caddyfile.example").read_text()
    loop = Loop()
    server = PostServer(loop, tmp_path / "spool")
    port, plain_port = free_port(), free_port()
    site = re.sub(
        r"(127\.0\.0\.1|collector):8460",
        f"127.0.0.1:{server.address[1]}\n\ttls {tmp_path}/c.pem {tmp_path}/k.pem",
        site,
        count=1,
    )
    files = TlsFiles(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    write_certificate(files, "reports.example.com")
    options = f"{{\n\tadmin off\n\thttps_port {port}\n\thttp_port {plain_port}\n}}\n"
    (tmp_path / "Caddyfile").write_text(options + site)
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(tmp_path / "Caddyfile")]
    (tmp_path / "report.json.gz").write_bytes(b"\x1f\x8b\x08" + bytes(2_000_000))
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as caddy,
    ):
        try:
            token = "secret-of-example-com"
            post = [
                *(
                    program("curl"),
                    "--silent",
                    "--cacert",
                    str(files.certificate),
                    "--retry",
                    "20",
                    "--retry-connrefused",
                ),
                *("--retry-delay", "1", "--resolve", f"reports.example.com:{port}:127.0.0.1"),
                *("--output", os.devnull, "--write-out", "%{http_code}"),
                *("--data-binary", f"@{tmp_path}/report.json.gz", "-H", "Content-Type: application/tlsrpt+gzip"),
                f"https://reports.example.com:{port}{REPORT_PATH}{token}",
            ]
            assert run(*post) == "201", (tmp_path / "log").read_text()
            (message,) = server.received()
            assert len(message.body) == 2_000_003
        finally:
            caddy.terminate()
    server.close()
    loop.close()
