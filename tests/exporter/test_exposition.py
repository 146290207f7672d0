from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from exporter.exposition import Gauge, render


def test_what_is_rendered_is_read_back_by_prometheus_own_parser() -> None:
    gauge = Gauge(name="tlsrpt_sessions", help="Sessions", labels=("policy_domain", "outcome"))
    (family,) = text_string_to_metric_families(
        render(gauge, [(("a.example", "failed"), 3), (("a.example", "successful"), 0.25)])
    )
    assert (family.name, family.type, family.documentation) == ("tlsrpt_sessions", "gauge", "Sessions")
    assert [(sample.labels, sample.value) for sample in family.samples] == [
        ({"policy_domain": "a.example", "outcome": "failed"}, 3),
        ({"policy_domain": "a.example", "outcome": "successful"}, 0.25),
    ]


def test_quotes_backslashes_and_line_breaks_stay_inside_their_label_and_help() -> None:
    hostile = 'a"} 1\nmailposture_fake{x="\\'
    gauge = Gauge(name="tlsrpt_sessions", help="one\ntwo \\ three", labels=("policy_domain",))
    (family,) = text_string_to_metric_families(render(gauge, [((hostile,), 7)]))
    assert family.documentation == "one\ntwo \\ three"
    assert [(sample.name, sample.labels, sample.value) for sample in family.samples] == [
        ("tlsrpt_sessions", {"policy_domain": hostile}, 7)
    ]
