"""OpenDKIM as the signing milter of a sender's Postfix, with a key that may sign TLS reports only."""

from __future__ import annotations

import re
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from eventually import eventually
from ports import free_port
from programs import program

from demo.keys import SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = """
Mode s
Domain {key.domain}
Selector {key.selector}
KeyFile {folder}/dkim.pem
SignHeaders *,+TLS-Report-Domain,+TLS-Report-Submitter
Socket inet:{port}@127.0.0.1
PidFile {folder}/opendkim.pid
Background no
RequireSafeKeys no
Syslog no
"""


def report_key(domain: str) -> SigningKey:
    """A new key whose record says `s=tlsrpt` (RFC 8460, section 3)."""
    return SigningKey(
        domain=domain, selector="tlsrpt2026", services="tlsrpt", private=generate_private_key(65537, 2048)
    )


def zone(key: SigningKey) -> str:
    """What the sender's DNS says of its key, as a zone file."""
    pieces = " ".join(f'"{piece}"' for piece in re.findall(".{1,250}", key.record))
    return f"{key.record_name}. 60 IN TXT {pieces}\n"


@contextmanager
def signing_milter(folder: Path, key: SigningKey) -> Iterator[str]:
    """Run it and yield its address, as Postfix writes it."""
    port = free_port()
    (folder / "dkim.pem").write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    config = folder / "opendkim.conf"
    config.write_text(_CONFIG.format(key=key, folder=folder, port=port))
    with (folder / "opendkim.log").open("wb") as words:
        process = subprocess.Popen([program("opendkim"), "-f", "-x", config], stdout=words, stderr=words)
    try:
        eventually("OpenDKIM", lambda: _listens(port))
        yield f"inet:127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
