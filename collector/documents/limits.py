"""Hard limits on what untrusted senders make us open, in one place, each with its reason.

Reports are small (most have 1 to 20 KB, the largest seen a few megabytes). Every limit lies far
above that, and low enough that the worst message costs a few hundred megabytes of memory for a moment.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is refused before it is read any further."""

    message_bytes: int = 64 * MIB  # bytes in: above what the listeners accept (50 MiB), for files and mailboxes
    document_bytes: int = 64 * MIB  # one document unpacked; each kind of report has a limit of its own
    unpacked_bytes: int = 96 * MIB  # all that one message unpacks to, intermediate archives included
    compression_ratio: int = 500  # XML of equal records reaches 229; deflate at its best, and bombs, 1,032
    ratio_exempt_bytes: int = MIB  # below this much output a high ratio harms nobody
    archive_nesting: int = 2  # a .json.gz inside a .zip is seen; anything deeper is somebody testing us
    gzip_members: int = 100  # written in one go it has one; each costs a copy of the rest
    zip_members: int = 100  # a zip of a month of reports has 31
    documents: int = 1_000  # in a row in one text; more can be imported, from a file
    in_a_row_bytes: int = 2 * MIB  # a larger text is one document: finding where each ends takes a second for these
    mime_parts: int = 500  # a report has two parts; forwarded mails and digests have dozens
    mime_nesting: int = 20  # multipart in multipart; mail in mail in mail
    header_bytes: int = 256 * KIB  # all header fields of a mail and its parts; parsers copy these many times over
    embedded_mail_bytes: int = MIB  # a mail inside a larger mail is not opened: its encoding hides its shape from us
    attached_mail_bytes: int = MIB  # a larger mail inside another is not opened: memory holds both
    attached_mail_nesting: int = 2  # a mail, attached to one that is attached
    lenient_mail_bytes: int = 4 * MIB  # largest mail that the slow, forgiving parser may look at
    lenient_mail_lines: int = 100_000  # that parser keeps each line as an object
    lenient_mail_parts: int = 50  # that parser compares each line with every boundary that is open
    field_by_rfc_2231: int = 4 * KIB  # a file name in pieces; reading it takes the square of its length


LIMITS = Limits()
