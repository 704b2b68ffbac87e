#!/bin/sh
# Installs those of the named Debian packages that are missing, and says so.
set -eu

missing=""
for package; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null |
        grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=""
if [ "$(id -u)" -ne 0 ]; then
    sudo="sudo"
fi
if ! command -v apt-get >/dev/null; then
    echo "install these, or what your system calls them, and try again:$missing" >&2
    exit 1
fi
echo "installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
# The package lists of a fresh machine may be missing or out of date.
$sudo apt-get update -qq
# shellcheck disable=SC2086 # one word for each package
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
