#!/bin/sh
# A drill: see an alert before there is a reason for one.
#
#   docker/drill.sh report DOMAIN   print a made-up report: yesterday 40 of 100 sessions met an expired certificate
#   docker/drill.sh remove          delete what was imported of such reports from the stack's database
#
# docker/drill.sh report example.com | docker compose exec -T collector mailposture import -
set -eu
sender="mailposture drill"
case "${1:-}:${2:-}" in
  report:?*)
    day=$(date -u -d yesterday +%F 2>/dev/null || date -u -v-1d +%F)  # GNU, else BSD and macOS
    # Whoever can guess a report can sign it and send it first; what is imported then is a copy, and does not count.
    guessed_by_nobody=$(od -An -N8 -tx1 /dev/urandom | tr -d ' ')
    cat <<JSON
{"organization-name": "$sender", "contact-info": "drill@invalid.example", "report-id": "drill-$day-$2-$guessed_by_nobody",
 "date-range": {"start-datetime": "${day}T00:00:00Z", "end-datetime": "${day}T23:59:59Z"},
 "policies": [{"policy": {"policy-type": "no-policy-found", "policy-domain": "$2"},
   "summary": {"total-successful-session-count": 60, "total-failure-session-count": 40},
   "failure-details": [{"result-type": "certificate-expired", "receiving-mx-hostname": "mx.$2", "failed-session-count": 40}]}]}
JSON
    ;;
  remove:)
    for table in tls_reports tls_policies tls_failures; do
      docker compose exec -T clickhouse sh -c \
        'CLICKHOUSE_PASSWORD=$(cat /run/secrets/mailposture_collector) clickhouse-client --user mailposture_collector --query "$0"' \
        "ALTER TABLE mailposture_tables.$table DELETE WHERE organization = '$sender' SETTINGS mutations_sync = 1"
    done
    for table in tls_sender_days tls_reporter_arrivals; do
      docker compose exec -T clickhouse sh -c \
        'CLICKHOUSE_PASSWORD=$(cat /run/secrets/mailposture_collector) clickhouse-client --user mailposture_collector --query "$0"' \
        "ALTER TABLE mailposture_tables.$table DELETE WHERE reporter = 'invalid.example' SETTINGS mutations_sync = 1"
    done
    ;;
  *)
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
