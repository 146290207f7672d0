"""IMAPClient, with an end to what a server can make it read: imaplib takes literals and lines as they come."""

from __future__ import annotations

import imaplib
import socket
from typing import TYPE_CHECKING, Any, Final

from imapclient import IMAPClient, SocketTimeout  # type: ignore[import-untyped]

from collector.sources.mailbox.bounded import Allowance, bounded

if TYPE_CHECKING:
    import io
    import ssl

_NETWORK: Final = SocketTimeout(connect=30, read=60)  # seconds
_LONGEST_LINE: Final = 2 * 1024 * 1024  # bytes; UIDs of a mailbox come in one line
_LARGEST_ANSWER: Final = 16 * 1024 * 1024  # bytes, twice what is asked for at once: not all servers know their sizes
_MOST_LINES: Final = 150_000  # of an answer, each of which imaplib keeps
# Of what a server says unasked, all that a later command needs to know.
_REMEMBERED: Final = ("BYE", "CAPABILITY", "READ-ONLY")


class BoundedClient(IMAPClient):  # type: ignore[misc]
    """Each command has an end: by bytes and by time. Then LostError is raised, and from then on only that."""

    def __init__(self, host: str, port: int, *, context: ssl.SSLContext | None, allowance: Allowance) -> None:
        """With a context, TLS comes first. Raises what IMAPClient does."""
        self._allowance = allowance
        super().__init__(host, port, ssl=context is not None, ssl_context=context, timeout=_NETWORK)
        self.normalise_times = False  # or it turns times into those of our zone, and leaves the zone out

    def _create_IMAP4(self) -> imaplib.IMAP4:  # noqa: N802
        return _BoundedImap(self.host, self.port, self.ssl_context, self._allowance)

    def rights(self, folder: str) -> set[str]:
        """What we may do with a folder (RFC 4314, section 3.5), a letter each."""
        answer = self._command_and_check("myrights", self._normalise_folder(folder), unpack=True)
        return set(answer.decode("ascii", "replace").rpartition(" ")[2].strip('"'))

    def idle_done(self) -> Any:
        self._allowance.begin(_LARGEST_ANSWER)
        return super().idle_done()


class _BoundedImap(imaplib.IMAP4):
    def __init__(self, host: str, port: int, context: ssl.SSLContext | None, allowance: Allowance) -> None:
        self._context = context
        self._allowance = allowance
        self._reader: io.BufferedReader | None = None
        self._lines = 0  # of the answer
        allowance.begin(_LARGEST_ANSWER)
        super().__init__(host, port)

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout=_NETWORK.connect)
        return self._context.wrap_socket(plain, server_hostname=self.host) if self._context else plain

    def _new_tag(self) -> bytes:
        """A command begins. What came unasked before would pile up for as long as the session lasts."""
        self._allowance.begin(_LARGEST_ANSWER)
        self._lines = 0
        said = self.untagged_responses
        self.untagged_responses = {name: said[name][-1:] for name in _REMEMBERED if name in said}
        return super()._new_tag()  # type: ignore[misc, no-any-return]

    def _get_response(self) -> bytes | None:
        try:
            return super()._get_response()  # type: ignore[misc, no-any-return]
        except ValueError as error:  # the size of a literal has thousands of digits
            raise self.abort(f"unexpected response: {error}") from error

    def read(self, size: int) -> bytes:
        self._allowance.expect(size)  # a reader makes room for all of it at once
        return self._bounded().read(size)

    def readline(self) -> bytes:
        line = self._bounded().readline(_LONGEST_LINE + 1)
        self._lines += 1
        if len(line) > _LONGEST_LINE:
            self._allowance.exceeded(f"sends a line of more than {_LONGEST_LINE:,} bytes")
        if self._lines > _MOST_LINES:
            self._allowance.exceeded(f"sends more than {_MOST_LINES:,} lines at once")
        return line

    def _bounded(self) -> io.BufferedReader:
        if self._reader is None or self.file is not self._reader:  # of another socket, after STARTTLS
            self.file = self._reader = bounded(self.file, self.sock, self._allowance)  # type: ignore[arg-type]
        return self._reader

    def _log(self, line: str) -> None:
        """Keep no copies of the last lines."""
