#!/bin/sh
# with-passwords.sh COMMAND…   run a command that can only read passwords from its environment.
#
# ClickHouse (users.xml, from_env) and Grafana (data sources, ${…}) cannot read the files of Docker secrets.
# /run/secrets/mailposture_grafana becomes MAILPOSTURE_GRAFANA_PASSWORD in the command's environment, and nowhere else:
# `docker inspect` does not show it.
set -eu
for file in /run/secrets/mailposture_*; do
  [ -r "$file" ] || { echo "$file: cannot be read; run docker/secrets.sh on the host, then docker compose up again" >&2; exit 1; }
  name=$(basename "$file" | tr '[:lower:]' '[:upper:]')_PASSWORD
  export "$name=$(cat "$file")"
done
exec "$@"
