"""What the configuration file may say, with defaults that work. Reading it: file.py."""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, model_validator

from mailposture.config.digest import Digest
from mailposture.config.domains import Domain
from mailposture.config.mailboxes import GraphMailbox, ImapMailbox, Maildir
from mailposture.config.section import Section
from mailposture.config.values import (
    ByteSize,
    ClusterName,
    DatabaseName,
    DomainName,
    Duration,
    MailAddress,
    Nameserver,
    Network,
    PublicUrl,
    ServerUrl,
    Wait,
    host_and_port,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1024 * 1024


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


_LOCAL_PARTS: Final = ("dmarc", "tlsrpt")  # of the addresses of each domain


class Config(Section):
    """The whole file."""

    domains: Annotated[tuple[Domain, ...], AfterValidator(_distinct_domains)]
    recipients: tuple[MailAddress, ...] = ()  # that reports are mailed to; if empty dmarc@ and tlsrpt@<each domain>
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
    digest: Digest | None = None  # without it none is mailed; `mailposture digest` prints it all the same

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
    def _sends_digests_to_teams_that_there_are(self) -> Self:
        known = {domain.team for domain in self.domains}
        for team in self.digest.teams if self.digest else ():
            if team not in known:
                teams = ", ".join(sorted(known))
                raise ValueError(f"digest.teams names {team}, and no domain is of that team; the teams are {teams}")
        return self

    @model_validator(mode="after")
    def _reads_each_mailbox_once(self) -> Self:
        """Two readers of one mailbox would each remember what it has read in the place of the other."""
        names = [each.name for each in self._mailboxes]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the mailbox {name} is listed twice; take one out, or give it another folder")
        return self

    @model_validator(mode="after")
    def _reports_about_parked_domains_arrive_somewhere(self) -> Self:
        parked = next((domain.name for domain in self.domains if domain.parked), None)
        if parked is not None and not self.addresses_for_parked:
            raise ValueError(
                f"{parked} is parked, so it takes no mail, and no address of a domain that does takes the reports "
                "about it; add a domain that takes mail to `domains`, or name an address of one under `recipients`"
            )
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy that works out again what follows from its values."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @cached_property
    def by_name(self) -> Mapping[str, Domain]:
        """The domains, of which there may be thousands."""
        return {domain.name: domain for domain in self.domains}

    def domain_around(self, host: str) -> Domain | None:
        """The innermost domain of ours that a host is in."""
        labels = host.split(".")
        names = (".".join(labels[start:]) for start in range(len(labels)))
        return next((self.by_name[name] for name in names if name in self.by_name), None)

    def takes_mail(self, host: str) -> bool:
        """Whether mail may be sent there, as far as is known: not to a parked domain, nor below one."""
        around = self.domain_around(host)
        return around is None or not around.parked

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

    @cached_property
    def addresses_for_parked(self) -> tuple[str, ...]:
        """The addresses to publish for domains that take no mail; empty if there is none."""
        own = self.own_addresses()
        receiving = next((domain.name for domain in self.domains if not domain.parked), None)
        addresses = own or ((f"dmarc@{receiving}",) if receiving else ())
        return tuple(address for address in addresses if self.takes_mail(address.rpartition("@")[2]))

    def reaches_us(self, address: str) -> bool:
        """Whether reports that are mailed to an address, in lower case, reach us."""
        local, _, host = address.rpartition("@")
        if not self.takes_mail(host):
            return False
        mailboxes = {each.report_address.lower() for each in self._mailboxes} - {""}
        if address in mailboxes:
            return True
        if self.recipients:
            return address in self.own_addresses()
        listens = self.smtp.listen is not None or self.smtp.lmtp is not None
        return (listens or not mailboxes) and local in _LOCAL_PARTS and host in self.by_name

    def accepted_recipients(self) -> frozenset[str]:
        """The addresses that the SMTP and LMTP listeners accept, in lower case.

        Those of parked domains too: a report that comes there in spite of all shows that it takes mail.
        """
        if self.recipients:
            return frozenset(address.lower() for address in self.recipients)
        return frozenset(f"{local}@{domain.name}" for domain in self.domains for local in _LOCAL_PARTS)
