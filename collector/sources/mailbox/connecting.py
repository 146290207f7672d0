"""What it means that no connection to a server of a mailbox could be made, in words that name the server."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from collector.sources.mailbox.mailbox import LostError, Trouble
from mailposture.net.verifying import verifying_context

if TYPE_CHECKING:
    from pathlib import Path


def context_for(authority: Path | None) -> ssl.SSLContext:
    """Verifies a server. Raises LostError if the authority's file cannot be read, which names it."""
    try:
        return verifying_context(authority)
    except ssl.SSLError as error:
        raise LostError(f"{authority} holds no certificate in PEM", Trouble.FILE) from error
    except OSError as error:
        raise LostError(f"{authority} cannot be read ({error.strerror})", Trouble.FILE) from error


def not_connected(server: str, error: BaseException) -> LostError:
    """From what was raised, or from what caused that."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    for each in reversed(causes):
        if isinstance(each, ssl.SSLCertVerificationError):
            return LostError(f"the certificate of {server} is not trusted: {each.verify_message}", Trouble.CERTIFICATE)
        if isinstance(each, ssl.SSLError) and each.reason == "WRONG_VERSION_NUMBER":
            return LostError(f"{server} does not begin with TLS", Trouble.CERTIFICATE)
        if isinstance(each, OSError):
            return LostError(f"no connection to {server}: {each.strerror or each}", Trouble.UNREACHABLE)
    return LostError(f"no connection to {server}: {error}", Trouble.UNREACHABLE)
