"""Mails the demo through a real SMTP listener, as senders do: several mails per connection, several connections."""

import smtplib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import chain

from demo.dmarc.mails import dmarc_mails
from demo.keys import SigningKey
from demo.mail import DemoMail
from demo.odd_mails import odd_mails
from demo.tls.mails import mails

_CONNECTIONS = 8
_MAILS_A_CONNECTION = 50
_TIMEOUT = 30  # seconds for one answer of the server


def send_demo(today: date, keys: dict[str, SigningKey], *, host: str, port: int) -> int:
    """Mail the month and the odd mails; returns how many the server has accepted (they all are, if it is healthy).

    Raises OSError (which smtplib's errors are) when the server cannot be reached or refuses one.
    """
    return send(chain(mails(today, keys), dmarc_mails(today, keys), odd_mails(today, keys)), host=host, port=port)


def send(demo_mails: Iterable[DemoMail], *, host: str, port: int) -> int:
    """Mail these; returns how many were accepted."""
    every = list(demo_mails)
    batches = [every[start : start + _MAILS_A_CONNECTION] for start in range(0, len(every), _MAILS_A_CONNECTION)]
    with ThreadPoolExecutor(_CONNECTIONS) as connections:
        return sum(connections.map(lambda batch: _send_batch(batch, host, port), batches))


def _send_batch(batch: Sequence[DemoMail], host: str, port: int) -> int:
    with smtplib.SMTP(host, port, local_hostname="demo.example", timeout=_TIMEOUT) as connection:
        for mail in batch:
            connection.sendmail(mail.mail_from, [mail.recipient], mail.content)
    return len(batch)
