#!/bin/sh
# docker/secrets.sh   make what docker-compose.yml needs in ./secrets: random passwords, and placeholders for Alertmanager.
#
# What is there already is left as it is, so it may be run again: after an upgrade, and when an editor has changed the
# mode of a file. Git ignores the folder. Only you can enter the folder and write the files in it; they are readable for
# everybody, because Docker mounts them as they are into containers whose accounts have other numbers than yours.
set -eu
cd "$(dirname "$0")/.."
umask 077
mkdir -p secrets secrets/alertmanager
chmod 700 secrets
chmod 755 secrets/alertmanager

for name in mailposture_collector mailposture_exporter mailposture_analyst mailposture_grafana grafana_admin; do
  file=secrets/$name
  if [ ! -s "$file" ]; then
    od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n' >"$file"
    echo "made $file"
  fi
  chmod 644 "$file"
done

for name in smtp_password slack_url webhook_token pagerduty_key pagerduty_key_web dead_mans_switch_token; do
  file=secrets/alertmanager/$name
  [ -s "$file" ] || printf unset >"$file"
  chmod 644 "$file"
  [ "$(cat "$file")" != unset ] || echo "to fill in, if your alertmanager.yml uses it: $file"
done
