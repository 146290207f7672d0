"""The words for piles and reasons of DMARC: what it means, what to do next. Views, `explain` and dashboards use these.

Written for a domain owner who has not read the RFCs. Every text stands alone. `example.com` stands for the domain in
From; commands stand in backticks.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from mailposture.clickhouse.reference import ReferenceTable, add_rows, known_rows

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.clickhouse.reference import Row
    from mailposture.config.model import Config


class Kind(StrEnum):
    """What a term is."""

    PILE = "pile"
    REASON = "reason"


class Meaning(NamedTuple):
    """What a term of the view dmarc_sources_daily means."""

    term: str
    kind: Kind
    title: str
    explanation: str
    action: str


_NAME_IT = (
    "If you know the source, name it under `senders:` of the domain in the configuration: its mail then counts as "
    "yours, and what is wrong with it is shown."
)

_PILES: Final = (
    Meaning(
        "aligned",
        Kind.PILE,
        "Mail of yours that authenticates",
        "SPF or DKIM passes for the domain in From: every receiver can see that the mail is yours. From a sender of "
        "yours DKIM alone is enough.",
        "Nothing. A source that only SPF aligns loses its alignment when somebody forwards its mail: have it sign with "
        "DKIM too.",
    ),
    Meaning(
        "ours-failing",
        Kind.PILE,
        "Mail of yours that does not authenticate",
        "It comes from a sender of yours, and neither SPF nor DKIM passes for the domain in From. Receivers put it "
        "into the spam folder or refuse it, as your policy says, and cannot distinguish it from a forgery. The column "
        "`evidence` says why it is taken for yours.",
        "The reason beside the source says what is wrong: `mailposture explain REASON`. Fix it before you make the "
        "policy stricter.",
    ),
    Meaning(
        "forwarded",
        Kind.PILE,
        "Mail of yours that somebody passed on",
        "A mailing list, or a mailbox that forwards, sent it on. SPF cannot pass then, because the address is theirs; "
        "DKIM still does unless they change the message. Where it fails, the receiver said that it knows the "
        "forwarder.",
        "Nothing can be fixed at the source. Sign everything with DKIM: then most forwarded mail passes. Mail to "
        "mailing lists may be refused under p=reject; if your users write to lists, stay at quarantine. If the source "
        "is yours, name it under `senders:` of the domain in the configuration.",
    ),
    Meaning(
        "unknown",
        Kind.PILE,
        "Nobody knows whose mail it is: perhaps forged",
        "It has your domain in From, and neither SPF nor DKIM passes, nor does anything show that it is from you. Most "
        "of it is forged; some may be from a server or service that somebody of yours uses without your knowing. "
        "Of a parked domain, which sends none, it is all mail, even what passes. "
        "`possibly_ours` marks a service that authenticates as itself: anybody, a phisher too, can have an account "
        "there.",
        "Look at sources that come back on many days and that several receivers report; forgeries change their "
        f"addresses. {_NAME_IT} If it is forged, nothing is to be done: that is what a policy of quarantine or reject "
        "is for.",
    ),
)

_REASONS: Final = (
    Meaning(
        "dkim-other-domain",
        Kind.REASON,
        "It is signed, but for another domain",
        "The message has a valid DKIM signature of the service that sent it (d=service.example), not of the domain in "
        "From. For DMARC that proves nothing about you.",
        "Authenticate your domain in the settings of the service: it shows CNAME or TXT records; publish them, and it "
        "signs as you. `mailposture explain SERVICE` says where that is in services of the catalogue.",
    ),
    Meaning(
        "spf-other-domain",
        Kind.REASON,
        "SPF passes, but for another domain",
        "MAIL FROM (the return path) is of another domain, often the service's own, and no DKIM signature of yours is "
        "there. SPF then says nothing about the domain in From.",
        "Have the sender sign with DKIM as your domain; that also survives forwarding. Or set its return path to a "
        "subdomain of yours, such as bounce.example.com, with the MX and SPF records that it asks for.",
    ),
    Meaning(
        "dkim-key-missing",
        Kind.REASON,
        "The DKIM key is not in DNS",
        "The message is signed as your domain, and receivers find no usable key at the selector that the signature "
        "names: it was never published, was removed too early, or is broken.",
        "Look whether it is there: `dig +short TXT SELECTOR._domainkey.example.com` (the selector is in "
        "`dkim_selectors` of the view dmarc_record_details). Publish the key again, and leave an old key there for a "
        "week after a change of keys: mail that waits in queues is still signed with it.",
    ),
    Meaning(
        "dkim-broken",
        Kind.REASON,
        "The DKIM signature does not verify",
        "The message is signed as your domain, and receivers cannot verify it: something changed the message after it "
        "was signed (a footer, a virus scanner, a gateway), or the key in DNS is not the one that signs.",
        "If everything of the source fails, compare the key in DNS with the signer's. If part of it fails, sign last: "
        "after every program that changes messages, on the server that talks to the world.",
    ),
    Meaning(
        "dkim-temperror",
        Kind.REASON,
        "The DKIM key could not be looked up just then",
        "The receiver got no answer from DNS when it looked for the key. If it happens often, your nameservers answer "
        "too slowly or not from everywhere.",
        "Now and then that is harmless. Otherwise ask every nameserver of your domain for the key: `dig +short NS "
        "example.com`, then `dig TXT SELECTOR._domainkey.example.com @NAMESERVER`.",
    ),
    Meaning(
        "not-aligned",
        Kind.REASON,
        "It passes for a name of yours, but not for the one in From",
        "SPF or DKIM passes for your domain or a name below it, and the receiver says that this is not aligned with "
        "From. With adkim=s or aspf=s the names must be the same.",
        "Look at adkim and aspf in your DMARC record: without them (relaxed) a subdomain is aligned. Or have the "
        "sender sign with exactly the domain in From.",
    ),
    Meaning(
        "spf-not-listed",
        Kind.REASON,
        "The address is not in your SPF record, and nothing is signed",
        "MAIL FROM is of your domain, and your SPF record does not allow the address that the mail came from. No DKIM "
        "signature of yours makes up for it.",
        "If the address sends for you, sign with DKIM there, and add the address, or the include of its service, to "
        f"the SPF record. {_NAME_IT}",
    ),
    Meaning(
        "spf-permerror",
        Kind.REASON,
        "Your SPF record cannot be evaluated",
        "Receivers end with an error when they follow your SPF record: more than ten lookups, two records, or a typing "
        "error. SPF then passes for nobody.",
        "`mailposture check example.com` says what is wrong with the record. Take out includes of services that you no "
        "longer use.",
    ),
    Meaning(
        "spf-temperror",
        Kind.REASON,
        "SPF could not be looked up just then",
        "The receiver got no answer from DNS when it followed your SPF record.",
        "Now and then that is harmless. Otherwise look at the nameservers of your domain and of those that the record "
        "includes.",
    ),
    Meaning(
        "not-authenticated",
        Kind.REASON,
        "Nothing authenticates it",
        "No SPF result for your domain and no DKIM signature that verifies: as a server sends that was never set up "
        "for either, or a forger.",
        f"If it is a server of yours, sign with DKIM there and add it to your SPF record. {_NAME_IT}",
    ),
    Meaning(
        "no-verdict",
        Kind.REASON,
        "The report does not say whether it passed",
        "The receiver reports the messages, and neither that they passed DMARC nor that they failed. They are counted, "
        "and are evidence of nothing: no alert and no verdict about your policy rests on them.",
        "Nothing. What other receivers report of the same source says how its mail fares.",
    ),
    Meaning(
        "changed-on-the-way",
        Kind.REASON,
        "It was changed on the way",
        "A mailing list or a forwarder changed the message, so that its DKIM signature no longer verifies; SPF cannot "
        "pass from there. The receiver knew the forwarder and said so.",
        "Nothing at your side, if everything you send is signed. Lists that rewrite From, or add ARC that the receiver "
        "trusts, get through. Consider it before p=reject.",
    ),
)

ALL: Final = (*_PILES, *_REASONS)
MEANINGS: Final = {meaning.term: meaning for meaning in ALL}

_WORDS: Final = ReferenceTable("dmarc_words", Meaning._fields)


def write_meanings(client: Client, config: Config) -> None:
    """Make the table say what is said here."""
    wanted: set[Row] = {(term, kind.value, *words) for term, kind, *words in ALL}
    add_rows(client, config, _WORDS, wanted - known_rows(client, config, _WORDS))
