"""What the reasons of DNS records mean, for `mailposture explain`: those that reports have no word for.

Written for a domain owner who has not read the RFCs. Commands stand in backticks; `example.com` stands for the domain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mailposture.checks.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping


class Words(NamedTuple):
    """What a reason means, and what to do."""

    title: str
    explanation: str
    action: str


_CHECK: Final = "`mailposture check example.com` names the record and prints the line to publish."

WORDS: Final[Mapping[str, Words]] = {
    Reason.NO_RECORD: Words(
        "A DNS record is missing",
        "The record is not published, so others do without what it says: no reports are sent, no policy applies, or, "
        "for a DKIM key (`dkim`), what is signed with it fails. Of `dmarc-authorization`: no DMARC reports go to your "
        "address, because its domain does not say that it takes reports about this one (RFC 9990, section 4).",
        f"Publish it. {_CHECK}",
    ),
    Reason.RECORD_INVALID: Words(
        "A DNS record cannot be used",
        "It has a fault for which others ignore the record, or the part of it that matters.",
        f"Correct it. {_CHECK}",
    ),
    Reason.SEVERAL_RECORDS: Words(
        "Several DNS records where one may be",
        "Of several SPF or DMARC records at one name receivers use none; of several DKIM keys they take any.",
        "Leave exactly one; join what they say.",
    ),
    Reason.REPORTS_GO_ELSEWHERE: Words(
        "Reports go elsewhere",
        "The record asks for reports, but names no address that this mailposture takes reports at.",
        f"Add our address beside the others: `mailposture records example.com` prints the record. {_CHECK}",
    ),
    Reason.NO_REPORT_ADDRESS: Words(
        "Nobody is asked for DMARC reports",
        "The DMARC record has no `rua`, so receivers do not say who sends mail in the name of the domain.",
        "Publish the record that `mailposture records example.com` prints: it keeps the policy and adds the address.",
    ),
    Reason.EVERYBODY_MAY_SEND: Words(
        "SPF lets everybody send",
        "The record, or one that it includes, ends with `+all` or matches every address: SPF passes for any forgery, "
        "and with it DMARC.",
        "End it with `-all`, and name the servers that send. Where an included record does it, take the include out.",
    ),
    Reason.TOO_MANY_LOOKUPS: Words(
        "SPF needs more than ten look-ups in DNS",
        "Receivers give up after ten (RFC 7208, section 4.6.4) and treat SPF as an error. Each `include`, `a`, `mx`, "
        "`ptr`, `exists` and `redirect` counts, also those inside of what is included.",
        "Take out services that no longer send for you. Let others send from a subdomain of their own, which has its "
        "own record and its own ten.",
    ),
    Reason.TOO_MANY_VOID_LOOKUPS: Words(
        "SPF asks for names that are not there",
        "After more than two look-ups without an answer receivers treat SPF as an error (RFC 7208, section 4.6.4).",
        "Take out what refers to hosts or services that are gone.",
    ),
    Reason.KEY_REVOKED: Words(
        "A DKIM key that is in use was revoked",
        "The record of the key has an empty `p=`, though reports show mail that is signed with it: that mail fails "
        "DKIM.",
        "Publish the key again, and revoke it a week after the last mail was signed with it.",
    ),
    Reason.KEY_IN_TEST: Words(
        "A DKIM key is marked as a test",
        "Its record has `t=y`: receivers treat what it signs as unsigned (RFC 6376, section 3.6.1).",
        "Take `t=y` out of the record.",
    ),
    Reason.KEY_TOO_SHORT: Words(
        "A DKIM key is too short",
        "Receivers refuse RSA keys below 1,024 bits (RFC 8301), since anybody can break them.",
        "Sign with a key of 2,048 bits under a new selector, and take the old record out a week later.",
    ),
    Reason.PARKED_BUT_RECEIVES: Words(
        "A parked domain still takes mail",
        "The configuration says that the domain takes no mail, and its MX records lead somewhere; or it has none, and "
        "senders try its address. Of `subdomains`: a wildcard leads every name below it to a server.",
        f"Publish a null MX (`MX 0 .`), or take `parked: true` out of the configuration. {_CHECK}",
    ),
    Reason.PARKED_BUT_SENDS: Words(
        "A parked domain lets others send",
        "The domain sends no mail, but its SPF record does not say so: mail of whom it lets send passes DMARC.",
        f"Publish `v=spf1 -all`. {_CHECK}",
    ),
    Reason.PARKED_BUT_NOT_REJECTED: Words(
        "Forgeries of a parked domain are not rejected",
        "The domain sends no mail, so all that is sent in its name is forged; its DMARC policy does not say `reject`, "
        "or not for all of it: `sp` and `np` are for the names below, `t=y` weakens the policy by one step.",
        f"Publish `p=reject; sp=reject`. {_CHECK}",
    ),
    Reason.PARKED_BUT_SIGNS: Words(
        "A DKIM key of a parked domain works",
        "The domain sends no mail, but a key is published: whoever has the other half signs mail that passes DKIM, and "
        "so DMARC, as the domain.",
        'Take the key out, and publish the empty one for all names: `*._domainkey.example.com TXT "v=DKIM1; p="`.',
    ),
    Reason.PARKED_BUT_HAS_POLICY: Words(
        "A parked domain announces an MTA-STS policy",
        "The domain takes no mail, and a record at `_mta-sts` still says that there is a policy for how to deliver "
        "some. Nothing is open: it is left over.",
        "Take the record out, and the policy host with it.",
    ),
    Reason.NOT_MARKED_AS_PARKED: Words(
        "The records say parked, the configuration does not",
        "The domain has a null MX and `v=spf1 -all`: it takes and sends no mail. Its configuration expects reports and "
        "mail servers all the same, and does not take what is sent in its name for abuse.",
        "Write `parked: true` into its configuration (docs/parked.md), or publish MX and SPF records for its mail.",
    ),
    Reason.NULL_MX: Words(
        "The domain says that it takes no mail",
        "It has a null MX (RFC 7505), and the configuration expects mail: senders return it at once.",
        "Publish MX records, or write `parked: true` into the configuration.",
    ),
    Reason.MX_UNUSABLE: Words(
        "An MX record leads nowhere",
        "It names an alias, an address or a host without address, so some senders cannot deliver.",
        "Let each MX record name a host that has A or AAAA records of its own.",
    ),
    Reason.ID_DIFFERS: Words(
        "The id of the MTA-STS record is not that of the policy",
        "Senders that keep a copy look for a new policy only when the id changes.",
        "`mailposture policy example.com` says the next step.",
    ),
    Reason.ANSWER_MALFORMED: Words(
        "An answer of DNS cannot be read",
        "A nameserver answers, but with something that is no such record: cut off, of a wrong length, or in a circle.",
        "Correct what the zone has there; `mailposture check example.com` says what cannot be read.",
    ),
    Reason.DNS_ERROR: Words(
        "DNS does not answer",
        "No nameserver of the domain answered our probe, which says nothing about the record itself.",
        "See whether the nameservers answer from outside; else give the exporter another resolver "
        "(`probes.nameservers`).",
    ),
}
