"""Public keys of DKIM signers: the key record (RFC 6376, section 3.6.1), fetched from DNS and cached."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import timedelta

import dns.asyncresolver
import dns.name
import dns.nameserver
import dns.resolver
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from collector.dkim.fair_map import FairMap
from mailposture.domain_names import organizational_domain
from mailposture.loop_thread import LoopThread
from mailposture.records import dkim_key

_CHANCE = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may sign reports by mail."""

    algorithm: str  # rsa or ed25519
    key: RSAPublicKey | Ed25519PublicKey
    exact_identity: bool = False  # t=s: i= must be of d= itself, not of a subdomain
    mail_only: bool = False  # s=email: it signs mail, but no TLS reports


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
    """Read a key record. Its service must be `*` (also by default), `email` or `tlsrpt` (RFC 8460, section 3)."""
    try:
        return _parse_record(record)
    except ValueError as error:
        return NoKey(str(error))


def _parse_record(record: bytes) -> PublicKey:
    tag = dkim_key.read_tags(record)
    services = dkim_key.listed(tag, b"s", b"*")
    if not {b"*", b"email", b"tlsrpt"}.intersection(services):
        raise ValueError(f"has a key for {dkim_key.shown(tag[b's'])} only, not for mail")
    if b"sha256" not in dkim_key.listed(tag, b"h", b"sha256"):
        raise ValueError("has a key that forbids SHA-256 (h=)")
    if dkim_key.is_revoked(tag):
        raise ValueError("has a key that is revoked (p= is empty)")
    if dkim_key.is_in_test(tag):
        raise ValueError("has a key in testing mode (t=y), which RFC 6376 equates with no signature")
    exact_identity = b"s" in dkim_key.listed(tag, b"t", b"")
    mail_only = not {b"*", b"tlsrpt"}.intersection(services)
    return PublicKey(*dkim_key.public_key(tag), exact_identity=exact_identity, mail_only=mail_only)


@dataclass(frozen=True, slots=True)
class _Known:
    """What DNS said about a name, and the clock's time until which it holds."""

    answer: KeyLookup
    expires: float
    silences: int = 0  # how often DNS did not answer, in a row


@dataclass(frozen=True, slots=True)
class _Lookup:
    """A question to DNS that is under way."""

    name: str
    future: Future[KeyLookup]
    asked_at: float


class KeyCache:
    """Looks up keys, many at once, and caches the answers for as long as DNS says, within bounds.

    Lookups run in a thread of their own. Anybody can send mail signed by domains whose name servers are silent: it
    costs its own retries and no other mail its key. Only so many lookups are under way, of one organization a few, and
    apart from those of names that had a key before; what has been under way for longest gives way to a new name, so one
    that answers is not kept waiting by those that never do. What does not fit has its turn in the same call, for as
    long as DNS answers. Nobody waits twice for the same question, and a silent name is asked for ever less often. Use
    close() at the end.
    """

    SHORTEST, LONGEST = 60.0, 86_400.0  # seconds that an answer is remembered, whatever its TTL
    WITHOUT_KEY = 300.0
    WITHOUT_ANSWER, LONGEST_WITHOUT_ANSWER = 15.0, 900.0  # doubled each time
    CAPACITY, CAPACITY_OF_ONE = 10_000, 50  # names, in all and of one organization
    IN_FLIGHT, IN_FLIGHT_OF_ONE = 300, 20  # lookups at the same time; each has a socket

    def __init__(
        self,
        *,
        nameservers: Sequence[str] = (),
        timeout: timedelta = timedelta(seconds=5),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nameservers = nameservers
        self._timeout = timeout.total_seconds()
        self._clock = clock
        # Apart, so that names without a key, of which there is no end, push out none that has one.
        self._keys = FairMap[_Known](capacity=self.CAPACITY, share=self.CAPACITY_OF_ONE)
        self._others = FairMap[_Known](capacity=self.CAPACITY, share=self.CAPACITY_OF_ONE)
        self._under_way: dict[str, _Lookup] = {}
        # Under way, of names that had a key before, and of names that never had: neither is in the way of the other.
        self._again, self._first = (
            FairMap[_Lookup](capacity=self.IN_FLIGHT, share=self.IN_FLIGHT_OF_ONE) for _ in range(2)
        )
        self._lock = threading.Lock()
        self._loop = LoopThread("dkim-key-lookups")

    def look_up(self, names: Collection[str], *, patience: float) -> dict[str, KeyLookup]:
        """What is known about these names, each of which was asked for at most `patience` seconds ago when it returns.

        Lookups go on behind Unanswered ones.
        """
        found: dict[str, KeyLookup] = {}
        left, until = list(names), time.monotonic() + patience
        while left:
            answered, left = self._look_up_some(left, patience=patience)
            found |= answered
            silent = any(isinstance(answer, Unanswered) for answer in answered.values())
            if silent or not answered or time.monotonic() >= until:
                break  # only while DNS answers at once is there a next turn for what did not fit
        return found | dict.fromkeys(left, Unanswered("too many DNS lookups at once"))

    def _look_up_some(self, names: list[str], *, patience: float) -> tuple[dict[str, KeyLookup], list[str]]:
        """What is known about as many of these names as can be asked for together, and the others."""
        found: dict[str, KeyLookup] = {}
        waited_for: dict[str, _Lookup] = {}
        with self._lock:
            now = self._clock()
            new = []
            for name in names:
                if (answer := self._remembered(name, now)) is not None:
                    found[name] = answer
                elif (lookup := self._under_way.get(name)) is not None:
                    waited_for[name] = lookup
                else:
                    new.append(name)
            for name in self._admitted(new):
                waited_for[name] = self._ask_for(name, now)
        if waited_for:
            longest = max(lookup.asked_at for lookup in waited_for.values()) + patience - now
            wait([lookup.future for lookup in waited_for.values()], timeout=max(longest, 0.0))
            for name, lookup in waited_for.items():
                late = not lookup.future.done() or lookup.future.cancelled()
                found[name] = Unanswered(f"DNS has not yet answered for {name}") if late else lookup.future.result()
        return found, [name for name in new if name not in found]

    def _remembered(self, name: str, now: float) -> KeyLookup | None:
        for known in (self._keys.get(name), self._others.get(name)):
            if known is not None and known.expires > now:
                return known.answer
        return None

    def _admitted(self, names: list[str]) -> Iterator[str]:
        """The names to ask for now: no more than could be under way together."""
        _CHANCE.shuffle(names)  # else the same ones would be left out at each retry
        admitted: Counter[object] = Counter()
        for name in names:
            pool, organization = self._pool(name), _organization(name)
            if admitted[pool] < self.IN_FLIGHT and admitted[pool, organization] < self.IN_FLIGHT_OF_ONE:
                admitted.update((pool, (pool, organization)))
                yield name

    def _pool(self, name: str) -> FairMap[_Lookup]:
        return self._first if self._keys.get(name) is None else self._again

    def _ask_for(self, name: str, now: float) -> _Lookup:
        organization = _organization(name)
        future = self._loop.submit(self._fetch(name, organization))
        lookup = self._under_way[name] = _Lookup(name, future, now)
        for longest in self._pool(name).put(name, organization, lookup):
            self._under_way.pop(longest.name, None)
            longest.future.cancel()
        return lookup

    def close(self) -> None:
        """Stop looking up; what is pending stays unanswered."""
        self._loop.close()

    async def _fetch(self, name: str, organization: str) -> KeyLookup:
        ttl, answer = await self._ask(name)
        with self._lock:
            self._under_way.pop(name, None)
            self._pool(name).pop(name)
            before, silences = self._others.pop(name), 0
            if isinstance(answer, Unanswered):
                silences = before.silences + 1 if before is not None else 1
                ttl = min(self.WITHOUT_ANSWER * 2.0 ** (silences - 1), self.LONGEST_WITHOUT_ANSWER)
            known = _Known(answer, self._clock() + ttl, silences)
            (self._keys if isinstance(answer, PublicKey) else self._others).put(name, organization, known)
        return answer

    async def _ask(self, name: str) -> tuple[float, KeyLookup]:
        """Seconds to cache an answer, and the answer. No record is one; timeouts and server failures are not."""
        try:
            resolver = self._resolver()
            records = await resolver.resolve(dns.name.from_text(name), "TXT", lifetime=self._timeout)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.YXDOMAIN):
            return self.WITHOUT_KEY, NoKey(f"has no key in DNS ({name})")
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return self.WITHOUT_KEY, NoKey("has a key name that DNS cannot hold")
        except Exception as error:  # DNSException, OSError; whatever else it is must not stop other mail
            return 0.0, Unanswered(f"DNS does not answer for {name} ({type(error).__name__})")
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


def _organization(name: str) -> str:
    """The organizational domain that a key name belongs to."""
    domain = name.rpartition("._domainkey.")[2]
    return organizational_domain(domain) or domain


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    """Read `IP` or `IP@port`."""
    address, _, port = text.partition("@")
    return dns.nameserver.Do53Nameserver(address, int(port or 53))
