"""Tries a mailbox as the collector would read it, and says what is wrong. Nothing is changed in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from collector.sources.mailbox.loop import trouble_of
from collector.sources.mailbox.mailbox import LostError, RefusedError, Trouble

if TYPE_CHECKING:
    from collector.sources.mailbox.mailbox import Mailbox, Session

_LARGEST: Final = 1024 * 1024  # bytes of a mail that is fetched for it
_NEXT_STEPS: Final = {
    Trouble.UNREACHABLE: "are name and port right (tls: true is usual on port 993, tls: starttls on 143), and may this "
    "machine connect to it?",
    Trouble.CERTIFICATE: "is the name in the configuration that of the server? The certificate of a private authority "
    "goes into certificate_authority; a server without TLS on port 993 may have STARTTLS on 143 (tls: starttls)",
    Trouble.FILE: "is it there, and may mailposture's account read it?",
    Trouble.LOGIN: "with a password: are user and password_file right? With oauth: may the application, or the user "
    "who consented, open the mailbox of `user`? docs/mailboxes.md",
    Trouble.TOKEN: "are token_url, client_id, scope and the files of the secrets right, and is none of them expired? "
    "docs/mailboxes.md",
    Trouble.FOLDER: "are `folder` and whose mailbox it is (`user`, `path`) right, and may the account read it?",
    Trouble.THROTTLED: "try again later",
    Trouble.LOST: "try again; if it stays so, look into the log of the server",
}
_TO_MOVE: Final = (
    "give the account that right, or let reports stay (processed: null). Until then they are read and stored, and "
    "mailposture_mailbox_backlog counts them as unmoved"
)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What came of it."""

    mailbox: str
    trouble: Trouble | None
    detail: str
    instruction: str = ""


def try_mailbox(mailbox: Mailbox) -> Tried:
    """Log in, look for mail, and read the first one if it is small."""
    try:
        with mailbox.open() as session:
            detail = _look_into(session)
            obstacle = "" if session.read_only else session.cannot_move()
    except (OSError, LostError, RefusedError) as error:
        trouble = trouble_of(error)
        return Tried(mailbox=mailbox.name, trouble=trouble, detail=str(error), instruction=_NEXT_STEPS[trouble])
    if obstacle:
        detail = f"{detail.partition(';')[0]}, but reports cannot be moved: {obstacle}"
        return Tried(mailbox=mailbox.name, trouble=Trouble.FOLDER, detail=detail, instruction=_TO_MOVE)
    return Tried(mailbox=mailbox.name, trouble=None, detail=detail)


def _look_into(session: Session) -> str:
    found, listed = session.glance()
    if listed is not None and (listed.size is None or listed.size <= _LARGEST):
        for mail in session.fetch([listed.key]):
            if mail.body is None:
                raise RefusedError("the server lists mails, and does not hand out the first of them")
    mails = f"{found:,} mails are in it" if found != 1 else "1 mail is in it"
    moved = "stay in it (processed: null, or it is read-only)" if session.read_only else "are to be moved (not tried)"
    return f"can be read, {mails}; reports {moved}"
