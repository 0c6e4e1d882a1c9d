#!/usr/bin/env bash
# Starts a Volley server on an empty directory and runs the client tests against it.
#
#   sql-tests/clients/run.sh [--allow-missing] [--only python|java] [BINARY]
#
#   BINARY            the program to test; default: target/release/volley of this checkout
#   --allow-missing   a client that cannot be had (see setup.sh) is named, but is no failure
#   --only            one of the two suites
#   VOLLEY_DATA       the folder with wordnet_synsets.parquet and wordnet_queries.parquet; tests that need it are
#                     skipped, and say so, when it is unset
#
# The suites run twice: on a server without users, where everybody may do everything, and on one with a superuser, whose
# name and password each client then gives. Each server is stopped with SIGTERM and has to end with exit code 0.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binary="$here/../../target/release/volley"
allow_missing=no
only=all
while [ $# -gt 0 ]; do
  case "$1" in
    --allow-missing) allow_missing=yes ;;
    --only) only="${2:-}"; shift ;;
    --help) sed -n '2,/^set /{s/^# \{0,1\}//;/^set /d;p}' "$0"; exit 0 ;;
    -*) echo "unknown option $1; see run.sh --help" >&2; exit 2 ;;
    *) binary=$1 ;;
  esac
  shift
done
case "$only" in all | python | java) ;; *) echo "--only takes python or java" >&2; exit 2 ;; esac
if [ ! -x "$binary" ]; then
  echo "$binary is no program; build it with: cargo build --release" >&2
  exit 2
fi
binary=$(realpath "$binary")
work=$(mktemp -d)
server=
trap '[ -n "$server" ] && kill -9 "$server" 2>/dev/null; rm -rf "$work"' EXIT
results=()
failed=no

# note OUTCOME WHAT: one line of the summary; anything but pass and skip fails the run.
note() {
  results+=("$(printf '%-5s %s' "$1" "$2")")
  case "$1" in pass | skip) ;; *) failed=yes ;; esac
}

missing() {
  if [ "$allow_missing" = yes ]; then note skip "$1"; else note MISS "$1"; fi
}

# The program takes variables named VOLLEY_… for its own options; those of the tests are not meant for it.
volley() {
  exec env $(compgen -e VOLLEY_ | sed 's/^/-u /') "$binary" "$@"
}

# start NAME: a server on $work/NAME/data, and in the environment what the clients need to know of it.
start() {
  local directory="$work/$1" http i
  mkdir -p "$directory"
  # Port 0 is a free one; the line that the server prints tells which.
  volley serve -d "$directory/data" --flight 127.0.0.1:0 --http 127.0.0.1:0 > "$directory/out" 2> "$directory/log" &
  server=$!
  for i in $(seq 300); do
    VOLLEY_URI=$(grep -o 'grpc://[0-9.:]*' "$directory/out" | head -1)
    http=$(grep -o 'http://[0-9.:]*' "$directory/out" | head -1)
    if [ -n "$http" ] && curl -fsS -o "$directory/ready" "$http/readyz" 2>> "$directory/curl"; then
      export VOLLEY_URI VOLLEY_BINARY="$binary" VOLLEY_DIRECTORY="$directory/data"
      return 0
    fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  note FAIL "$1: the server did not become ready"
  cat "$directory/out" "$directory/log" >&2
  kill -9 "$server" 2>/dev/null
  server=
  return 1
}

stop() {
  local code
  kill -TERM "$server"
  ( sleep 60; kill -9 "$server" 2>/dev/null ) & local watchdog=$!
  wait "$server"
  code=$?
  kill "$watchdog" 2>/dev/null
  server=
  if [ $code -eq 0 ]; then
    note pass "$1: SIGTERM ends the server with exit code 0"
  else
    note FAIL "$1: SIGTERM ended the server with exit code $code"
    tail -n 20 "$work/$1/log" >&2
  fi
  if grep -n "panicked" "$work/$1/log" >&2; then note FAIL "$1: the server's log tells of a panic"; fi
  if (volley verify -d "$work/$1/data") > "$work/$1/verify" 2>&1; then
    note pass "$1: volley verify finds nothing wrong afterwards"
  else
    note FAIL "$1: volley verify finds something wrong afterwards"
    cat "$work/$1/verify" >&2
  fi
}

python_suite() {
  local python="$here/.env/python/bin/python"
  if [ ! -f "$here/.env/python/installed" ]; then missing "$1: Python clients"; return; fi
  if (cd "$here/python" && "$python" -W error::ResourceWarning -m unittest discover --verbose); then
    note pass "$1: Python clients"
  else
    note FAIL "$1: Python clients"
  fi
}

java_suite() {
  local version jar
  if ! command -v javac > /dev/null; then missing "$1: JDBC (no javac: a JDK 17 or newer is needed)"; return; fi
  for version in 18.3.0 17.0.0; do
    jar="$here/.env/jdbc/flight-sql-jdbc-driver-$version.jar"
    if [ ! -f "$jar" ]; then missing "$1: JDBC driver $version"; continue; fi
    if mkdir -p "$work/classes" && javac -d "$work/classes" "$here"/java/*.java &&
      java --add-opens=java.base/java.nio=ALL-UNNAMED -Djava.util.logging.config.file=/dev/null \
        -cp "$work/classes:$jar" ClientTests; then
      note pass "$1: JDBC driver $version"
    else
      note FAIL "$1: JDBC driver $version"
    fi
  done
}

suites() {
  if [ "$only" != java ]; then python_suite "$1"; fi
  if [ "$only" != python ]; then java_suite "$1"; fi
}

"$here/setup.sh"
unset VOLLEY_USER VOLLEY_PASSWORD
if start open; then
  suites open
  stop open
fi
# The second time with a login; what needs much data ran already.
unset VOLLEY_DATA
mkdir -p "$work/login"
if ! (volley sql -d "$work/login/data" -c "CREATE USER tester PASSWORD 'correct horse' SUPERUSER"); then
  note FAIL "login: no user could be made"
elif start login; then
  export VOLLEY_USER=tester VOLLEY_PASSWORD="correct horse"
  suites login
  stop login
fi
echo
printf '%s\n' "${results[@]}"
[ "$failed" = no ]
