"""How single values of the configuration are written: names, addresses, durations, sizes."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mailposture.domain_names import mail_domain, normalize_typed, normalize_typed_pattern


def _domain_name(value: str) -> str:
    name = normalize_typed(value)
    if name is None:
        raise ValueError(f"{value!r} is not a domain name")
    return name


def _mx_pattern(value: str) -> str:
    pattern = normalize_typed_pattern(value)
    if pattern is None or pattern.rpartition(".")[2].isdigit():  # an MX record names a host: RFC 5321, section 5.1
        raise ValueError(f"{value!r} is neither a host name nor a pattern such as *.example.com")
    return pattern


def _mail_address(value: str) -> str:
    local, _, domain = value.rpartition("@")
    name = normalize_typed(domain)
    if name is None or not local.isprintable() or re.search(r"^$|^mailto:|[\s<>,]", local, re.IGNORECASE):
        raise ValueError(f"{value!r} is not an address such as tlsrpt@example.com")
    return f"{local}@{name}"


def as_mail_address(value: str) -> str:
    """What is a mail address, as such addresses are written; empty for what is none."""
    try:
        return _mail_address(value)
    except ValueError:
        return ""


_DURATION = re.compile(r"([0-9]{1,7})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36525)  # a hundred years: dates that far away can still be written


def _duration(value: object) -> object:
    """Read `90s`, `15m`, `6h`, `3d`, `2w`; a number without unit could mean anything."""
    if isinstance(value, timedelta):
        return value
    written = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        raise ValueError(f"{value!r} is not a duration such as 90s, 15m, 6h, 3d or 2w")
    return timedelta(**{_UNITS[written[2]]: int(written[1])})


_SIZE = re.compile(r"([0-9]{1,9})([kmg]?)", re.IGNORECASE)
_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def _size(value: object) -> object:
    """Read `64k`, `50m`, `2g` as bytes; a bare number is bytes."""
    if type(value) is int:  # not a bool, which is one
        return value
    written = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        raise ValueError(f"{value!r} is not a size such as 64k, 50m or 2g")
    return int(written[1]) * _SIZES[written[2].lower()]


def _nameserver(value: str) -> str:
    address, at, port = value.partition("@")
    try:
        ip_address(address)
    except ValueError as error:
        raise ValueError(f"{value!r} is not IP or IP@port, for example 192.0.2.53") from error
    if at and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{value!r} has no usable port after the @")
    return value


def _network(value: object) -> object:
    """Read `10.0.0.0/8`, `2001:db8::/32`, or a single address."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        return ip_network(value) if isinstance(value, str) else ip_network("")
    except ValueError as error:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8{_near(value)}") from error


def _near(value: object) -> str:
    """The network that an address with a prefix is in, where somebody wrote that."""
    try:
        return f"; did you mean {ip_interface(value).network}?" if isinstance(value, str) else ""
    except ValueError:
        return ""


_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]*:[^\[\]]*)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,9})")


def host_and_port(text: object) -> tuple[str, int]:
    """Read `host:port` or `[v6]:port`. Raises ValueError."""
    written = _HOST_AND_PORT.fullmatch(text) if isinstance(text, str) else None
    if written is None or not _is_host(written["v6"] or written["host"]):
        raise ValueError(f"{text!r} is not host:port, for example 0.0.0.0:25 or [::]:25")
    return written["v6"] or written["host"], int(written["port"])


def _is_host(text: str) -> bool:
    """Whether it is an address or a name; a name that ends in a number would be an address gone wrong."""
    name = normalize_typed(text)
    if name is not None and not name.rpartition(".")[2].isdigit():
        return True
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _tls(value: object) -> object:
    if isinstance(value, bool) or value == "starttls":
        return value
    raise ValueError("must be true (TLS from the start), starttls, or false")


def is_this_machine(host: str) -> bool:
    """Whether what is sent there leaves this machine, as far as the name shows."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold() in {"localhost", "localhost."}


def _matching(pattern: str, meaning: str) -> AfterValidator:
    """A check of text that says what must be written; the text itself is not repeated, it may be a secret."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"must be {meaning}")
        return value

    return AfterValidator(check)


DomainName = Annotated[str, AfterValidator(_domain_name)]
MailDomain = Annotated[str, AfterValidator(mail_domain)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
MxPattern = Annotated[str, AfterValidator(_mx_pattern)]
Nameserver = Annotated[str, AfterValidator(_nameserver)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(), le=_LONGEST)]
Wait = Annotated[timedelta, BeforeValidator(_duration), Field(gt=timedelta(), le=_LONGEST)]
ByteSize = Annotated[int, BeforeValidator(_size), Field(ge=0)]
Label = Annotated[str, _matching(r"\S(?:[^\x00-\x1f\x7f]{0,62}\S)?", "a name of at most 64 characters")]
Team = Annotated[str, _matching(r"[A-Za-z0-9_.-]{1,64}", "at most 64 letters, digits, dots, hyphens and underscores")]
Token = Annotated[str, _matching(r"[A-Za-z0-9_-]{16,128}", "16 to 128 letters, digits, hyphens and underscores")]
ServerUrl = Annotated[str, _matching(r"https?://[^/]+", "http(s)://host:port, with nothing behind it")]
AuthservId = Annotated[
    str, _matching(r"[^\s;=()\x22]{0,255}", "the name that a server writes, without what follows it")
]
HttpsUrl = Annotated[str, _matching(r"https://[^/\s]+(/\S*)?", "an address that begins with https://")]
MailTls = Annotated[bool | Literal["starttls"], BeforeValidator(_tls)]
WebUrl = Annotated[str, _matching(r"https?://[^/\s]+(/[^\s?#]*)?", "an address that begins with http:// or https://")]
PublicUrl = Annotated[str, _matching(r"https://[^/]+", "https://host, with nothing behind it")]
DatabaseName = Annotated[str, _matching(r"[a-z_][a-z0-9_]{0,63}", "at most 64 small letters, digits and underscores")]
ClusterName = Annotated[str, _matching(r"[A-Za-z0-9_-]{1,64}", "at most 64 letters, digits, hyphens and underscores")]
Cause = Annotated[str, _matching(r"[a-z][a-z0-9-]{0,63}", "a cause, as `mailposture explain` lists them")]
