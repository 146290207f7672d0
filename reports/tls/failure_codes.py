"""Numbers that senders put into reason codes, and their names."""

from __future__ import annotations

from typing import Final

# RFC 8914, section 4, and the IANA registry of extended DNS errors.
EXTENDED_DNS_ERRORS: Final[dict[int, str]] = {
    0: "other error",
    1: "unsupported DNSKEY algorithm",
    2: "unsupported DS digest type",
    3: "stale answer",
    4: "forged answer",
    5: "DNSSEC indeterminate",
    6: "DNSSEC bogus",
    7: "signature expired",
    8: "signature not yet valid",
    9: "DNSKEY missing",
    10: "RRSIGs missing",
    11: "no zone key bit set",
    12: "NSEC missing",
    13: "cached error",
    14: "name server not ready",
    15: "blocked",
    16: "censored",
    17: "filtered",
    18: "prohibited",
    19: "stale NXDOMAIN answer",
    20: "not authoritative",
    21: "not supported",
    22: "no reachable authority",
    23: "network error",
    24: "invalid data",
    25: "signature expired before valid",
    26: "too early",
    27: "unsupported NSEC3 iterations value",
    28: "unable to conform to policy",
    29: "synthesized",
}

# Those that mean that an answer does not validate: validating resolvers get nothing until the zone is fixed.
DNSSEC_ERRORS: Final = frozenset({6, 7, 8, 9, 10, 11, 12, 25})

# RFC 8446, section 6.2: alerts that a server sends in a handshake, in a few words.
TLS_ALERTS: Final[dict[int, str]] = {
    10: "unexpected message: it did not expect this step",
    20: "bad record: data was damaged on the way",
    40: "handshake failure: no common cipher or key exchange",
    42: "bad certificate",
    43: "unsupported certificate",
    44: "certificate revoked",
    45: "certificate expired",
    46: "certificate unknown",
    47: "illegal parameter",
    48: "unknown authority: it rejects the sender's certificate",
    49: "access denied",
    50: "decode error",
    51: "decrypt error",
    70: "protocol version: the sender's TLS version is refused",
    71: "insufficient security: the sender's ciphers are too weak for it",
    80: "internal error: look at its log",
    86: "inappropriate fallback",
    90: "user canceled",
    109: "missing extension",
    110: "unsupported extension",
    112: "unrecognized name: it has no certificate for the MX name",
    113: "bad certificate status response",
    116: "certificate required: it demands a client certificate, which senders do not have",
    120: "no application protocol in common",
}
