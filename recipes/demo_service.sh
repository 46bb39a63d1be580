#!/bin/sh
# From nothing to a deployed model that answers: a service on SQLite, a job, its version promoted and deployed, one row
# through the gateway. Usage: demo_service.sh [FOLDER [PORT]]; SIXFOLD names the command, such as .venv/bin/sixfold.
set -eu
folder=${1:-runs/service}
port=${2:-8900}
sixfold=${SIXFOLD:-sixfold}
recipe=$(dirname "$0")/breast_cancer.yaml
mkdir -p "$folder"

$sixfold up --home "$folder/home" --port "$port" > "$folder/up.log" 2>&1 &
server=$!
trap 'kill "$server" 2> /dev/null; wait "$server" || true' EXIT
trap 'exit 130' INT TERM
until grep -q '^Sixfold is up on ' "$folder/up.log"; do
  kill -0 "$server" 2> /dev/null || { cat "$folder/up.log" >&2; exit 1; }
  sleep 0.2
done
SIXFOLD_SERVER=$(sed -n 's/^Sixfold is up on //p' "$folder/up.log")
# The first key is shown once: the demo keeps it for its next start, readable by its owner alone.
shown=$(sed -n 's/^The first key, shown once: //p' "$folder/up.log")
[ -z "$shown" ] || (umask 077 && printf '%s\n' "$shown" > "$folder/first.key")
sed -i.old '/^The first key/d' "$folder/up.log" && rm -f "$folder/up.log.old"
SIXFOLD_API_KEY=$(cat "$folder/first.key")
export SIXFOLD_SERVER SIXFOLD_API_KEY
echo "Sixfold is up on $SIXFOLD_SERVER"

$sixfold submit "$recipe" --publish breast-cancer --follow
$sixfold models breast-cancer --promote production
$sixfold deploy breast-cancer --version production --wait
$sixfold models breast-cancer --version production --download "$folder/bundle.$$" > /dev/null
$sixfold inspect "$folder/bundle.$$" --example > "$folder/row.csv"
rm -r "$folder/bundle.$$"
echo "One row through the gateway:"
curl --silent --show-error --fail --max-time 60 --header "Authorization: Bearer $SIXFOLD_API_KEY" \
  --header 'Content-Type: text/csv' --data-binary @"$folder/row.csv" "$SIXFOLD_SERVER/models/breast-cancer/predict"
echo
echo "The console:   $SIXFOLD_SERVER/console"
echo "Start it again: $sixfold up --home $folder/home    (its key: $folder/first.key)"
