"""docker-compose.yml and what it mounts: accepted by the programs that read them, and of one mind with each other."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import click
import pytest
import yaml
from programs import program

from cli.main import main
from mailposture.config.file import load

if TYPE_CHECKING:
    from collections.abc import Iterator

Compose = dict[str, Any]

PUBLIC = {"collector": {2525}, "caddy": {80, 443}, "grafana": {3000}}
GENERATED = "./secrets"  # made by docker/secrets.sh
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+):-(?P<default>[^}]*)\}")


def substitute(text: str) -> str:
    """A value as Compose reads it without an .env."""
    return VARIABLE.sub(lambda match: match["default"], text)


def mounts(service: Compose) -> dict[str, str]:
    """Container path by host path or volume name."""
    pairs = {}
    for mount in service.get("volumes", []):
        if isinstance(mount, dict):
            pairs[substitute(mount["source"])] = mount["target"]
        else:
            source, target, *_ = substitute(mount).split(":")
            pairs[source] = target
    return pairs


def bind_mounts(compose: Compose) -> set[str]:
    return {source for service in compose["services"].values() for source in mounts(service) if source[0] in "./"}


def check(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_file_is_valid(root: Path) -> None:
    schema = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    check(*schema, root / "docker-compose.yml")


def test_every_mounted_path_exists(compose: Compose, root: Path) -> None:
    found = bind_mounts(compose)
    assert len(found) > 10
    assert [path for path in sorted(found) if not path.startswith(GENERATED) and not (root / path).exists()] == []


def test_every_image_is_pinned(compose: Compose) -> None:
    for name, service in compose["services"].items():
        if "build" not in service:
            assert re.search(r":v?\d+(\.\d+){2,3}(-alpine)?$", service["image"]), name


def test_every_service_is_confined(compose: Compose) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert service["mem_limit"], name
        assert service["healthcheck"]["test"], name
        assert not service.get("privileged"), name
    assert {name for name, service in compose["services"].items() if service.get("cap_add")} == {"caddy"}


def test_only_what_users_need_is_published(compose: Compose) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            *address, inside = substitute(port).split(":")
            if address[0] != "127.0.0.1":
                assert int(inside) in PUBLIC.get(name, ()), f"{name} publishes {port} to everybody"
    assert not compose["services"]["clickhouse"].get("ports")
    assert compose["networks"]["storage"]["internal"] is True


def test_a_service_waits_only_for_services_that_say_when_they_are_healthy(compose: Compose) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] == "service_healthy", name
            assert "healthcheck" in services[other], other


def test_secrets_are_made_by_the_script_and_passwords_are_nowhere_else(
    compose: Compose, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "docker").mkdir()
    shutil.copy(root / "docker" / "secrets.sh", tmp_path / "docker")
    check(tmp_path / "docker" / "secrets.sh")
    made = {
        path.relative_to(tmp_path): path.read_text() for path in (tmp_path / "secrets").rglob("*") if path.is_file()
    }
    check(tmp_path / "docker" / "secrets.sh")
    assert {path: (tmp_path / path).read_text() for path in made} == made, "a second run changes nothing"
    assert mode(tmp_path / "secrets") == 0o700, "only its owner gets in"
    assert {mode(tmp_path / path) for path in made} == {0o644}, "the owner writes, containers' accounts read"
    assert mode(tmp_path / "secrets" / "alertmanager") == 0o755, "mounted as a folder"

    of_alertmanager = Path("secrets/alertmanager/smtp_password")  # for the digest, from the same account
    named = {Path(secret["file"]) for secret in compose["secrets"].values()} - {of_alertmanager}
    assert made[of_alertmanager] == "unset"
    passwords = [text for path, text in made.items() if path in named]
    assert {path for path in made if path.parent == Path("secrets")} == named
    assert len(set(passwords)) == len(passwords) == len(named)
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)
    mentioned = re.findall(r"secrets/(\w+)", (root / "provisioning/alertmanager/alertmanager.yml").read_text())
    assert set(mentioned) <= {path.name for path in made if path.parent.name == "alertmanager"}

    used = {name for service in compose["services"].values() for name in service.get("secrets", [])}
    assert used == set(compose["secrets"])
    for service in compose["services"].values():
        for name in service.get("environment", {}):
            assert "PASSWORD" not in name or name.endswith("__FILE"), name


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_secret_that_an_editor_has_hidden_is_made_readable_again_and_keeps_its_text(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "docker").mkdir()
    script = Path(shutil.copy(root / "docker" / "secrets.sh", tmp_path / "docker"))
    check(script)
    filled = tmp_path / "secrets" / "alertmanager" / "slack_url"
    filled.write_text("https://hooks.example.com/services/T0/B0/x\n")
    filled.chmod(0o600)
    check(script)
    assert (filled.read_text(), mode(filled)) == ("https://hooks.example.com/services/T0/B0/x\n", 0o644)


_ON_A_COMMAND_LINE = re.compile(
    r"--password[ =]\S|reset-admin-password (?!--password-from-stdin)"  # of ClickHouse, of Grafana
    r"|(?:--user|-u)[ =]\S+:\S"  # of curl
    r"|(?:--header|-H)[ =]?[\"']?(?:X-ClickHouse-Key|Authorization):|[?&]password=|://[^/\s@<]+:[^/\s@<]+@"
)


@pytest.mark.parametrize(
    "line",
    [
        "clickhouse-client --password x",
        'clickhouse-client --password="$(cat f)"',
        "grafana cli admin reset-admin-password x",
        'curl --user "me:$(cat f)" https://a.example',
        "curl -u me:x https://a.example",
        "curl --header 'X-ClickHouse-Key: x' https://a.example",
        "curl https://a.example/?user=me&password=x",
        "curl https://me:x@a.example/",
    ],
)
def test_what_would_show_a_password_to_everybody_on_the_machine_is_recognized(line: str) -> None:
    assert _ON_A_COMMAND_LINE.search(line)


def test_no_password_is_on_a_command_line(root: Path) -> None:
    folders = ("alerting-rules", "bench", "cli", "demo", "docker", "docs", "provisioning", ".ci")
    found = [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]
    texts = [path for path in found if not any(part.startswith(".parsedmarc") for part in path.parts)]  # bench's rival
    for path in (*texts, root / "README.md", root / "Makefile", root / "docker-compose.yml"):
        if path.suffix not in (".pyc", ".png"):
            assert not _ON_A_COMMAND_LINE.search(path.read_text(errors="replace")), path


def test_no_command_takes_a_secret_as_an_argument() -> None:
    def options(command: click.Command) -> Iterator[str]:
        yield from (name for parameter in command.params for name in parameter.opts)
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from options(below)

    assert len(found := set(options(main))) > 10
    assert not [name for name in found if re.search("password|token|secret|key|credential", name)]


@pytest.mark.skipif(not (Path(__file__).parents[2] / ".git").exists(), reason="not a Git checkout")
def test_secrets_stay_out_of_git_and_out_of_the_image(root: Path) -> None:
    for path in ("secrets/grafana_admin", ".env", "docker/configuration.local/x", "docker/caddy/reports.caddyfile"):
        check(program("git"), "-C", root, "check-ignore", "--quiet", path)
    kept = [line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert not [path for path in kept if fnmatch.fnmatch("secrets/grafana_admin", f"{path}*")]


def test_sql_users_have_the_same_names_and_passwords_everywhere(compose: Compose, root: Path) -> None:
    config = load(root / "docker" / "configuration" / "mailposture.yaml").clickhouse
    users = ET.parse(root / "provisioning/clickhouse/users.xml").getroot().find("users")
    assert users is not None
    in_clickhouse = {user.tag: user.find("password") for user in users}
    assert (
        set(in_clickhouse)
        == {
            config.collector_user,
            config.exporter_user,
            config.analyst_user,
            config.grafana_user,
        }
        == set(compose["services"]["clickhouse"]["secrets"])
    )
    for user, password in in_clickhouse.items():
        assert password is not None
        # What docker/with-passwords.sh makes of the file /run/secrets/<user>.
        assert password.get("from_env") == f"{user.upper()}_PASSWORD"
    assert {config.collector_user, config.analyst_user} <= set(compose["services"]["collector"]["secrets"])
    assert config.exporter_user in compose["services"]["exporter"]["secrets"]
    assert config.grafana_user in compose["services"]["grafana"]["secrets"]
    assert str(config.passwords) == "/run/secrets"


def test_passwords_reach_the_environment_of_the_command_only(root: Path, tmp_path: Path) -> None:
    script = (root / "docker" / "with-passwords.sh").read_text().replace("/run/secrets", str(tmp_path))
    (tmp_path / "mailposture_grafana").write_text("5ecret$ `x`\n")
    (tmp_path / "grafana_admin").write_text("other")
    command = ["sh", "-c", script, "with-passwords.sh", "env"]
    environment = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "MAILPOSTURE_GRAFANA_PASSWORD=5ecret$ `x`" in environment
    assert not [line for line in environment if "other" in line]


def test_configuration_of_the_stack_loads_and_fits_its_ports(compose: Compose, root: Path) -> None:
    services = compose["services"]
    config = load(root / "docker" / "configuration" / "mailposture.yaml")
    inside = {int(substitute(port).split(":")[-1]) for port in services["collector"]["ports"]}
    assert inside == {listen.port for listen in (config.smtp.listen, config.smtp.lmtp) if listen}
    assert mounts(services["collector"])["spool"] == str(config.data)
    assert config.clickhouse.url == "http://clickhouse:8123"
    health = {"collector": config.metrics.collector, "exporter": config.metrics.exporter}
    for name, listen in {**health, "policy-host": config.policy_host.metrics}.items():
        assert listen.host == "0.0.0.0", "others must reach it"
        assert services[name]["healthcheck"]["test"][-1] == f"http://127.0.0.1:{listen.port}/healthz"
        assert listen.port in scrape_ports(root, name)
    caddy = (root / "provisioning/caddy/Caddyfile").read_text()
    assert f"policy-host:{config.policy_host.listen.port}" in caddy
    assert f"policy-host:{config.policy_host.metrics.port}" in caddy
    reports = (root / "docker/caddy/reports.caddyfile.example").read_text()
    assert config.https.listen is not None
    assert f"collector:{config.https.listen.port}" in reports


def scrape_ports(root: Path, host: str) -> set[int]:
    jobs = yaml.safe_load((root / "provisioning/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in jobs for one in job["static_configs"] for target in one["targets"]]
    return {int(target.split(":")[1]) for target in targets if target.split(":")[0] == host}


def test_variables_of_the_compose_file_and_of_the_example_are_the_same(root: Path) -> None:
    used = dict(VARIABLE.findall((root / "docker-compose.yml").read_text()))
    lines = (root / ".env.example").read_text().splitlines()
    offered = dict(match.groups() for line in lines if (match := re.fullmatch(r"(?:# )?([A-Z_]+)=(.*)", line)))
    assert set(used) == set(offered)
    own_files = {name for name in used if name.endswith(("_YAML", "_CONFIGURATION"))}
    assert {name: used[name] for name in used if name not in own_files} == {
        name: offered[name] for name in offered if name not in own_files
    }, "what is commented out is the default"


def test_image_holds_what_the_dockerfile_copies(root: Path) -> None:
    dockerfile = (root / "Dockerfile").read_text()
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    kept = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == kept
    assert [path for path in copied if not (root / path).exists()] == []
    packages = {path.parent.name for path in root.glob("*/__init__.py")} - {"bench", "dashboards"}
    assert packages <= kept
    assert "chdb" not in re.sub(r"#.*", "", dockerfile)


def test_services_need_no_embedded_engine() -> None:
    code = "import sys; sys.modules['chdb'] = None\nimport cli.collector, cli.exporter, cli.policy_host, cli.sql\n"
    check(
        sys.executable,
        "-c",
        code + "import collector.ingest.service, collector.receiver, exporter.service, policy_host.service",
    )


def test_caddy_accepts_its_files(compose: Compose, root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "provisioning/caddy/Caddyfile", tmp_path)
    (tmp_path / "sites").mkdir()
    shutil.copy(root / "docker/caddy/reports.caddyfile.example", tmp_path / "sites" / "reports.caddyfile")
    command = [program("caddy"), "validate", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile"]
    check(*command, XDG_DATA_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))
    assert mounts(compose["services"]["caddy"])["./docker/caddy"] == "/etc/caddy/sites"


def test_prometheus_accepts_its_files_as_they_are_mounted(compose: Compose, root: Path, tmp_path: Path) -> None:
    lay_out(compose["services"]["prometheus"], root, tmp_path)
    check(program("promtool"), "check", "config", tmp_path / "etc/prometheus/prometheus.yml")


def test_alertmanager_accepts_its_files_as_they_are_mounted(compose: Compose, root: Path, tmp_path: Path) -> None:
    lay_out(compose["services"]["alertmanager"], root, tmp_path)
    check(program("amtool"), "check-config", tmp_path / "etc/alertmanager/alertmanager.yml")


def test_files_that_alertmanager_reads_are_named_by_absolute_paths_below_what_is_mounted(
    compose: Compose, root: Path
) -> None:
    config = (root / "provisioning/alertmanager/alertmanager.yml").read_text()
    files = re.findall(r"^.*?(\w+_file): (.+)$", config, re.MULTILINE)
    assert len(files) > 5
    targets = mounts(compose["services"]["alertmanager"]).values()
    for key, path in files:
        assert any(Path(path).is_relative_to(target) for target in targets), f"{key}: {path}"


def test_alertmanager_remembers_longer_than_the_longest_repeat_interval(compose: Compose, root: Path) -> None:
    (retention,) = re.findall(r"--data\.retention=(\d+)h", " ".join(compose["services"]["alertmanager"]["command"]))
    config = (root / "provisioning/alertmanager/alertmanager.yml").read_text()
    hours = {"m": 1 / 60, "h": 1, "d": 24, "w": 168}
    repeats = re.findall(r"repeat_interval: (\d+)([mhdw])\b", config)
    assert repeats
    assert max(int(number) * hours[unit] for number, unit in repeats) < int(retention)


def lay_out(service: Compose, root: Path, folder: Path) -> None:
    """Links at the places where the container has its files."""
    for source, target in mounts(service).items():
        if source.startswith("./") and not source.startswith(GENERATED):
            link = folder / target.lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((root / source).resolve())


def test_grafana_finds_what_its_provisioning_names(compose: Compose, root: Path) -> None:
    service = compose["services"]["grafana"]
    provisioned = [path.read_text() for path in (root / "provisioning/grafana").rglob("*.y*ml")]
    sources = [source for text in provisioned for source in (yaml.safe_load(text).get("datasources") or [])]
    providers = [provider for text in provisioned for provider in (yaml.safe_load(text).get("providers") or [])]
    assert sources
    assert providers
    for provider in providers:
        assert provider["options"]["path"] in mounts(service).values()
    given = {f"{name.upper()}_PASSWORD" for name in service["secrets"]} | set(service["environment"])
    for name in re.findall(r"\$\{?([A-Z][A-Z_]+)", "".join(provisioned)):
        assert name in given, name
    for source in sources:
        host = source.get("jsonData", {}).get("host") or re.sub(r"^\w+://|:\d+$", "", source["url"])
        assert host in compose["services"], source["name"]
        assert set(compose["services"][host]["networks"]) & set(service["networks"]), source["name"]
