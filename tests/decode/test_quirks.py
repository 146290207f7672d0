"""What senders really send. Each test is a row of the table of quirks, each sample is named after it."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reports.document import Opened
from reports.envelope import Envelope, Source
from reports.rejection import Reason, RejectedError
from reports.tls.attribution import attribute

NO_ADDRESS = bytes(16)


def address(text):
    """An address as rows hold it, packed by the system's own functions."""
    if ":" in text:
        return socket.inet_pton(socket.AF_INET6, text)
    return socket.inet_pton(socket.AF_INET6, f"::ffff:{text}")


def test_a_plain_report_is_read_completely(rows):
    _, report, ((policy,), (failure,)) = rows("plain_report.eml")
    assert (report.organization, report.contact) == ("Sender Example", "tls-reports@sender.example")
    assert (report.report_id, report.submitter) == ("2026-03-01_example.com", "sender.example")
    assert report.period_start == datetime(2026, 3, 1, tzinfo=UTC)
    assert report.period_end == datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    assert report.policy_domains == ("example.com",)
    assert (report.successful_sessions, report.failed_sessions, report.warnings) == (100, 2, ())
    assert (policy.policy_domain, policy.policy_type, policy.sts_mode) == ("example.com", "sts", "enforce")
    assert policy.policy_strings == ("version: STSv1", "mode: enforce", "mx: mx1.example.com", "max_age: 604800")
    assert (policy.mx_hosts, policy.counts) == (("mx1.example.com",), True)
    assert (failure.result_type, failure.category, failure.severity) == (
        "certificate-expired",
        "certificate",
        "critical",
    )
    assert (failure.sending_mta_ip, failure.receiving_ip) == (address("192.0.2.10"), address("198.51.100.1"))
    assert (failure.receiving_mx, failure.failed_sessions, failure.counts) == ("mx1.example.com", 2, True)


def test_times_without_zone_are_utc_with_a_warning(rows):
    report = rows("times_without_zone.json").report
    assert report.period_start == datetime(2026, 3, 1, tzinfo=UTC)
    assert report.warnings == ("times without zone were read as UTC",)


def test_a_late_report_keeps_its_day_and_its_arrival(rows):
    arrival = datetime(2026, 3, 25, 7, tzinfo=UTC)
    report = rows("report_24_days_after_its_day.eml", received_at=arrival).report
    assert (report.day.isoformat(), report.received_at) == ("2026-03-01", arrival)


def test_the_body_is_authoritative_without_report_headers(rows):
    report = rows("message_id_in_our_domain_and_no_report_headers.eml").report
    assert (report.policy_domains, report.report_id, report.submitter) == (
        ("example.com",),
        "2026-03-01_example.com",
        "",
    )


def test_mx_host_may_be_missing(rows):
    assert rows("no_mx_host.json").policies[0].mx_hosts == ()


def test_a_policy_string_that_holds_a_json_array_is_unwrapped(rows):
    (policy,) = rows("tlsa_policy_string_is_a_json_array.json").policies
    assert [record[:6] for record in policy.policy_strings] == ["3 1 1 ", "2 1 1 "]


def test_a_fetch_error_needs_no_addresses(rows):
    _, report, (_, (failure,)) = rows("fetch_error_without_addresses.json")
    assert report.report_id == "133847562019283746+"
    assert (failure.result_type, failure.reason_code) == ("sts-policy-fetch-error", "bad https response code: 404")
    assert (failure.sending_mta_ip, failure.receiving_ip, failure.receiving_mx) == (NO_ADDRESS, NO_ADDRESS, "")


def test_the_json_report_id_counts_when_the_subject_has_another(rows):
    assert rows("report_id_differs_between_subject_and_json.eml").report.report_id == "2026-03-01_example.com"


def test_equal_report_ids_of_two_postfix_senders_are_two_reports(rows):
    ours, theirs = rows("same_report_id_from_postfix_a.json"), rows("same_report_id_from_postfix_b.json")
    assert ours.report.report_id == theirs.report.report_id
    assert ours.report.report_key != theirs.report.report_key


def test_the_same_id_with_other_content_is_another_report(rows):
    first, second = rows("same_id_other_content_first.json"), rows("same_id_other_content_second.json")
    assert first.report.report_id == second.report.report_id
    assert first.report.report_key != second.report.report_key


def test_the_same_report_by_mail_and_by_https_is_one_report(rows):
    mailed = rows("same_report_by_mail.eml")
    posted = rows("same_report_by_https.json", source=Source.HTTPS, token_domain="example.com")
    assert mailed.report.original != posted.report.original  # written differently
    assert mailed.report.report_key == posted.report.report_key
    assert mailed.policies == posted.policies
    assert mailed.failures == posted.failures


def test_no_date_a_folded_subject_and_another_key_order_are_fine(rows):
    assert (
        rows("no_date_folded_subject_other_key_order.eml").report.report_key
        == rows("plain_report.eml").report.report_key
    )


def test_a_missing_policy_domain_falls_back_to_the_report_header(rows):
    (policy,) = rows("policy_domain_missing.eml").policies
    assert (policy.policy_domain, policy.reported_policy_domain) == ("example.com", "")


def test_a_missing_policy_domain_falls_back_to_the_file_name(rows):
    (policy,) = rows("policy_domain_missing_and_no_report_headers.eml").policies
    assert policy.policy_domain == "example.net"


def test_a_tlsa_policy_about_an_mx_of_ours_is_ours_and_keeps_both_names(rows):
    (policy,) = rows("tlsa_policy_domain_is_mx_host.json").policies
    assert (policy.policy_domain, policy.reported_policy_domain) == ("example.com", "mx1.example.com")


def test_the_report_header_decides_between_domains_that_share_an_mx(rows):
    (policy,) = rows("tlsa_mx_host_shared_by_two_domains.eml").policies
    assert policy.policy_domain == "example.net"


def test_the_other_policies_decide_between_domains_that_share_an_mx(rows):
    domains = {policy.policy_domain for policy in rows("tlsa_mx_host_shared_beside_sts.json").policies}
    assert domains == {"example.net"}


def test_a_tlsa_policy_about_an_unknown_host_is_counted_for_the_domain_of_the_report(rows):
    _, report, ((policy,), _) = rows("tlsa_mx_host_that_is_not_configured.eml")
    assert (policy.policy_domain, policy.reported_policy_domain) == ("example.com", "mx7.provider.example")
    assert report.warnings == (
        "mx7.provider.example is not among the mx hosts configured for example.com; counted for it anyway",
    )


def test_of_a_whole_ehlo_answer_the_name_is_kept(rows):
    (failure,) = rows("helo_holds_whole_ehlo.json").failures
    assert failure.receiving_mx_helo == "mx1.example.com"


def test_a_missing_or_unknown_result_type_is_kept_as_category_other(rows):
    failures = rows("result_type_missing_unknown_or_other.json").failures
    assert [failure.result_type for failure in failures] == ["", "Other", "quantum-required"]
    assert {failure.category for failure in failures} == {"other"}


def test_null_is_fine_everywhere(rows):
    _, report, ((first, second), (failure,)) = rows("nulls_everywhere.json")
    assert (report.contact, report.warnings) == ("", ())
    assert report.period_end == datetime(2026, 3, 2, tzinfo=UTC)
    assert (first.successful_sessions, first.failed_sessions, first.mx_hosts) == (3, 0, ())
    assert (second.successful_sessions, second.failed_sessions) == (0, 1)
    assert (failure.sending_mta_ip, failure.receiving_mx, failure.reason_code) == (NO_ADDRESS, "", "")


def test_empty_strings_for_addresses_are_none(rows):
    _, report, (_, (failure,)) = rows("empty_strings_for_addresses.json")
    assert (failure.sending_mta_ip, failure.receiving_ip) == (NO_ADDRESS, NO_ADDRESS)
    assert report.warnings == ()


def test_a_report_of_failures_only_has_no_successes(rows):
    report = rows("only_failures.json").report
    assert (report.successful_sessions, report.failed_sessions) == (0, 2)


def test_sessions_come_from_the_summary_and_details_are_not_reconciled(rows):
    _, report, ((policy,), failures) = rows("details_sum_to_more_than_the_summary.json")
    assert (report.failed_sessions, policy.failed_sessions) == (1, 1)
    assert sum(failure.failed_sessions for failure in failures) == 2


def test_an_mx_host_string_is_a_list_of_one(rows):
    assert rows("mx_host_is_a_string.json").policies[0].mx_hosts == ("*.mail.example.com",)


def test_the_prefix_of_mx_hosts_is_stripped(rows):
    assert rows("mx_host_with_mx_prefix.json").policies[0].mx_hosts == ("mx1.example.com", "mx2.example.com")


def test_spaces_in_additional_information_are_kept(rows):
    (failure,) = rows("spaces_in_additional_information.json").failures
    assert failure.additional_information == 'https://sender.example/why failed?x="1" or else'


def test_an_unknown_policy_type_is_kept_and_a_missing_count_is_none(rows):
    _, _, (policies, (failure,)) = rows("policy_type_unknown_or_missing.json")
    assert [policy.policy_type for policy in policies] == ["carrier-pigeon", ""]
    assert failure.failed_sessions == 0


@pytest.mark.parametrize(
    "name",
    [
        "typed_application_tlsrpt.eml",
        "typed_application_json.eml",
        "typed_application_zip.eml",
        "typed_tlsrpt_zip.eml",
        "typed_octet_stream.eml",
        "json_named_gz.eml",
        "gzip_typed_json.eml",
        "whole_mail_is_the_report.eml",
        "whole_mail_is_the_report_quoted_printable.eml",
        "whole_mail_is_json_without_mime.eml",
        "external_email_banner.eml",
    ],
)
def test_a_report_is_found_by_its_bytes_however_it_is_labelled(rows, name):
    assert rows(name).report.report_key == rows("plain_report.eml").report.report_key


def test_a_file_name_split_by_rfc2231_is_joined(opened, rows):
    assert opened("rfc2231_split_file_name.eml").documents[0].domains == ("example.net",)
    assert rows("rfc2231_split_file_name.eml").report.policy_domains == ("example.net",)


def test_several_days_policies_and_domains_become_a_row_each_and_foreign_ones_are_left_out(rows):
    _, report, (policies, _) = rows("seven_days_several_policies_and_domains.json")
    assert [(policy.policy_index, policy.policy_domain, policy.reported_policy_domain) for policy in policies] == [
        (0, "example.com", "example.com"),
        (1, "example.net", "example.net"),
        (2, "example.com", "sub.example.com"),
    ]
    assert (report.policy_domains, report.successful_sessions) == (("example.com", "example.net"), 78)
    assert report.warnings == ("a policy about foreign.example was left out: not a domain of ours",)


def test_sts_and_tlsa_of_one_report_are_not_added_up(rows):
    _, report, (policies, failures) = rows("sts_and_tlsa_for_the_same_sessions.json")
    assert [(policy.policy_type, policy.counts) for policy in policies] == [
        ("sts", False),
        ("tlsa", True),
        ("no-policy-found", True),
    ]
    assert (report.successful_sessions, report.failed_sessions) == (13, 3)
    assert [(failure.policy_type, failure.result_type, failure.counts) for failure in failures] == [
        ("sts", "certificate-expired", True),
        ("tlsa", "certificate-expired", False),
        ("tlsa", "tlsa-invalid", True),
    ]


def test_a_footer_inside_the_base64_is_overlooked(rows, opened):
    damaged = rows("footer_inside_base64.eml").report
    assert damaged.report_key == rows("plain_report.eml").report.report_key
    assert any("damaged" in fault.detail for fault in opened("footer_inside_base64.eml").faults)


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("trailing_bytes.json", "what follows the JSON was ignored"),
        ("byte_order_mark.json", "a byte order mark was left out"),
        ("utf16.json", "was read as UTF-16"),
    ],
)
def test_the_first_document_is_read_with_a_warning(rows, name, warning):
    report = rows(name).report
    assert report.report_key == rows("plain_report.eml").report.report_key
    assert report.warnings == (warning,)
    assert json.loads(report.original)["organization-name"] == "Sender Example"


def test_names_of_old_drafts_are_understood(rows):
    _, _, ((policy,), (failure,)) = rows("old_draft_names.json")
    assert (policy.successful_sessions, policy.failed_sessions) == (5326, 303)
    assert (failure.failed_sessions, failure.reason_code) == (100, "X509_V_ERR_CERT_HAS_EXPIRED")


def test_a_day_without_traffic_is_a_report(rows):
    report = rows("no_traffic.json").report
    assert (report.successful_sessions, report.failed_sessions, report.policy_domains) == (0, 0, ("example.com",))


def test_a_day_without_policies_is_a_report_of_the_domain_that_the_header_names(rows):
    _, report, (policies, failures) = rows("no_traffic_and_no_policies.eml")
    assert (report.policy_domains, policies, failures) == (("example.com",), (), ())


def test_hostile_names_and_text_are_made_harmless(rows):
    _, report, ((policy,), (failure,)) = rows("hostile_names_and_text.json")
    texts = [*report, *policy, *failure]
    assert all(text.isprintable() for text in texts if isinstance(text, str))
    assert (failure.receiving_mx, failure.sending_mta_ip, failure.receiving_ip) == ("", NO_ADDRESS, NO_ADDRESS)
    assert len(failure.reason_code) == 1000
    assert failure.additional_information == 'line break and \\ "quotes"'
    assert report.organization == 'Evil "Corp"\\ {}'
    assert r"""policy-domain 'exa mple.com"}\n' is not a domain name; its policy was left out""" in report.warnings


def test_a_report_about_names_that_are_no_domains_is_rejected(report, ownership):
    hostile = report("hostile_names_and_text.json")
    with pytest.raises(RejectedError) as caught:
        attribute(
            replace(hostile, policies=hostile.policies[1:]),
            Opened(documents=()),
            Envelope(source=Source.FILE, received_at=datetime.now(UTC)),
            ownership,
        )
    assert caught.value.fault.reason is Reason.INVALID_FIELD
    assert caught.value.fault.detail.startswith("policy-domain ")


def test_odd_counts_and_addresses_are_read_with_warnings(rows):
    _, report, ((policy,), failures) = rows("odd_counts_and_addresses.json")
    assert (policy.policy_domain, policy.successful_sessions, policy.failed_sessions) == ("example.com", 12, 0)
    assert [failure.failed_sessions for failure in failures] == [2, 0, 10**12]
    assert [failure.sending_mta_ip for failure in failures] == [address("192.0.2.10"), address("fe80::1"), NO_ADDRESS]
    assert [failure.receiving_ip for failure in failures] == [
        address("2001:db8::25"),
        address("2001:db8::25"),
        address("198.51.100.1"),
    ]
    assert "session count -5 was read as 0" in " ".join(report.warnings).replace("'", "")
    assert any("mail.sender.example" in warning for warning in report.warnings)
