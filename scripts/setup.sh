#!/usr/bin/env bash
# Sets up everything hibana needs on a Debian machine, says what it does, and does nothing twice:
#   1. Debian packages (a C++ compiler, libxc, OpenBLAS, Python headers) where they are missing,
#   2. a virtual environment in .venv,
#   3. the pinned Python packages of constraints.txt, GPAW built against libxc, and hibana itself.
# An argument names its extras; default: embedded,rehearsal,dev. `learn` adds what the learning modules need.
# HIBANA_PYTHON names another Python (3.11 or newer); HIBANA_VENV another place for the environment.
set -euo pipefail
cd "$(dirname "$0")/.."

extras=${1:-embedded,rehearsal,dev}
venv=${HIBANA_VENV:-.venv}
say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
die() { printf '[setup] %s\n' "$@" >&2; exit 1; }

packages=(g++ libxc-dev libopenblas-dev python3-dev python3-venv)
missing=()
if command -v dpkg-query >/dev/null; then
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
else
  say "this is no Debian system: a C++ compiler, libxc, a BLAS and Python headers must be there already"
fi
if ((${#missing[@]})); then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "Debian packages are missing: ${missing[*]}" \
      "Ask your administrator for: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "installing Debian packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

python=${HIBANA_PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  || die "$python is older than Python 3.11 or not there; name another with HIBANA_PYTHON=/path/to/python3.11"

stamp="$venv/.hibana-setup-$extras"
wanted=$(cat pyproject.toml constraints.txt scripts/setup.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  say "the environment in $venv is up to date"
  exit 0
fi

[ -x "$venv/bin/python" ] || { say "making a virtual environment in $venv ($("$python" --version))"; "$python" -m venv "$venv"; }
pip=("$venv/bin/python" -m pip --disable-pip-version-check)

# A GPAW wheel of another build in pip's cache would be taken silently, so GPAW is always built afresh. Its C sources need
# a C++ compiler.
if ! "$venv/bin/python" -c 'import gpaw, sys; sys.exit(gpaw.__version__ != "26.7.0")' 2>/dev/null; then
  say "building GPAW 26.7.0 against libxc (half a minute to two minutes)"
  CC=g++ "${pip[@]}" install -q --no-cache-dir -c constraints.txt gpaw==26.7.0 gpaw-data==1.2.1
fi
say "installing the pinned Python packages (one to three minutes)"
"${pip[@]}" install --progress-bar off -c constraints.txt -e ".[$extras]" \
  | grep --line-buffered -E '^(Collecting|Installing|Successfully|ERROR)' | awk '
      /^Collecting/ { if (++n % 20 == 0) { print "[setup]   " n " packages looked up"; fflush() } next }
      { print "[setup]   " substr($0, 1, 120); fflush() }'
echo "$wanted" >"$stamp"
say "done; activate it with: source $venv/bin/activate"
