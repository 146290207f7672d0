"""Passwords and the like, which only files hold. They are read each time: somebody may renew them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.sources.mailbox.mailbox import LostError, Trouble

if TYPE_CHECKING:
    from pathlib import Path


def read_secret(path: Path) -> str:
    """What a file holds, without the end of its line. Raises LostError, which names the file and never its content."""
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise LostError(f"{path} cannot be read ({error.strerror})", Trouble.FILE) from error
    except UnicodeDecodeError:
        raise LostError(f"{path} is not UTF-8 text; save it as UTF-8", Trouble.FILE) from None
    if not secret:
        raise LostError(f"{path} is empty", Trouble.FILE)
    return secret
