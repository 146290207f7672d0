"""Public keys of DKIM signers: the key record (RFC 6376, section 3.6.1), fetched from DNS and remembered."""

import asyncio
import base64
import binascii
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import timedelta

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

SMALLEST_RSA = 1024  # bits (RFC 8301, section 3.2)
LARGEST_RSA = 4096  # verifiers must know up to this; larger ones would let strangers choose how long we compute
LARGEST_EXPONENT = 2**32
LONGEST_RECORD = 8192  # bytes; an RSA key of 4096 bits needs 800


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may sign TLS reports."""

    algorithm: str  # rsa or ed25519
    key: RSAPublicKey | Ed25519PublicKey
    exact_identity: bool = False  # t=s: i= must be of d= itself, not of a subdomain


@dataclass(frozen=True, slots=True)
class NoKey:
    """DNS has answered, and there is no usable key; the reason follows "the signature of example.net"."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """DNS has not answered: nothing is known yet."""

    reason: str


KeyLookup = PublicKey | NoKey | Unanswered


def parse_record(record: bytes) -> PublicKey | NoKey:
    """Read a key record. Its service must be `*` (also by default) or `tlsrpt` (RFC 8460, section 3)."""
    try:
        return _parse_record(record)
    except ValueError as error:
        return NoKey(str(error))


def _parse_record(record: bytes) -> PublicKey:
    if len(record) > LONGEST_RECORD:
        raise ValueError("has a key record that is too long")
    tag: dict[bytes, bytes] = {}
    for spec in record.split(b";"):
        name, _, value = spec.partition(b"=")
        tag.setdefault(name.strip(), value.strip())
    if tag.get(b"v", b"DKIM1") != b"DKIM1" or b"p" not in tag:
        raise ValueError("has no key: its record is no DKIM key")
    services = _listed(tag, b"s", b"*")
    if b"*" not in services and b"tlsrpt" not in services:
        raise ValueError(f"has a key for {shown(tag[b's'])} only, not for TLS reports (s=tlsrpt or s=*)")
    if b"sha256" not in _listed(tag, b"h", b"sha256"):
        raise ValueError("has a key that forbids SHA-256 (h=)")
    if not tag[b"p"]:
        raise ValueError("has a key that is revoked (p= is empty)")
    flags = _listed(tag, b"t", b"")
    if b"y" in flags:
        raise ValueError("has a key in testing mode (t=y), which RFC 6376 equates with no signature")
    return PublicKey(*_key(tag), exact_identity=b"s" in flags)


def _key(tag: dict[bytes, bytes]) -> tuple[str, RSAPublicKey | Ed25519PublicKey]:
    try:
        octets = base64.b64decode(b"".join(tag[b"p"].split()), validate=True)
    except binascii.Error:
        raise ValueError("has a key that is not base64") from None
    algorithm = tag.get(b"k", b"rsa").decode("ascii", "replace").lower()
    if algorithm == "rsa":
        return algorithm, _rsa(octets)
    if algorithm != "ed25519":
        raise ValueError(f"has a key of the unknown type {shown(tag[b'k'])}")
    if len(octets) != 32:
        raise ValueError(f"has an Ed25519 key of {len(octets)} bytes instead of 32")
    return algorithm, Ed25519PublicKey.from_public_bytes(octets)


def _rsa(octets: bytes) -> RSAPublicKey:
    try:
        key = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("has an RSA key that cannot be read") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("has a key that says RSA and is not")
    if not SMALLEST_RSA <= key.key_size <= LARGEST_RSA:
        raise ValueError(f"has an RSA key of {key.key_size} bits; {SMALLEST_RSA} to {LARGEST_RSA} are accepted")
    if key.public_numbers().e > LARGEST_EXPONENT:
        raise ValueError("has an RSA key with an exponent that is too large")
    return key


def _listed(tag: dict[bytes, bytes], name: bytes, default: bytes) -> list[bytes]:
    return [word.strip().lower() for word in tag.get(name, default).split(b":")]


def shown(text: bytes) -> str:
    """Strangers' bytes in a message: short and printable."""
    return repr(text[:40].decode("ascii", "replace"))


class KeyCache:
    """Looks up keys, many at once, and remembers the answers for as long as DNS says, within bounds.

    Lookups run in a thread of their own: a domain whose name servers are silent costs its own mails a retry, and no
    other mail anything. Callers that ask for the same name wait for the same lookup. Use close() at the end.
    """

    SHORTEST, LONGEST = 60.0, 86_400.0  # seconds that an answer is remembered, whatever its TTL
    WITHOUT_KEY = 300.0
    WITHOUT_ANSWER = 15.0
    CAPACITY = 10_000  # names; the one not used for longest goes first
    IN_FLIGHT = 200  # lookups at the same time; more are told to come back

    def __init__(self, *, nameservers: Sequence[str] = (), timeout: timedelta = timedelta(seconds=5)) -> None:
        self._nameservers = nameservers
        self._timeout = timeout.total_seconds()
        self._known: OrderedDict[str, tuple[float, KeyLookup]] = OrderedDict()
        self._pending: dict[str, Future[KeyLookup]] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="dkim-key-lookups", daemon=True)
        self._thread.start()

    def look_up(self, names: Collection[str], *, patience: float) -> dict[str, KeyLookup]:
        """What is known about these names after at most `patience` seconds; lookups go on behind Unanswered ones."""
        now = time.monotonic()
        found: dict[str, KeyLookup] = {}
        under_way: dict[str, Future[KeyLookup]] = {}
        with self._lock:
            for name in names:
                expires, answer = self._known.get(name, (0.0, None))
                if answer is not None and expires > now:
                    self._known.move_to_end(name)
                    found[name] = answer
                elif name in self._pending:
                    under_way[name] = self._pending[name]
                elif len(self._pending) >= self.IN_FLIGHT:
                    found[name] = Unanswered("too many DNS lookups at once")
                else:
                    under_way[name] = self._pending[name] = asyncio.run_coroutine_threadsafe(
                        self._fetch(name), self._loop
                    )
        if under_way:
            wait(under_way.values(), timeout=patience)
            for name, future in under_way.items():
                late = not future.done() or future.cancelled()
                found[name] = Unanswered(f"DNS has not yet answered for {name}") if late else future.result()
        return found

    def close(self) -> None:
        """Stop looking up; what is pending stays unanswered."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._cancel_lookups())
        self._loop.close()

    async def _cancel_lookups(self) -> None:
        lookups = asyncio.all_tasks() - {asyncio.current_task()}
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _fetch(self, name: str) -> KeyLookup:
        try:
            ttl, answer = await self._ask(name)
        finally:
            with self._lock:
                del self._pending[name]
        with self._lock:
            self._known[name] = (time.monotonic() + ttl, answer)
            self._known.move_to_end(name)
            if len(self._known) > self.CAPACITY:
                self._known.popitem(last=False)
        return answer

    async def _ask(self, name: str) -> tuple[float, KeyLookup]:
        """Seconds to remember, and the answer. No record is an answer; silence and server failures are none."""
        try:
            resolver = self._resolver()
            records = await resolver.resolve(dns.name.from_text(name), "TXT", lifetime=self._timeout)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.YXDOMAIN):
            return self.WITHOUT_KEY, NoKey(f"has no key in DNS ({name})")
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return self.WITHOUT_KEY, NoKey("has a key name that DNS cannot hold")
        except (dns.exception.DNSException, OSError) as error:
            return self.WITHOUT_ANSWER, Unanswered(f"DNS does not answer for {name} ({type(error).__name__})")
        keys = [parse_record(b"".join(record.strings)) for record in records]
        usable = next((key for key in keys if isinstance(key, PublicKey)), keys[0])
        ttl = float(records.rrset.ttl) if records.rrset is not None else 0.0
        return min(max(ttl, self.SHORTEST), self.LONGEST), usable

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """One a lookup, so that a changed /etc/resolv.conf is seen; raises NoResolverConfiguration."""
        resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        if self._nameservers:
            resolver.nameservers = [_nameserver(text) for text in self._nameservers]
        return resolver


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    """Read `IP` or `IP@port`."""
    address, _, port = text.partition("@")
    return dns.nameserver.Do53Nameserver(address, int(port or 53))
