"""Mail whose signature does not fit any more, since its mailbox's server has rebuilt it: what that server verified.

Exchange and Outlook.com take mails apart and write them again, so that no body hash fits what a mailbox hands out. When
the mail arrived, the server verified DKIM and wrote so into Authentication-Results. Where an operator names the server,
it is believed: `dkim=pass` with that domain in the uppermost field of that name; others may have written what is below
(RFC 8601, section 5). Where another server wrote of DKIM above it, the mail was moved here from there.

The signature itself is still there. It must be aligned, as any (alignment.py), and it says which fields were signed:
the body is read by no others, and what the report is about is taken from the body alone. How the parts were divided
when Content-Type was not signed, is the server's word too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector import authentication_results
from collector.alignment import aligned_with_author
from collector.dkim import canonical, signature
from collector.dkim.canonical import UnreadableError
from collector.dkim.signature import BadSignatureError
from collector.dkim.verifier import MOST_SIGNATURES, DkimResult, Outcome, Proof, proof_of
from reports.limits import NAME_LENGTH
from reports.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.authentication_results import AuthenticationResults
    from collector.dkim.canonical import Mail
    from collector.dkim.signature import Signature
    from reports.envelope import Envelope

_FIELD = b"authentication-results"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerVerdict:
    """What the server of a mailbox says about a mail."""

    proof: Proof | None = None
    detail: str = ""  # in words


def server_verdict(message: bytes, authserv_id: str) -> ServerVerdict:
    """By the uppermost field of that authserv-id; an empty one is that of a field without."""
    wanted = authserv_id.lower()
    server = authserv_id or "a server without a name"
    mail = _read(message)
    said = None
    for each in _fields(mail):
        if each.authserv_id == wanted:
            said = each
            break
        if any(result.method == "dkim" for result in each.results):  # it came from there, and not from outside
            other = clean(each.authserv_id, NAME_LENGTH) or "a server without a name"
            return ServerVerdict(detail=f"{other} has written of DKIM above what {server} may have written")
    if mail is None or said is None:
        return ServerVerdict(detail=f"no Authentication-Results of {server}")
    verified = _verified(mail, said)
    if verified is None:
        return ServerVerdict(
            detail=f"Authentication-Results of {server} has no dkim=pass of the author's organization, or of one of "
            "several signatures"
        )
    return ServerVerdict(proof=verified)


def server_says(envelope: Envelope, message: bytes, dkim: DkimResult | None) -> ServerVerdict | None:
    """What counts of what a mailbox's server says, where no signature proves anything; None where it says nothing."""
    if dkim is None or dkim.proofs or not envelope.source.is_mailbox:
        return None
    if envelope.authserv_id is not None:
        return server_verdict(message, envelope.authserv_id)
    hint = _hint(message) if dkim.outcome is Outcome.FAIL else ""
    return ServerVerdict(detail=hint) if hint else None


def _hint(message: bytes) -> str:
    """Why the signature of a mail may not fit, if the uppermost Authentication-Results says that it did; or empty."""
    mail = _read(message)
    said = next(_fields(mail), None)
    if mail is None or said is None or _verified(mail, said) is None:
        return ""
    server = clean(said.authserv_id, NAME_LENGTH)
    return (
        "its uppermost Authentication-Results says dkim=pass, so the mailbox's server has probably rebuilt it since, "
        f"as Exchange does. If {server or 'nothing'} is the name that your server writes there, then "
        f"`authserv_id: {server or chr(34) * 2}` at the mailbox accepts such mail (docs/mailboxes.md)"
    )


def _read(message: bytes) -> Mail | None:
    """None where its fields cannot be read."""
    try:
        return canonical.read(message)
    except UnreadableError:
        return None


def _fields(mail: Mail | None) -> Iterator[AuthenticationResults]:
    """From the top; up to the first that cannot be read, for that may be the server's own."""
    for value in mail.values(_FIELD) if mail is not None else ():
        field = authentication_results.read(value)
        if field is None:
            return
        yield field


def _verified(mail: Mail, said: AuthenticationResults) -> Proof | None:
    """What the signature proves that the server has verified, if it is aligned, and if only one can be meant.

    Any other may be a forger's beside a true one that we do not read: he would choose what was signed.
    """
    passed = [each.properties for each in said.results if (each.method, each.result) == ("dkim", "pass")]
    spellings = mail.fields.get(b"dkim-signature", ())
    if len(spellings) > MOST_SIGNATURES:
        return None
    found: list[Signature] = []
    for spelling in spellings:
        try:
            each = signature.read(spelling)
        except BadSignatureError as error:
            if any(_may_be_of(error.domain, properties) for properties in passed):
                return None
            continue
        if any(_is_named(each, properties) for properties in passed):
            found.append(each)
    if len(found) != 1 or not aligned_with_author(found[0], mail):
        return None
    return proof_of(found[0], mail, signature.signed_header(found[0], mail))


def _is_named(each: Signature, properties: dict[str, str]) -> bool:
    """Whether a result is about a signature: by `header.d`, or `header.i` without it, and `header.s` if it is there."""
    return _may_be_of(each.domain, properties) and properties.get("header.s", each.selector) == each.selector


def _may_be_of(domain: str, properties: dict[str, str]) -> bool:
    """Whether a result may be about a signature of a domain; an unreadable one is of the domain "", of any."""
    named = properties.get("header.d") or properties.get("header.i", "").rpartition("@")[2]
    return bool(named) and (domain in ("", named) or ("header.d" not in properties and named.endswith(f".{domain}")))
