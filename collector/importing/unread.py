"""Containers of mail that are not read here: what they are, and how to get the mails out of them."""

from __future__ import annotations

import re
from typing import Final

_CONTAINERS: Final = (
    (
        re.compile(rb"!BDN"),
        "an Outlook data file (PST or OST); `readpst -e -o FOLDER FILE` (Debian: pst-utils) writes its mails to a "
        "folder to import",
    ),
    (
        re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "an Outlook message (.msg) or another OLE file; `msgconvert FILE` (Debian: libemail-outlook-message-perl) "
        "makes it a mail to import",
    ),
    (
        re.compile(rb"\x78\x9f\x3e\x22"),
        "a winmail.dat of Outlook (TNEF); `tnef -C FOLDER FILE` (Debian: tnef) writes the attachments to a "
        "folder to import",
    ),
    (
        re.compile(rb"\xcf\xad\x12\xfe"),
        "an Outlook Express mailbox (.dbx); `undbx FILE FOLDER` (Debian: undbx) writes its mails to a folder to import",
    ),
    (
        re.compile(rb"\d M[0-9a-f]{1,4} C[0-9a-f]{4,16}\n"),
        "mail as Dovecot's mdbox or sdbox keeps it; on its server `doveadm backup -u USER maildir:FOLDER:LAYOUT=fs` "
        "writes a Maildir to import",
    ),
    (
        re.compile(rb"\*mbx\*\r\n"),
        "an mbx mailbox of UW IMAP; `mailutil copy FILE '#driver.unix/FILE.mbox'` (Debian: uw-mailutils) makes it an "
        "mbox to import",
    ),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7-Zip archive; `7z x FILE` (Debian: p7zip-full) unpacks it"),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive; `unar FILE` (Debian: unar) unpacks it"),
    (re.compile(rb"\x1f\x9d"), "compressed with compress (.Z); `gzip -d FILE` unpacks it"),
)


def container_of(beginning: bytes) -> str:
    """What a container is that bytes begin, and the command that exports it; empty if they begin none of these."""
    return next((words for magic, words in _CONTAINERS if magic.match(beginning)), "")
