"""The command line as its users type it: every command in a process of its own, on the embedded engine."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from clock import REAL_TODAY
from eventually import eventually

from cli.database import database
from collector.spool import HeldMessages
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.config.file import load
from mailposture.config.model import ClickHouse, Spool
from mailposture.problems import ProblemError
from reports.envelope import Envelope, Source
from reports.rejection import Fault, Reason

pytestmark = pytest.mark.slow

YESTERDAY = (REAL_TODAY - timedelta(days=1)).isoformat()


def report(domain: str = "a.example", *, failed: int = 3, report_id: str = "1") -> bytes:
    return json.dumps(
        {
            "organization-name": "Sender Inc.",
            "contact-info": "tls@sender.example",
            "report-id": report_id,
            "date-range": {"start-datetime": f"{YESTERDAY}T00:00:00Z", "end-datetime": f"{YESTERDAY}T23:59:59Z"},
            "policies": [
                {
                    "policy": {"policy-type": "sts", "policy-domain": domain},
                    "summary": {"total-successful-session-count": 97, "total-failure-session-count": failed},
                    "failure-details": [
                        {
                            "result-type": "certificate-expired",
                            "receiving-mx-hostname": f"mx1.{domain}",
                            "failed-session-count": failed,
                        }
                    ],
                }
            ],
        }
    ).encode()


class Here:
    """A folder that somebody works in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> str:
        """Run `mailposture …`; returns what it printed, and checks the exit code."""
        environment = {name: value for name, value in os.environ.items() if name != "MAILPOSTURE_CONFIG"}
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            env=environment,
            timeout=120,
            check=False,
        )
        self.said = done.stderr.decode()
        assert done.returncode == code, done.stdout.decode() + self.said
        return done.stdout.decode()


@pytest.fixture
def empty(in_memory):
    with TemporaryDirectory(dir=in_memory) as folder:  # nearly each command starts an engine
        yield Here(Path(folder))


@pytest.fixture
def here(empty):
    empty.run("init", ".", "--domain", "a.example", "--domain", "b.example")
    return empty


def test_first_steps_from_init_to_answers_with_no_service_running(here):
    (here.folder / "one.json").write_bytes(report())
    (here.folder / "again.json").write_bytes(report())
    (here.folder / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00truncated")

    printed = here.run("import", "one.json", "again.json", "broken.json.gz", code=1)
    assert printed == "1 reports, 1 duplicates, 1 rejected\n"
    assert "broken.json.gz" in here.said
    assert "bad-compression" in here.said

    assert here.run("import", "-", stdin=report()) == "0 reports, 1 duplicates, 0 rejected\n"
    assert here.run("sql", "SELECT policy_domain, successful_sessions, failed_sessions FROM tls_domain_daily") == (
        "a.example\t97\t3\n"
    )
    assert here.run("sql", "SELECT source, name, reason FROM rejections") == "file\tbroken.json.gz\tbad-compression\n"
    assert "broken.json.gz" in here.run("quarantine", "list", "--state", "rejected")

    summary = json.loads(here.run("summary", "--format", "json", "--days", "7"))
    assert summary[0]["policy_domain"] == "a.example"
    assert summary[0]["success_rate"] == pytest.approx(0.97)
    assert summary[0]["categories"] == [{"name": "certificate", "failed_sessions": 3}]
    assert summary[0]["receiving_servers"] == [{"name": "mx1.a.example", "failed_sessions": 3}]
    assert [entry["policy_domain"] for entry in summary] == ["a.example", "b.example"]
    assert "97.00 %" in here.run("summary")
    assert here.run("summary", "--domain", "b.example", "--format", "csv").splitlines()[1].startswith("b.example,0,0,")


def test_import_of_the_working_folder_leaves_our_own_data_out(here):
    (here.folder / "reports").mkdir()
    (here.folder / "reports" / "one.json").write_bytes(report())
    (here.folder / "link").symlink_to("data")
    assert here.run("import", ".", code=1) == "1 reports, 0 duplicates, 1 rejected\n"
    (left_out,) = (line for line in here.said.splitlines() if line.startswith("skipped: "))
    assert left_out.endswith("data, mailposture's own data folder")
    assert "\nrejected  mailposture.yaml: " in here.said


def test_every_document_of_a_row_is_counted_and_the_rest_is_named(here):
    row = b"".join((report(), report(report_id="other"), b'{"half": ', b"\n", report(report_id="third")))
    (here.folder / "row.json.gz").write_bytes(gzip.compress(row))
    assert here.run("import", "row.json.gz", code=1) == "3 reports, 0 duplicates, 1 rejected\n"
    assert "rejected  row.json.gz!#3: not JSON: " in here.said
    (here.folder / "Thumbs.db").write_bytes(b"x")
    assert here.run("import", ".", "-", stdin=row, code=1).splitlines() == [
        "0 reports, 6 duplicates, 3 rejected",
        "1 files passed over that systems and mail programs keep for themselves",
    ]


def test_rejected_bytes_are_shown_released_and_discarded(here):
    here.run("import", "-", stdin=b"not a report", code=1)
    held = here.run("sql", "SELECT held_id FROM rejections").strip()
    assert "not a report" in here.run("quarantine", "show", held[:6])
    assert here.run("quarantine", "show", "--bytes", held) == "not a report"
    here.run("quarantine", "release", held)
    here.run("quarantine", "release", held, code=1)
    assert "nothing is held under" in here.said


def test_archives_of_very_many_reports_are_imported_and_recognized(here):
    with zipfile.ZipFile(here.folder / "years.zip", "w") as years:
        for month in range(100):
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as reports:
                for number in range(100):
                    reports.writestr(f"{number}.json", report(report_id=f"{month}-{number}"))
            years.writestr(f"{month}.zip", packed.getvalue())
    assert here.run("import", "years.zip") == "10,000 reports, 0 duplicates, 0 rejected\n"
    assert here.run("import", "years.zip") == "0 reports, 10,000 duplicates, 0 rejected\n"


def test_query_may_come_from_standard_input_and_decides_the_exit_code(here):
    assert here.run("sql", stdin=b"SELECT 1\n") == "1\n"
    assert not here.run("sql", stdin=b"SELECT nonsense\n", code=1)
    assert here.said.startswith("mailposture: Code: 47. DB::Exception: Unknown expression identifier `nonsense`")
    assert here.said.endswith(" (UNKNOWN_IDENTIFIER); DESCRIBE and the name of a view list its columns\n")


def test_a_format_that_there_is_not_is_wrong_usage(here):
    for arguments in (("--format", "Wrong", "SELECT 1"), ("SELECT 1 FORMAT Wrong",)):
        assert not here.run("sql", *arguments, code=2)
        assert here.said.startswith("mailposture: Code: 73. DB::Exception: Unknown format Wrong")
        assert " (UNKNOWN_FORMAT); TabSeparatedWithNames, " in here.said
    assert here.run("sql", "--format", "Wrong", "SELECT 1 FORMAT CSV") == "1\n"


def test_terminal_gets_an_answer_without_what_it_would_act_on(here):
    ours, terminal = os.openpty()
    query = "SELECT 'a' || unhex('1b9bff') || 'é'"
    done = subprocess.run([sys.executable, "-m", "cli", "sql", query], cwd=here.folder, stdout=terminal, check=False)
    os.close(terminal)
    assert done.returncode == 0
    assert os.read(ours, 100).decode() == "a�\\x9b\\xffé\r\n"
    os.close(ours)


def test_prompt_goes_on_after_a_fault_until_exit(here):
    ours, terminal = os.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "cli", "sql"],
        cwd=here.folder,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(terminal)
    os.write(ours, b"SELEC 1\nSELECT '\xfc'\nSELECT 1 FORMAT CSV\nexit;\n")
    printed, said = asking.communicate(timeout=120)
    os.close(ours)
    assert asking.returncode == 0
    assert b"1\n" in printed
    assert b"Syntax error" in said
    assert b"the query is not UTF-8 text" in said


@pytest.mark.parametrize("excepted", ["", "example.com", "*"])
def test_proxy_for_the_internet_is_not_asked_for_our_own_engine(here, monkeypatch, excepted):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", excepted)
    monkeypatch.delenv("no_proxy", raising=False)
    assert here.run("sql", "SELECT 1") == "1\n"


def test_format_that_a_query_names_itself_wins(here):
    assert here.run("sql", "--format", "CSV", "SELECT 1 AS one FORMAT JSONEachRow;") == '{"one":1}\n'
    assert here.run("sql", "--format", "JSONEachRow", "SELECT 1 AS one; -- all") == '{"one":1}\n'


def test_engine_that_dies_under_a_command_is_a_problem_with_the_next_step(here):
    config = load(here.folder / "mailposture.yaml")
    config = config.model_copy(update={"clickhouse": ClickHouse(http="127.0.0.1:0", native="127.0.0.1:0")})
    engine = EmbeddedEngine(config)
    engine.start()

    def ask() -> None:
        with database(config, user="mailposture_analyst") as sql:
            engine.stop()
            sql.query("SELECT 1")

    with pytest.raises(ProblemError, match="run the command again"):
        ask()


def test_damaged_spool_is_a_message_that_says_what_to_do(here):
    spool = here.folder / "data" / "spool"
    spool.mkdir()
    (spool / "spool.sqlite").write_bytes(b"no database" * 1000)
    here.run("quarantine", "list", code=1)
    assert "Traceback" not in here.said
    assert "move the folder" in here.said


def test_address_that_would_steer_the_terminal_is_shown_without_its_controls(here):
    sender = Envelope(source=Source.SMTP, received_at=datetime.now(UTC), mail_from="\x9b2Jx@sender.example")
    with closing(HeldMessages(here.folder / "data" / "spool", rules=Spool(keep_free=0))) as held:
        held.keep([(sender, b"x", Fault(Reason.NOT_JSON, "no JSON"))])
    listed = here.run("quarantine", "list", "--state", "rejected")
    assert "2Jx@sender.example" in listed
    assert "\x9b" not in listed


def test_sender_named_like_a_formula_is_text_in_the_csv(here):
    here.run("import", "-", stdin=report().replace(b"Sender Inc.", b"=HYPERLINK(1)"))
    assert ',"\'=HYPERLINK(1) (sender.example, unproven)=3",' in here.run("summary", "--format", "csv", "--days", "7")


def test_a_query_in_csv_holds_no_formula_either(here):
    sql = (
        "SELECT '=1+1', -5, [-1, 2], ['a', '@x'], 'Sender;=cmd', NULL, 'say \"hi\"', '\t=1', 'a\\n-b' FROM numbers({})"
    )
    line = """'=1+1,-5,"[-1,2]","['a',''@x']",Sender;'=cmd,\\N,"say ""hi""\",'\t'=1,"a\n'-b"\n"""
    for form, query in (("CSV", sql.format(2)), ("JSON", f"{sql.format(2)} FORMAT CSV")):
        assert here.run("sql", "--format", form, query) == line * 2
    assert here.run("sql", "--format", "CSVWithNames", "SELECT 1 AS `-x`, '' AS `=y`") == "'-x,'=y\n1,\n"
    assert here.run("sql", "--format", "TabSeparated", "SELECT '=1+1'") == "=1+1\n", "no spreadsheet's format"


def test_migrate_dry_run_prints_the_sql_and_changes_nothing(here):
    assert "CREATE TABLE" in here.run("migrate", "--dry-run")
    assert "0001_tls_reports" in here.run("migrate")
    assert here.run("migrate") == "nothing to do\n"


def test_reprocess_classifies_stored_reports_again(here):
    (here.folder / "one.json").write_bytes(report())
    here.run("import", "one.json")
    table = "mailposture_tables.tls_failures"
    older = f"INSERT INTO {table} SELECT * REPLACE ('unknown' AS category) FROM {table} FINAL"
    assert here.run("sql", "--as-collector", older) == ""
    category = "SELECT category FROM tls_failures_daily"
    assert here.run("sql", category) == "unknown\n"
    month = YESTERDAY[:7]
    assert here.run("reprocess", "--from", YESTERDAY) == f"{month}: 1 reports, 1 changed, 0 unreadable\n"
    assert here.run("sql", category) == "certificate\n"
    assert here.run("reprocess", "--from", "2020-01-01", "--to", YESTERDAY).endswith(" 0 changed, 0 unreadable\n")
    assert here.run("reprocess", "--from", "2020-01-01", "--to", "2020-12-31") == ""
    here.run("reprocess", "--from", "2026-02-02", "--to", "2026-02-01", code=2)
    assert "--from 2026-02-02 is after --to 2026-02-01" in here.said


def test_sql_may_only_read(here):
    here.run("sql", "DROP TABLE mailposture_tables.tls_reports", code=1)
    assert "mailposture:" in here.said
    here.run("sql", "SELECT * FROM file('/etc/passwd', 'LineAsString')", code=1)
    assert here.run("sql", "--format", "JSONEachRow", "SELECT 1 AS one") == '{"one":1}\n'


def test_tables_are_for_whoever_asks_as_the_collector(here):
    count = "SELECT count() FROM mailposture_tables.tls_reports FINAL"
    assert not here.run("sql", count, code=1)
    assert here.run("sql", "--as-collector", count) == "0\n"


def test_wrong_configuration_names_file_line_and_key(here):
    path = here.folder / "mailposture.yaml"
    path.write_text(path.read_text() + "smpt:\n  listen: 127.0.0.1:25\n")
    here.run("summary", code=2)
    line = path.read_text().splitlines().index("smpt:") + 1
    assert f"{path.name}:{line}: smpt: there is no such key" in here.said


def test_without_configuration_the_message_says_how_to_get_one(empty):
    empty.run("summary", code=2)
    assert "mailposture init" in empty.said


def test_init_never_overwrites(here):
    before = (here.folder / "mailposture.yaml").read_bytes()
    here.run("init", ".", "--domain", "other.example", code=2)
    assert (here.folder / "mailposture.yaml").read_bytes() == before
    here.run("init", "new", "--domain", "not a domain", code=2)
    assert "not a domain name" in here.said


def test_explain_has_words_for_a_result_type_and_a_hint_for_a_typo(empty):
    words = empty.run("explain", "certificate-expired")
    assert "What it means" in words
    assert "What to do" in words
    empty.run("explain", "certificate-expird", code=2)
    assert "certificate-expired" in empty.said
    assert "timeout" in empty.run("explain")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "run",
        "init",
        "import",
        "summary",
        "sql",
        "explain",
        "quarantine",
        "migrate",
        "reprocess",
        "collector",
        "exporter",
    ],
)
def test_help_teaches(empty, command):
    assert len(empty.run(*([command] if command else []), "--help").splitlines()) > 5


def test_two_folders_are_asked_at_the_same_time(tmp_path):
    folders = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        folders.append(Here(tmp_path / name))
        folders[-1].run("init", ".", "--domain", f"{name}.example")
    command = [sys.executable, "-m", "cli", "sql", "SELECT sleep(2), policy_domain FROM domains"]
    running = [subprocess.Popen(command, cwd=each.folder, stdout=subprocess.PIPE, text=True) for each in folders]
    assert [each.communicate(timeout=120)[0] for each in running] == ["0\tone.example\n", "0\ttwo.example\n"]


def test_report_older_than_the_retention_is_rejected_instead_of_vanishing(here):
    path = here.folder / "mailposture.yaml"
    path.write_text(path.read_text() + "clickhouse: {retention: 30d}\n")
    assert here.run("import", "-", stdin=report().replace(YESTERDAY.encode(), b"2024-01-05"), code=1) == (
        "0 reports, 0 duplicates, 1 rejected\n"
    )
    assert "too-old" in here.said
    assert "clickhouse.retention" in here.said


def test_old_reports_are_kept_by_default(here):
    here.run("import", "-", stdin=report().replace(YESTERDAY.encode(), b"2016-04-01"))
    assert here.run("sql", "SELECT day, failed_sessions FROM tls_domain_daily") == "2016-04-01\t3\n"


def test_second_collector_on_a_data_folder_is_refused(here):
    path = here.folder / "mailposture.yaml"
    free = "\n".join(
        f"{key}: {{{name}: '127.0.0.1:0'}}" for key, name in (("metrics", "collector"), ("clickhouse", "http"))
    )
    text = path.read_text().replace("listen: 127.0.0.1:2525", "listen: 127.0.0.1:0")
    text = text.replace("listen: 127.0.0.1:8460", "listen: 127.0.0.1:0")
    path.write_text(text[: text.index("# Where Prometheus scrapes")] + free)
    first = subprocess.Popen([sys.executable, "-m", "cli", "collector"], cwd=here.folder, stderr=subprocess.DEVNULL)
    try:
        eventually("the first collects", (here.folder / "data/run/alive").exists)
        here.run("collector", code=1)
        assert "another mailposture already collects" in here.said
    finally:
        first.terminate()
        assert first.wait(60) == 0
