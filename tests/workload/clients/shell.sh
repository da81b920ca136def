#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# shell.sh curl|wget URL: a process for each request, as shell scripts do; see client.py for what is read and printed.
# Times are CLOCK_REALTIME here ("realtime": true): a shell has no other.
set -euo pipefail
tool=$1 url=$2/v1/chat/completions
ca=$SSL_CERT_FILE
path=(${CLIENT_UNIX:+--unix-socket "$CLIENT_UNIX"}) # curl's

now() {
	echo "${EPOCHREALTIME/[.,]/}000"
}

one() {
	local number=$1 words body reply start end
	words=$(printf 'word %.0s' $(seq "$number"))
	body="{\"model\":\"stand-in\",\"messages\":[{\"role\":\"user\",\"content\":\"$words\"}]}"
	start=$(now)
	case $tool in
	curl) reply=$(curl -sS "${path[@]}" --cacert "$ca" -H 'content-type: application/json' -d "$body" "$url") ;;
	wget) reply=$(wget -q -O - --ca-certificate="$ca" --header='content-type: application/json' --post-data="$body" "$url") ;;
	esac
	end=$(now)
	tokens() { sed -E "s/.*\"$1\": ?([0-9]+).*/\1/" <<<"$reply"; }
	printf '{"event":"call","realtime":true,"number":%d,"start_ns":%d,"first_ns":null,"end_ns":%d,"status":200,"tokens_in":%d,"tokens_out":%d}\n' \
		"$number" "$start" "$end" "$(tokens prompt_tokens)" "$(tokens completion_tokens)"
}

echo '{"event":"ready"}'
while read -r count first; do
	for ((i = 0; i < count; i++)); do
		one $((first + i)) &
	done
	wait
	echo '{"event":"done"}'
done
