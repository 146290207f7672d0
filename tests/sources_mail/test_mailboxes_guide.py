"""docs/mailboxes.md, followed with servers of ours: its configurations lead to the first report."""

from __future__ import annotations

import json
import re
import textwrap
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner
from eventually import eventually
from sources_mail.identity import SECRET, Identity
from sources_mail.odd_imap import OddImap
from sources_mail.reading import RecordingSpool, private_mail, report_mail
from sources_mail.strict_graph import StrictGraph

import cli.check
from collector.sources.mailbox.mailboxes import mailboxes_of
from mailposture.config.file import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from pki import CertificateAuthority

    from collector.sources.mailbox.loop import MailboxLoop

PAGE = (Path(__file__).parents[2] / "docs/mailboxes.md").read_text()
USER = "tlsrpt@example.com"


def configurations() -> dict[str, dict[str, Any]]:
    """Those of the page, by the heading above them."""
    found = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        for block in re.findall(r"^ *```mailposture\.yaml\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE):
            found[section.partition("\n")[0]] = yaml.safe_load(textwrap.dedent(block))
    return found


@pytest.mark.parametrize("heading", ["Microsoft 365 by IMAP", "Microsoft 365 by Microsoft Graph", "Gmail"])
def test_a_new_administrator_gets_to_the_first_report(
    heading: str,
    authority: CertificateAuthority,
    spool: RecordingSpool,
    read_mailbox: Callable[..., MailboxLoop],
    tmp_path: Path,
) -> None:
    settings = configurations()[heading]
    (kind,) = settings
    (mailbox,) = settings[kind]
    identity = Identity(authority)
    identity.client, identity.scope = "CLIENT-ID", mailbox["oauth"].get("scope", "")
    (tmp_path / "client-secret").write_text(f"{SECRET}\n")
    if "refresh_token_file" in mailbox["oauth"]:
        identity.refresh_token = "1//0refresh"
        (tmp_path / mailbox["oauth"]["refresh_token_file"]).write_text("1//0refresh\n")
    with ExitStack() as servers:
        servers.enter_context(identity.serving())
        mailbox["oauth"] |= {"token_url": identity.url, "certificate_authority": str(authority.certificate)}
        if kind == "graph":
            graph = servers.enter_context(
                StrictGraph(authority, identity.valid, private_mail(1), report_mail(1)).serving()
            )
            graph.user = USER
            mailbox |= {"url": graph.url, "certificate_authority": str(authority.certificate)}
        else:
            odd = servers.enter_context(OddImap(private_mail(1), report_mail(1)).serving())
            odd.capabilities += " AUTH=XOAUTH2"
            odd.user, odd.tokens = USER, identity.valid
            mailbox |= {"host": "127.0.0.1", "port": odd.plain_port, "tls": False}
        path = tmp_path / "mailposture.yaml"
        path.write_text(json.dumps({"domains": [{"name": "example.com"}], **settings}))
        tried = CliRunner().invoke(cli.check.command, ["--config", str(path), "--mailboxes"])
        assert (tried.exit_code, "good" in tried.stdout) == (0, True), tried.output
        (found,) = mailboxes_of(load(path))
        loop = read_mailbox(found)
        eventually("the first report", lambda: spool.bodies == [report_mail(1)])
        loop.stop()


def test_the_page_says_what_was_not_tried_and_when() -> None:
    assert re.search(r"\d{1,2} \w+ 20\d\d: not tried against the real service", PAGE)
    assert len(configurations()) == 3
