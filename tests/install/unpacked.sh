#!/bin/sh
# Unpacks Debian packages into a folder without installing them, and installs the libraries that they
# need: servers that exclude each other lie side by side, and none is started or gets users and settings.
set -eu

folder=$1
shift
[ -e "$folder/complete" ] && [ "$(cat "$folder/complete")" = "$*" ] && exit 0

here=$(dirname "$0")
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    sudo="sudo"
fi
echo "unpacking into $folder: $*"
rm -rf "$folder"
mkdir -p "$folder"
# The package lists of a fresh machine may be missing or out of date.
$sudo apt-get update -qq
libraries=$(apt-cache depends --no-recommends --no-suggests "$@" |
    sed -n 's/^ *Depends: \(lib[^<>]*\)$/\1/p' | sort -u)
# shellcheck disable=SC2086 # one word for each library
"$here/debian.sh" $libraries
(
    cd "$folder"
    # Without a user of its own apt says so and works all the same.
    apt-get download -qq "$@" 2>/dev/null
    for package in *.deb; do
        dpkg-deb --extract "$package" .
        rm "$package"
    done
)
echo "$*" >"$folder/complete"
