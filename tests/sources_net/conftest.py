"""Starts and ends the listeners that the tests talk to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from sources_net.listeners import Loop, MailServer, PostServer, write_certificate

from mailposture.config.model import TlsFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def mail_server(loop: Loop, tmp_path: Path) -> Iterator[Callable[..., MailServer]]:
    """Starts mail servers with the given settings, and ends them."""
    with contextlib.ExitStack() as stack:

        def start(**config: Any) -> MailServer:
            server = MailServer(loop, tmp_path / "spool", **config)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def post_server(loop: Loop, tmp_path: Path) -> Iterator[Callable[..., PostServer]]:
    """Starts HTTPS listeners with the given settings, and ends them."""
    with contextlib.ExitStack() as stack:

        def start(**config: Any) -> PostServer:
            server = PostServer(loop, tmp_path / "spool", **config)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def tls_files(tmp_path: Path) -> TlsFiles:
    files = TlsFiles(certificate=tmp_path / "certificate.pem", key=tmp_path / "key.pem")
    write_certificate(files, "mx.example.com")
    return files
