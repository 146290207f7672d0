"""What a failure detail is, by its result type and reason code."""

import pytest

from reports.tls.failures import Category, Severity, classify


@pytest.mark.parametrize(
    ("result_type", "category", "severity"),
    [
        ("starttls-not-supported", Category.STARTTLS_NOT_SUPPORTED, Severity.CRITICAL),
        ("certificate-host-mismatch", Category.CERTIFICATE, Severity.CRITICAL),
        ("certificate-expired", Category.CERTIFICATE, Severity.CRITICAL),
        ("certificate-not-trusted", Category.CERTIFICATE, Severity.CRITICAL),
        ("validation-failure", Category.OTHER, Severity.WARNING),
        ("tlsa-invalid", Category.DANE, Severity.CRITICAL),
        ("dnssec-invalid", Category.DNS, Severity.CRITICAL),
        ("dane-required", Category.DANE, Severity.CRITICAL),
        ("sts-policy-fetch-error", Category.MTA_STS_POLICY, Severity.WARNING),
        ("sts-policy-invalid", Category.MTA_STS_POLICY, Severity.WARNING),
        ("sts-webpki-invalid", Category.MTA_STS_POLICY, Severity.WARNING),
    ],
)
def test_each_result_type_of_the_rfc_has_a_category_and_a_severity(result_type, category, severity):
    found = classify(result_type)
    assert (found.category, found.severity) == (category, severity)


@pytest.mark.parametrize(
    ("reason_code", "category"),
    [
        ("io-timeout-during-handshake", Category.TIMEOUT),
        ("Connection timed out", Category.TIMEOUT),
        ("4.4.2 Connection timed out", Category.TIMEOUT),
        ("ETIMEDOUT", Category.TIMEOUT),
        ("connection-closed-during-handshake", Category.TIMEOUT),
        ("lost connection during TLS handshake", Category.TIMEOUT),
        ("Connection reset by peer", Category.TIMEOUT),
        ("Connection refused", Category.TIMEOUT),
        ("network is unreachable", Category.TIMEOUT),
        ("dns-extended-error-22-no-reachable-authority", Category.DNS),
        ("dns-extended-error-7-signature-expired", Category.DNS),
        ("DNS query timed out", Category.DNS),
        ("NXDOMAIN", Category.DNS),
        ("X509_V_ERR_CERT_HAS_EXPIRED", Category.CERTIFICATE),
        ("X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED", Category.CERTIFICATE),
        ("X509_V_ERR_HOSTNAME_MISMATCH", Category.CERTIFICATE),
        ("X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY", Category.CERTIFICATE),
        ("self-signed_certificate", Category.CERTIFICATE),
        ("self signed certificate in certificate chain", Category.CERTIFICATE),
        ("4.7.5 [internal] SSL certificate subject does not match host", Category.CERTIFICATE),
        ("Remote certificate failed MTA-STS validation. Reason: UntrustedRoot", Category.CERTIFICATE),
        ("X509_V_ERR_DANE_NO_MATCH", Category.DANE),
        ("No TLSA records found", Category.DANE),
        ("4.4.8 MX hosts of example.com failed MTA-STS validation", Category.MTA_STS_POLICY),
        ("MX mx3.example.com not listed in policy", Category.MTA_STS_POLICY),
        ("bad https response code: 404", Category.MTA_STS_POLICY),
        ("454 4.7.0 TLS not available", Category.STARTTLS_NOT_SUPPORTED),
        ("STARTTLS was not offered", Category.STARTTLS_NOT_SUPPORTED),
        ("tls-remote-alert-40-handshake-failure", Category.OTHER),
        (
            "tls-remote-alert-45-certificate-expired",
            Category.OTHER,
        ),  # our server said so about the sender's certificate
        ("no shared cipher", Category.OTHER),
        ("TLS_ERROR", Category.OTHER),
        ("", Category.OTHER),
    ],
)
def test_reason_code_says_what_a_validation_failure_was(reason_code, category):
    assert classify("validation-failure", reason_code).category is category


@pytest.mark.parametrize(
    ("reason_code", "category"),
    [
        ("bad https response code: 404", Category.MTA_STS_POLICY),
        ("io-timeout-during-handshake", Category.TIMEOUT),
        ("dns-extended-error-22-no-reachable-authority", Category.DNS),
        # The policy host's certificate: the words for certificates would send people to the mail server.
        ("x509: certificate has expired or is not yet valid", Category.MTA_STS_POLICY),
    ],
)
def test_reason_code_says_why_a_policy_could_not_be_fetched(reason_code, category):
    assert classify("sts-policy-fetch-error", reason_code).category is category


def test_reason_code_never_overrules_a_telling_result_type():
    assert classify("certificate-expired", "Connection timed out").category is Category.CERTIFICATE


def test_broken_dnssec_is_worse_than_an_unreachable_name_server():
    assert classify("validation-failure", "dns-extended-error-6-dnssec-bogus").severity is Severity.CRITICAL
    assert classify("validation-failure", "dns-extended-error-22-no-reachable-authority").severity is Severity.WARNING


def test_a_missing_mx_in_the_policy_is_critical():
    assert classify("validation-failure", "mx host not listed in policy").severity is Severity.CRITICAL


@pytest.mark.parametrize("result_type", ["", "Other", "starttls", "no-such-type", "💥", "x" * 100_000])
def test_unknown_and_missing_result_types_are_other(result_type):
    assert classify(result_type, "X509_V_ERR_CERT_HAS_EXPIRED").category is Category.OTHER


@pytest.mark.parametrize("written", ["Certificate-Expired", "certificate_expired", " certificate-expired "])
def test_spelling_of_a_result_type_does_not_matter(written):
    assert classify(written).category is Category.CERTIFICATE


def test_only_the_beginning_of_a_long_reason_is_read():
    assert classify("validation-failure", "certificate " * 1_000_000 + "expired").category is Category.OTHER
