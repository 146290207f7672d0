"""The mailboxes of a configuration, of all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.sources.mailbox.graph import GraphMailbox
from collector.sources.mailbox.imap import ImapMailbox
from collector.sources.mailbox.maildir import MaildirMailbox

if TYPE_CHECKING:
    from pathlib import Path

    from collector.sources.mailbox.mailbox import Mailbox
    from mailposture.config.model import Config


def folder_of(config: Config) -> Path:
    """Where what is to be remembered of mailboxes is kept."""
    return config.data / "mailboxes"


def mailboxes_of(config: Config) -> list[Mailbox]:
    """In the order of the configuration."""
    folder = folder_of(config)
    by_imap = [ImapMailbox(settings, folder=folder) for settings in config.imap]
    by_graph = [GraphMailbox(settings, folder=folder) for settings in config.graph]
    return [*by_imap, *by_graph, *map(MaildirMailbox, config.maildir)]
