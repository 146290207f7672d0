"""How we verify the servers that we connect to."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def verifying_context(authority: Path | None = None) -> ssl.SSLContext:
    """A context that verifies chain and name, TLS 1.2 or newer, against the system's roots or an authority's file.

    Raises OSError if the file cannot be read. The same on every Python: 3.13 adds VERIFY_X509_STRICT to the defaults,
    and so refuses certificates that senders accept, and those of many private authorities.
    """
    context = ssl.create_default_context(cafile=authority and str(authority))
    context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # else OpenSSL's configuration decides, or nobody
    return context
