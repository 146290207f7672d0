"""A digest as a mail (RFC 5322): text and HTML of the same content, and nothing that is loaded from elsewhere."""

from __future__ import annotations

import hashlib
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from reports.digest.html import as_html
from reports.digest.text import as_text
from reports.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reports.digest.page import Page
    from reports.digest.week import Week

_LONGEST_SUBJECT: Final = 150


def as_mail(page: Page, week: Week, *, sender: str, recipients: Sequence[str], sent_at: datetime) -> EmailMessage:
    """`sent_at` has a time zone. The same digest for the same recipients always has the same Message-ID."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    if recipients:
        mail["To"] = ", ".join(recipients)
    mail["Subject"] = clean(page.subject, _LONGEST_SUBJECT)
    mail["Date"] = format_datetime(sent_at)
    mail["Message-ID"] = message_id(page, week, sender=sender, recipients=recipients)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834, section 5: nobody's vacation notice answers it
    mail["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    mail.set_content(as_text(page), cte="quoted-printable")
    mail.add_alternative(as_html(page), subtype="html", cte="quoted-printable")
    return mail


def message_id(page: Page, week: Week, *, sender: str, recipients: Sequence[str]) -> str:
    """Of the week, what it is about, and the recipients."""
    about = "\n".join((week.start.isoformat(), page.title, *sorted(recipients)))
    digest = hashlib.sha256(about.encode()).hexdigest()[:20]
    return f"<digest.{week.start:%Y%m%d}.{digest}@{sender.rpartition('@')[2]}>"
