#!/usr/bin/env bash
# Fetches the clients that the tests use, in the versions they were written for, into sql-tests/clients/.env:
#   .env/python   a virtual environment with requirements.txt, from PyPI
#   .env/jdbc     the Flight SQL JDBC drivers, from Maven Central, checked against their SHA-256
# What is there already stays. A tool that is missing is named at the end, with exit code 1; the rest is still fetched.
set -uo pipefail
cd "$(dirname "$0")"
missing=()

python_environment() {
  local want have
  want=$(sha256sum < requirements.txt)
  have=$(cat .env/python/installed 2>/dev/null)
  [ "$want" = "$have" ] && return
  if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    missing+=("Python 3.11 or newer with the module venv")
    return
  fi
  if python3 -m venv .env/python &&
    .env/python/bin/pip install --quiet --disable-pip-version-check -r requirements.txt; then
    echo "$want" > .env/python/installed
  else
    missing+=("the packages of requirements.txt")
  fi
}

# jdbc_driver VERSION SHA256
jdbc_driver() {
  local artifact="org.apache.arrow:flight-sql-jdbc-driver:$1" name="flight-sql-jdbc-driver-$1.jar"
  [ -f ".env/jdbc/$name" ] && return
  mkdir -p .env/download .env/jdbc
  if command -v mvn > /dev/null; then
    mvn -q -B dependency:copy -Dartifact="$artifact" -DoutputDirectory="$PWD/.env/download" > .env/download/mvn.log 2>&1
  fi
  if [ ! -f ".env/download/$name" ]; then
    curl -fsSL -o ".env/download/$name" \
      "https://repo1.maven.org/maven2/org/apache/arrow/flight-sql-jdbc-driver/$1/$name"
  fi
  # Under its own name only when it is known to be whole.
  if echo "$2  .env/download/$name" | sha256sum --check --status 2>/dev/null; then
    mv ".env/download/$name" ".env/jdbc/$name"
  else
    missing+=("the JDBC driver $1 (not to be fetched from Maven Central, or its SHA-256 is another)")
  fi
}

python_environment
jdbc_driver 18.3.0 3f418b46c880e263558c5de669bdbede2c5d4375527ced116fb29f795b03704c
jdbc_driver 17.0.0 13953781875526c70fa69da19104ed1104fb8fd7f12fbef9d05b2d34596e6012
rm -rf .env/download
for what in "${missing[@]}"; do
  echo "missing: $what" >&2
done
[ ${#missing[@]} -eq 0 ]
