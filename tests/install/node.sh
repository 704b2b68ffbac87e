#!/bin/sh
# Installs the npm packages that follow into the folder $1, unless they are there already; says so.
set -eu

folder=$1
shift
if [ "$(cat "$folder/installed" 2>/dev/null)" = "$*" ]; then
    exit 0
fi
if ! command -v npm >/dev/null; then
    "$(dirname "$0")/debian.sh" nodejs npm
fi
echo "installing npm packages into $folder: $*"
mkdir -p "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$folder" "$@" >/dev/null
echo "$*" >"$folder/installed"
