#!/bin/sh
# Makes a Python virtual environment in the folder $1 with the PyPI packages that follow, unless it
# is there already; says so.
set -eu

folder=$1
shift
if [ "$(cat "$folder/installed" 2>/dev/null)" = "$*" ]; then
    exit 0
fi
echo "installing Python packages into $folder: $*"
# Debian's own Python, which the package python3-venv belongs to.
/usr/bin/python3 -m venv --clear "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
echo "$*" >"$folder/installed"
