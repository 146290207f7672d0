"""An address that somebody else took since it was last looked at."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from collector.health import serve_health
from collector.heartbeat import Heartbeat
from collector.sources.mailbox.health import MailboxCollector
from collector.spool import SpoolQueue
from mailposture.config.model import Listen
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def words(taken: str, key: str) -> str:
    return rf"^cannot listen on {taken} \(Address already in use\); end .* as {key} in the configuration$"


@pytest.mark.parametrize("key", ["listen", "lmtp"])
def test_for_mail_is_named_with_its_key(mail_server: Callable, taken: str, key: str) -> None:
    with pytest.raises(ProblemError, match=words(taken, f"smtp.{key}")):
        mail_server(**{key: taken})


def test_for_posts_is_named_with_its_key(post_server: Callable, taken: str) -> None:
    with pytest.raises(ProblemError, match=words(taken, "https.listen")):
        post_server(listen=taken)


def test_for_metrics_is_named_with_its_key(
    mail_server: Callable, tmp_path: Path, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mail_server()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    health = serve_health(
        Listen.model_validate(taken),
        spool=server.spool,
        queue=SpoolQueue(server.folder),
        heartbeat=Heartbeat(tmp_path / "run"),
        mailboxes=MailboxCollector([]),
    )
    with pytest.raises(ProblemError, match=words(taken, "metrics.collector")):
        asyncio.run(health)
