"""A mailbox in memory behind a real IMAP socket, which can be odd in ways that real servers are.

Mails are numbered from 1, their UIDs. What a server does wrong is a method that a test replaces.
"""

from __future__ import annotations

import base64
import re
import socketserver
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sources_mail.reading import SOON

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

No = str  # what a tagged NO says


class HangUpError(Exception):
    """End the connection, in the middle of an answer."""


class OddImap:
    """State and behaviour; safe to look at from the test's thread."""

    def __init__(self, *mails: bytes) -> None:
        self.mails = dict(enumerate(mails, start=1))
        self.processed: dict[int, bytes] = {}
        self.capabilities = "IMAP4rev1 MOVE UIDPLUS"
        self.epoch = 7
        self.next_uid = 0  # 0: it does not say
        self.commands: list[str] = []
        self.bodies_sent: list[int] = []
        self.plain_port = 0
        self.lock = threading.RLock()
        # What may be odd: each is called with a UID.
        self.body: Callable[[int], bytes | None] = self.literal
        self.size: Callable[[int], str] = lambda uid: f"RFC822.SIZE {len(self.mails[uid])}"
        self.before_fetch: Callable[[int], No | None] = lambda _uid: None
        self.before_move: Callable[[int], No | None] = lambda _uid: None
        self.before_answer: Callable[[str], Iterable[bytes]] = lambda _command: ()  # what it says first
        self.also_found = ""  # by a SEARCH, beside the mails
        self.moves = True
        self.echoes = False  # refuses a login, and repeats what it was sent
        self.user = "reports"
        self.tokens: Collection[str] | None = None  # that XOAUTH2 takes; None: LOGIN takes anything

    @property
    def settings(self) -> dict[str, Any]:
        """What a configuration says about it."""
        return {"tls": False, "port": self.plain_port, "poll": SOON}

    def literal(self, uid: int) -> bytes | None:
        """The item of a FETCH answer with the whole mail; None for none."""
        return b"BODY[] {%d}\r\n%b" % (len(self.mails[uid]), self.mails[uid])

    def downloads(self, uid: int) -> int:
        """How often a mail was handed out."""
        with self.lock:
            return self.bodies_sent.count(uid)

    @contextmanager
    def serving(self) -> Iterator[OddImap]:
        """Listen on loopback."""
        odd = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                try:
                    _Conversation(odd, self).run()
                except (HangUpError, ConnectionError):
                    return

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        with Server(("127.0.0.1", 0), Handler) as server:
            self.plain_port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class _Conversation:
    def __init__(self, odd: OddImap, stream: Any) -> None:
        self.odd = odd
        self.stream = stream

    def say(self, text: str | bytes) -> None:
        self.stream.wfile.write((text.encode() if isinstance(text, str) else text) + b"\r\n")

    def run(self) -> None:
        self.say(f"* OK [CAPABILITY {self.odd.capabilities}] here")
        while line := self.stream.rfile.readline():
            tag, _, command = line.decode().strip().partition(" ")
            for said in self.odd.before_answer(command):
                self.stream.wfile.write(said)
            with self.odd.lock:
                self.odd.commands.append(command)
                no = self.answer(command)
            self.say(f"{tag} NO {no}" if no else f"{tag} OK done")
            if command == "LOGOUT":
                return

    def log_in(self, command: str) -> No | None:
        if self.odd.echoes:
            return f"you sent {command}"
        return "[PRIVACYREQUIRED] tokens only" if self.odd.tokens is not None else None

    def answer(self, command: str) -> No | None:
        name, _, rest = command.removeprefix("UID ").partition(" ")
        match name:
            case "CAPABILITY":
                self.say(f"* CAPABILITY {self.odd.capabilities}")
            case "AUTHENTICATE":
                return self.authenticate(rest)
            case "LOGIN":
                return self.log_in(command)
            case "LIST":
                self.say(f'* LIST () "/" {rest.split()[-1]}')
            case "SELECT" | "EXAMINE":
                self.say(f"* {len(self.odd.mails)} EXISTS")
                self.say("* 0 RECENT")
                self.say(f"* OK [UIDVALIDITY {self.odd.epoch}] valid")
                if self.odd.next_uid:
                    self.say(f"* OK [UIDNEXT {self.odd.next_uid}] next")
            case "SEARCH":
                found = re.search(r"UID (\S+)", rest)
                uids = map(str, self.uids(found[1] if found else "1:*"))
                self.say(" ".join(["* SEARCH", *uids, *self.odd.also_found.split()]))
            case "FETCH":
                return self.fetch(*rest.split(" ", 1))
            case "MOVE":
                return self.move(rest.split()[0])
        return None

    def authenticate(self, mechanism: str) -> No | None:
        """XOAUTH2 as Google describes it: a refusal is a challenge first, and its answer an empty line."""
        assert mechanism == "XOAUTH2"
        self.say("+ ")
        given = base64.b64decode(self.stream.rfile.readline().strip(), validate=True)
        said = re.fullmatch(rb"user=([^\x01]+)\x01auth=Bearer ([\w.~+/-]+=*)\x01\x01", given)
        user = said and said[1].decode()
        if said and user == self.odd.user and self.odd.tokens is not None and said[2].decode() in self.odd.tokens:
            return None
        self.say(b"+ " + base64.b64encode(b'{"status":"400","schemes":"Bearer","scope":"https://mail.example/"}'))
        if self.stream.rfile.readline() != b"\r\n":
            raise HangUpError
        return "[AUTHENTICATIONFAILED] Invalid credentials (Failure)"

    def uids(self, written: str) -> list[int]:
        """As RFC 3501, section 9 has it: the last mail is in every range that ends with `*`."""
        there, found = sorted(self.odd.mails), set()
        for part in written.split(","):
            first, _, last = part.partition(":")
            ends = [
                there[-1] if end == "*" and there else int(end) if end != "*" else 0 for end in (first, last or first)
            ]
            found |= {uid for uid in there if min(ends) <= uid <= max(ends)}
        return sorted(found)

    def fetch(self, uids: str, items: str) -> No | None:
        for uid in self.uids(uids):
            if "RFC822.SIZE" in items:
                answer: bytes | None = self.odd.size(uid).encode()
            else:
                if no := self.odd.before_fetch(uid):
                    return no
                answer = self.odd.body(uid)
                self.odd.bodies_sent.append(uid)
            self.say(b"* %d FETCH (UID %d%b)" % (uid, uid, b" " + answer if answer else b""))
        return None

    def move(self, uids: str) -> No | None:
        for uid in self.uids(uids):
            if no := self.odd.before_move(uid):
                return no
        for uid in self.uids(uids):
            if self.odd.moves:
                self.odd.processed[uid] = self.odd.mails.pop(uid)
        return None
