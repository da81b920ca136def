#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# check.sh WHYSTUCK CASE.rec: the recording must give the files in CASE.expected, byte for byte.
set -eu
bin=$1 rec=$2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
status=0
"$bin" replay "$rec" -o "$out" --quiet || status=$?
case $status in 0 | 3) ;; *) echo "exit status $status"; exit 1 ;; esac
diff -r "${rec%.rec}.expected" "$out"
