#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check.sh DOCS WRITE_MAN WHYSTUCK: the committed man page is the one that the options' table gives and renders without
# a warning; each shell that is here takes its script, and bash completes with it.
set -euo pipefail
docs=$1 write_man=$2 whystuck=$3
dir=$(cd "$(dirname "$0")" && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

fail() {
	echo "$1" >&2
	exit 1
}

"$write_man" "$docs/whystuck.1.in" >"$out/whystuck.1"
diff -u "$docs/whystuck.1" "$out/whystuck.1" ||
	fail "docs/whystuck.1 is not what the options' table gives: copy whystuck.1 from the build folder"

if command -v groff >/dev/null; then
	groff -mdoc -ww -Tutf8 "$docs/whystuck.1" >/dev/null 2>"$out/warnings"
	[[ ! -s $out/warnings ]] || fail "groff: $(<"$out/warnings")"
fi
# What it may complain of is the width of lines and pages that are not installed.
if command -v mandoc >/dev/null; then
	mandoc -T lint -W warning "$docs/whystuck.1" >"$out/warnings" || fail "mandoc: $(<"$out/warnings")"
fi

for shell in bash zsh fish; do
	"$whystuck" --completion "$shell" >"$out/$shell"
	! command -v "$shell" >/dev/null || "$shell" -n "$out/$shell" || fail "$shell refuses its script"
done
bash "$dir/complete.sh" "$out/bash"
if command -v zsh >/dev/null; then
	zsh -f "$dir/complete.zsh" "$out"
fi
if command -v fish >/dev/null; then
	HOME=$out fish --no-config "$dir/complete.fish" "$out/fish"
fi
