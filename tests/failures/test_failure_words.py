"""What we say about failures."""

import re
import subprocess

import pytest
from programs import program

from reports.tls.failures import ALL_MEANINGS, MEANINGS, SUSPICIONS, Category, Kind, Severity, explain, suggest

RFC_8460_RESULT_TYPES = [
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
]
IDS = [f"{meaning.kind}:{meaning.term}" for meaning in ALL_MEANINGS]


@pytest.mark.parametrize("result_type", RFC_8460_RESULT_TYPES)
def test_every_result_type_of_the_rfc_has_words(result_type):
    meaning = explain(result_type)
    assert meaning is not None
    assert meaning.kind is Kind.RESULT_TYPE
    assert meaning.term == result_type


@pytest.mark.parametrize("category", Category)
def test_every_category_has_words(category):
    meanings = [each for each in ALL_MEANINGS if each.kind is Kind.CATEGORY and each.term == category]
    assert [meaning.category for meaning in meanings] == [category]
    assert explain(category) is not None


def test_kind_and_term_name_one_meaning():
    assert len({(meaning.kind, meaning.term) for meaning in ALL_MEANINGS}) == len(ALL_MEANINGS)
    assert {meaning.term for meaning in ALL_MEANINGS} == set(MEANINGS)


@pytest.mark.parametrize("meaning", ALL_MEANINGS, ids=IDS)
def test_words_can_be_read_at_night(meaning):
    assert len(meaning.title) <= 60
    assert 80 <= len(meaning.explanation) <= 420, "too long to be read, or too short to help"
    assert 80 <= len(meaning.action) <= 800
    assert meaning.explanation.endswith(".")
    assert meaning.action.endswith(".")
    assert "`" in meaning.action, "the next step is a command"
    assert "  " not in meaning.explanation + meaning.action


@pytest.mark.parametrize("meaning", ALL_MEANINGS, ids=IDS)
def test_critical_failures_say_what_becomes_of_mail(meaning):
    if meaning.severity is Severity.CRITICAL and meaning.category not in SUSPICIONS:
        assert re.search(r"waits|queue the mail|queue it|do not deliver|refused", meaning.explanation)


@pytest.mark.parametrize("meaning", ALL_MEANINGS, ids=IDS)
def test_commands_in_the_words_are_valid_shell(meaning):
    commands = re.findall(r"`([^`]+)`", meaning.action)
    assert meaning.action.count("`") == 2 * len(commands)
    for command in commands:
        if command.startswith(("openssl ", "dig ", "curl ", "postconf ", "mailposture ", "delv ", "nc ", "time ")):
            checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, f"{command}: {checked.stderr}"


@pytest.mark.parametrize("meaning", ALL_MEANINGS, ids=IDS)
def test_postfix_settings_in_the_words_exist(meaning):
    settings = re.findall(r"`postconf ([a-z_ ]+)`", meaning.action)
    for setting in " ".join(settings).split():
        command = [program("postconf"), "-d", setting]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert found.stdout.startswith(f"{setting} ="), found.stderr


@pytest.mark.parametrize(
    ("reason_code", "term"),
    [
        ("io-timeout-during-handshake", "io-timeout-during-handshake"),
        ("X509_V_ERR_CERT_HAS_EXPIRED", "certificate-has-expired"),
        ("bad https response code: 404", "bad-https-response-code"),
        ("self-signed_certificate", "self-signed-certificate"),
    ],
)
def test_reason_codes_can_be_explained(reason_code, term):
    meaning = explain(reason_code)
    assert meaning is not None
    assert (meaning.kind, meaning.term) == (Kind.REASON_CODE, term)


def test_numbers_of_dns_errors_and_tls_alerts_are_named():
    assert explain("dns-extended-error-7-signature-expired").title == "DNS error 7: signature expired"
    assert explain("dns-extended-error-7-signature-expired").severity is Severity.CRITICAL
    assert "protocol version" in explain("tls-remote-alert-70").title
    assert explain("tls-remote-alert-250").title == explain("tls-remote-alert").title


def test_a_result_type_wins_over_the_category_of_the_same_name():
    assert explain("starttls-not-supported").kind is Kind.RESULT_TYPE


def test_unknown_terms_are_not_explained_but_suggested():
    assert explain("certificat-expird") is None
    assert suggest("certificat-expird")[0] == "certificate-expired"
    assert suggest("timeot")[0] == "timeout"
    assert suggest("qqqqqqqq") == []
