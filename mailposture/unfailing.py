"""Words for whoever may read them, written where they can be lost."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from typing import IO


class _Unfailing:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def unfailing(stream: IO[str]) -> TextIO:
    """A stream, without the errors of writing into it; what cannot be written is lost.

    For logs and screens of services: these outlive a terminal that goes away, a reader that ends and a full disk.
    """
    return cast("TextIO", _Unfailing(stream))
