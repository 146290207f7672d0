"""Why a check finds something not as it must be: one closed set, for results, for the probes' labels and for rows."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A term that is fit for a label; docs/probes.md says what each means."""

    DNS_ERROR = "dns-error"
    ANSWER_MALFORMED = "answer-malformed"
    NO_RECORD = "no-record"
    RECORD_INVALID = "record-invalid"
    SEVERAL_RECORDS = "several-records"
    MX_UNUSABLE = "mx-unusable"
    MX_WITHOUT_ADDRESS = "mx-without-address"
    NULL_MX = "null-mx"
    REPORTS_GO_ELSEWHERE = "reports-go-elsewhere"
    NO_REPORT_ADDRESS = "no-report-address"
    ID_DIFFERS = "id-differs"
    PARKED_BUT_RECEIVES = "parked-but-receives"
    PARKED_BUT_SENDS = "parked-but-sends"
    PARKED_BUT_NOT_REJECTED = "parked-but-not-rejected"
    PARKED_BUT_SIGNS = "parked-but-signs"
    PARKED_BUT_HAS_POLICY = "parked-but-has-policy"
    NOT_MARKED_AS_PARKED = "not-marked-as-parked"
    EVERYBODY_MAY_SEND = "everybody-may-send"
    TOO_MANY_LOOKUPS = "too-many-lookups"
    TOO_MANY_VOID_LOOKUPS = "too-many-void-lookups"
    KEY_REVOKED = "key-revoked"
    KEY_IN_TEST = "key-in-test"
    KEY_TOO_SHORT = "key-too-short"

    POLICY_HOST_WITHOUT_ADDRESS = "policy-host-without-address"
    POLICY_HOST_UNREACHABLE = "policy-host-unreachable"
    POLICY_TIMEOUT = "policy-timeout"
    POLICY_TLS_ERROR = "policy-tls-error"
    POLICY_HTTP_ERROR = "policy-http-error"
    POLICY_REDIRECTED = "policy-redirected"
    POLICY_STATUS = "policy-status"
    POLICY_CONTENT_TYPE = "policy-content-type"
    POLICY_TOO_LARGE = "policy-too-large"
    POLICY_INVALID = "policy-invalid"
    POLICY_DIFFERS = "policy-differs"
    MX_NOT_COVERED = "mx-not-covered"

    PORT_25_BLOCKED = "outbound-port-25-blocked"  # it is likelier us than the server
    NOT_LOOKED_AT = "not-looked-at"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    GREETING_REFUSED = "greeting-refused"
    SMTP_ERROR = "smtp-error"
    STARTTLS_NOT_OFFERED = "starttls-not-offered"
    STARTTLS_REFUSED = "starttls-refused"
    TLS_FAILED = "tls-failed"

    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_EXPIRES_SOON = "certificate-expires-soon"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_SELF_SIGNED = "certificate-self-signed"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_INVALID = "certificate-invalid"

    TLSA_MISMATCH = "tlsa-mismatch"
    TLSA_UNUSABLE = "tlsa-unusable"
    NOT_AUTHENTICATED = "not-authenticated"
    NO_CERTIFICATE = "no-certificate"

    TOO_SLOW = "probe-timeout"  # the whole of a domain took too long, not one server
    BROKEN = "probe-error"  # a fault of ours

    @property
    def refuses_certificate(self) -> bool:
        """Whether a server was refused because of its certificate."""
        return self in _CERTIFICATE_REFUSED


_CERTIFICATE_REFUSED = frozenset(
    (
        Reason.CERTIFICATE_EXPIRED,
        Reason.CERTIFICATE_NOT_YET_VALID,
        Reason.CERTIFICATE_SELF_SIGNED,
        Reason.CERTIFICATE_UNTRUSTED,
        Reason.CERTIFICATE_HOST_MISMATCH,
        Reason.CERTIFICATE_INVALID,
    )
)
