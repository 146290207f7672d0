"""What the configuration file may say, with defaults that work. Reading it: config_file.py."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from ipaddress import IPv6Network, ip_network
from itertools import combinations
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from mailposture.config.mailboxes import GraphMailbox, ImapMailbox, Maildir
from mailposture.config.section import Section
from mailposture.config.values import (
    ByteSize,
    Cause,
    ClusterName,
    DatabaseName,
    DomainName,
    Duration,
    Label,
    MailAddress,
    MailDomain,
    MxPattern,
    Nameserver,
    Network,
    PublicUrl,
    ServerUrl,
    Team,
    Token,
    Wait,
    host_and_port,
)

MIB = 1024 * 1024
_WIDEST: Final = {4: 8, 6: 16}  # prefixes of networks, by version: no organization has wider ones
_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4 addresses (RFC 4291, section 2.5.5.2)


_ALL = {"0.0.0.0", "::"}  # noqa: S104  compared with, not listened on


class Listen(Section):
    """An address to listen on, written `host:port` or `[v6]:port`; port 0 lets the system choose."""

    host: str
    port: int = Field(ge=0, le=65535)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, dict | Listen):
            return value
        host, port = host_and_port(value)
        return {"host": host, "port": port}

    def collides_with(self, other: Listen) -> bool:
        """Whether only one of the two can listen; 0.0.0.0 and [::] are all addresses at once."""
        return 0 < self.port == other.port and (self.host == other.host or bool({self.host, other.host} & _ALL))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class TlsFiles(Section):
    """PEM files; they are read again when they change, so a renewal needs no restart."""

    certificate: Path
    key: Path


class PolicyMode(StrEnum):
    """The modes of an MTA-STS policy (RFC 8461, section 5)."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


class MtaStsPolicy(Section):
    """The MTA-STS policy that we host for a domain (RFC 8461, section 3.2)."""

    mode: PolicyMode = PolicyMode.TESTING
    mx: tuple[MxPattern, ...] = ()
    max_age: int = Field(default=1_209_600, ge=0, le=31_557_600, description="seconds; weeks are advised")


class Thresholds(Section):
    """When a domain's failures deserve attention; exported as metrics, so the alert rules compare against them."""

    failure_ratio: float = Field(default=0.05, ge=0, le=1)
    minimum_sessions: int = Field(default=20, ge=0)
    stale_after: Duration = timedelta(days=3)
    certificate_expiry: Duration = timedelta(days=14)


ACKNOWLEDGEABLE: Final = "acknowledgeable"
"""In the context of a validation: what raises ValueError for a cause and subject that there cannot be."""


class Acknowledgement(Section):
    """A cause that needs attention and is known, or not ours: it alerts nobody until a day."""

    cause: Cause
    subject: str = ""  # the server, sender or record; all of them if empty
    until: date  # from that day on it counts again
    because: str = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be(self, info: ValidationInfo) -> Self:
        check = (info.context or {}).get(ACKNOWLEDGEABLE)
        if check is not None:
            check(self.cause, self.subject)
        return self


class Sender(Section):
    """A sender of ours, whose mail is ours also where it fails DMARC: addresses, or a service that sends for us."""

    name: Label  # that its mail is shown under
    addresses: tuple[Network, ...] = ()
    services: tuple[Label, ...] = ()  # names of the catalogue, as `mailposture explain senders` lists them

    @model_validator(mode="after")
    def _says_which_mail(self) -> Self:
        if not (self.addresses or self.services):
            raise ValueError(f"{self.name} has neither `addresses` nor `services`, so no mail is from it; give one")
        return self

    @model_validator(mode="after")
    def _has_networks_of_one_organization(self) -> Self:
        """Whoever names all addresses calls every forgery his own mail."""
        for network in self.addresses:
            widest = _WIDEST[network.version]
            if network.prefixlen < widest:
                raise ValueError(f"{self.name}: {network} is wider than /{widest}: forgeries would be taken for yours")
            if isinstance(network, IPv6Network) and network.overlaps(_MAPPED):
                raise ValueError(f"{self.name}: {network} has IPv4 addresses in it; write them as such: 192.0.2.0/24")
        return self


class Domain(Section):
    """A domain that receives mail, and is ours: only reports about such domains are kept."""

    name: MailDomain
    mx: tuple[MxPattern, ...] = ()  # the hosts that receive for it; DANE reports name these instead of the domain
    team: Team = "mail"
    token: Token | None = None  # part of the path for reports by HTTPS; no secret, since the path is in public DNS
    # true: what is posted there starts and ends alerts. Nothing proves a post: whoever reads the record can then page
    # you, or end a page, in anybody's name. For domains that receive by HTTPS only.
    posts_count: bool = False
    thresholds: Thresholds = Thresholds()
    mta_sts: MtaStsPolicy | None = None
    parked: bool = False  # neither takes nor sends mail
    acknowledged: tuple[Acknowledgement, ...] = ()
    senders: tuple[Sender, ...] = ()  # that send mail in the domain's name

    @model_validator(mode="after")
    def _parked_takes_no_mail(self) -> Self:
        """A policy of mode none may stay: it is how one is withdrawn (RFC 8461, section 8.3)."""
        if self.parked and (self.mx or (self.mta_sts and self.mta_sts.mode is not PolicyMode.NONE)):
            key = "mx" if self.mx else f"mta_sts.mode: {self.mta_sts.mode if self.mta_sts else ''}"
            raise ValueError(f"{self.name} is parked, so it takes no mail; take out {key}, or parked")
        return self


class SmtpLimits(Section):
    """What one client may take up; a report is a few kilobytes, the largest seen in the wild a few megabytes."""

    message_size: ByteSize = Field(default=50 * MIB, ge=1)
    connections: int = Field(default=500, ge=1)
    connections_per_client: int = Field(default=100, ge=1)
    connections_per_minute: int = Field(default=60_000, ge=1)  # of one client
    idle: Wait = timedelta(seconds=60)
    session: Wait = timedelta(minutes=10)
    commands: int = Field(default=10_000, ge=1)  # commands per connection; kept connections send many mails
    errors: int = Field(default=20, ge=1)
    recipients: int = Field(default=100, ge=1)


class Smtp(Section):
    """The SMTP listener. Plaintext is always accepted: senders report even when TLS to us fails (RFC 8460, 5.3)."""

    listen: Listen | None = Listen(host="127.0.0.1", port=2525)
    # From there every connection to `listen` begins with a PROXY protocol header, version 1 or 2, as HAProxy sends it.
    proxies: tuple[Network, ...] = ()
    # true: no other MTA stands before `listen`, whose clients are the senders' own servers (behind `proxies`, as these
    # say). Then a DMARC report without an aligned signature is accepted if SPF proves its sender.
    mx: bool = False
    lmtp: Listen | None = None
    hostname: DomainName | None = None  # what the greeting says; the machine's name if absent
    tls: TlsFiles | None = None
    limits: SmtpLimits = SmtpLimits()


class Https(Section):
    """The listener for reports by HTTPS POST (RFC 8460, section 3). Without `tls` it speaks HTTP, for a proxy."""

    listen: Listen | None = Listen(host="127.0.0.1", port=8460)
    public_url: PublicUrl | None = None  # how senders reach it
    # What comes from there names its client in X-Forwarded-For.
    proxies: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1"))
    tls: TlsFiles | None = None
    body_size: ByteSize = Field(default=50 * MIB, ge=1)
    requests: int = Field(default=200, ge=1)  # at the same time
    timeout: Wait = timedelta(seconds=60)


class Authentication(Section):
    """Authentication. RFC 8460, section 3: a mailed report without a valid DKIM signature must be ignored."""

    nameservers: tuple[Nameserver, ...] = ()  # IP or IP@port; the system's resolver if empty
    dns_timeout: Wait = timedelta(seconds=5)
    dns_give_up: Duration = timedelta(days=2)  # after that an unanswered key lookup means quarantine
    # Domains whose DMARC reports are accepted by their From field alone. Anybody can write one, so they are stored and
    # shown, and count in no alert.
    accepted_authors: tuple[DomainName, ...] = ()


class Spool(Section):
    """The durable queue. Sources answer "try again later" while the disk has less than `keep_free`.

    Beyond a size here the sender that takes most makes room: collector/spool/shares.py.
    """

    keep_free: ByteSize = 256 * MIB
    held_size: ByteSize = 1024 * MIB  # quarantine takes at most this, what was rejected as much again
    held_for: Duration = timedelta(days=90)
    deferred_size: ByteSize = 128 * MIB  # mail whose DKIM key DNS does not give; some 20,000 reports


class SourceNames(Section):
    """Names of addresses that send mail in our name, and that no service of the catalogue is known by."""

    reverse_dns: bool = False  # ask DNS (authentication.nameservers) for the names of addresses
    networks: Path | None = None  # an MMDB file of autonomous systems: names for what has no reverse name

    @property
    def enabled(self) -> bool:
        """Whether anything is looked up."""
        return self.reverse_dns or self.networks is not None


class ClickHouse(Section):
    """Where rows go: embedded (no `url`), or a server."""

    url: ServerUrl | None = None
    http: Listen = Listen(host="127.0.0.1", port=18123)  # embedded: where SQL over HTTP listens
    native: Listen = Listen(host="127.0.0.1", port=19000)  # embedded: the native protocol
    database: DatabaseName = "mailposture"  # of the views, which queries name; see `tables_database`
    collector_user: str = "mailposture_collector"
    exporter_user: str = "mailposture_exporter"
    analyst_user: str = "mailposture_analyst"
    grafana_user: str = "mailposture_grafana"
    passwords: Path | None = None  # server: a folder with one file per user, named as the user; embedded makes its own
    certificate_authority: Path | None = None
    cluster: ClusterName | None = None
    # Twenty years: a row takes some fifteen bytes. Reports about older days are rejected; 0 days would delete all.
    retention: Duration = Field(default=timedelta(days=7300), ge=timedelta(days=1))

    @property
    def tables_database(self) -> str:
        """The database of the tables that the views read."""
        return f"{self.database}_tables"


class Metrics(Section):
    """Where Prometheus scrapes."""

    collector: Listen = Listen(host="127.0.0.1", port=9465)
    exporter: Listen = Listen(host="127.0.0.1", port=9466)
    refresh: Wait = timedelta(seconds=60)  # how old the reported metrics may be


class PolicyHost(Section):
    """The MTA-STS sidecar (RFC 8461)."""

    listen: Listen = Listen(host="127.0.0.1", port=8461)
    hostname: DomainName | None = None  # what `mta-sts.<domain>` points to, for the records to publish
    tls: tuple[TlsFiles, ...] = ()  # chosen by SNI; without any it speaks HTTP, for Caddy in front
    metrics: Listen = Listen(host="127.0.0.1", port=9467)


class Probes(Section):
    """The outside view: what senders would see."""

    enabled: bool = True
    interval: Duration = Field(default=timedelta(minutes=15), ge=timedelta(minutes=1))  # servers count connections
    timeout: Duration = Field(default=timedelta(seconds=20), ge=timedelta(seconds=1))
    concurrency: int = Field(default=20, ge=1)
    nameservers: tuple[Nameserver, ...] = ()
    hostname: DomainName | None = None  # what the probe says in EHLO
    certificate_authority: Path | None = None  # instead of the system's roots


def _distinct_domains(domains: tuple[Domain, ...]) -> tuple[Domain, ...]:
    if not domains:
        raise ValueError("names no domain; add one, as in `- name: example.com`")
    seen = set[str]()
    for domain in domains:
        if domain.name in seen:
            raise ValueError(f"domain {domain.name} is listed twice; join the two entries")
        seen.add(domain.name)
    tokens = [domain.token for domain in domains if domain.token]
    if len(tokens) != len(set(tokens)):
        raise ValueError("two domains share a token; every domain needs its own, else reports reach the wrong one")
    return domains


class Config(Section):
    """The whole file."""

    domains: Annotated[tuple[Domain, ...], AfterValidator(_distinct_domains)]
    recipients: tuple[
        MailAddress, ...
    ] = ()  # that reports are mailed to; if empty dmarc@<each domain>, tlsrpt@<each that is not parked>
    data: Path = Path("data")
    smtp: Smtp = Smtp()
    https: Https = Https()
    imap: tuple[ImapMailbox, ...] = ()
    graph: tuple[GraphMailbox, ...] = ()
    maildir: tuple[Maildir, ...] = ()
    authentication: Authentication = Authentication()
    spool: Spool = Spool()
    source_names: SourceNames = SourceNames()
    clickhouse: ClickHouse = ClickHouse()
    metrics: Metrics = Metrics()
    policy_host: PolicyHost = PolicyHost()
    probes: Probes = Probes()

    @model_validator(mode="after")
    def _listeners_have_addresses_of_their_own(self) -> Self:
        """As far as they are on one machine: the exporter and the policy host may be on others."""
        engine = {} if self.clickhouse.url else {"http": self.clickhouse.http, "native": self.clickhouse.native}
        here = {
            "smtp.listen": self.smtp.listen,
            "smtp.lmtp": self.smtp.lmtp,
            "https.listen": self.https.listen,
            "metrics.collector": self.metrics.collector,
            **{f"clickhouse.{name}": listen for name, listen in engine.items()},
        }
        if engine:
            here["metrics.exporter"] = self.metrics.exporter
        policy_host = {"policy_host.listen": self.policy_host.listen, "policy_host.metrics": self.policy_host.metrics}
        for machine in (here, policy_host):
            for (key, one), (other_key, other) in combinations(machine.items(), 2):
                if one and other and one.collides_with(other):
                    raise ValueError(f"{key} and {other_key} both listen on port {one.port}; give one another port")
        return self

    @model_validator(mode="after")
    def _reads_each_mailbox_once(self) -> Self:
        """Two readers of one mailbox would each remember what it has read in the place of the other."""
        names = [each.name for each in self._mailboxes]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the mailbox {name} is listed twice; take one out, or give it another folder")
        return self

    @property
    def _mailboxes(self) -> tuple[ImapMailbox | GraphMailbox | Maildir, ...]:
        return (*self.imap, *self.graph, *self.maildir)

    def own_addresses(self) -> tuple[str, ...]:
        """The addresses to publish, in lower case; empty if they are `tlsrpt` and `dmarc` of each domain.

        Those of mailboxes, unless `recipients` lists others: a listener has addresses by default too, but mail reaches
        it only if some mail server hands it over.
        """
        mailboxes = [each.report_address for each in self._mailboxes]
        addresses = self.recipients or filter(None, mailboxes)
        return tuple(dict.fromkeys(address.lower() for address in addresses))

    def report_addresses(self) -> frozenset[str]:
        """All addresses that reports reach us at, in lower case."""
        listens = self.smtp.listen is not None or self.smtp.lmtp is not None
        mailboxes = {each.report_address.lower() for each in self._mailboxes} - {""}
        taken = self.accepted_recipients() if listens or self.recipients or not mailboxes else frozenset()
        return taken | mailboxes

    def accepted_recipients(self) -> frozenset[str]:
        """The addresses that the SMTP and LMTP listeners accept, in lower case."""
        if self.recipients:
            return frozenset(address.lower() for address in self.recipients)
        # No mail is sent to parked domains, but anybody may send some in their name, which DMARC reports are about.
        tls = {f"tlsrpt@{domain.name}" for domain in self.domains if not domain.parked}
        return frozenset(tls | {f"dmarc@{domain.name}" for domain in self.domains})
