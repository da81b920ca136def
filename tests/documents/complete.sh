#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# complete.sh SCRIPT: asks bash's completion as readline does, with words broken at = and :, and compares what it offers.
set -u
# shellcheck source=/dev/null
source "$1"
cd "$(dirname "$1")" || exit 1
mkdir -p in && touch "in/a b.rec" in/c.rec && mkdir -p in/dir
bad=0

# offers WANT WORD ...: the words behind the program's name, the last one being typed; WANT is what is offered, joined by
# commas; +X means that X is among it, -X that it is not.
offers() {
	local want=$1 got joined
	shift
	# shellcheck disable=SC2034
	COMP_WORDBREAKS=$' \t\n"\'><=;|&(:' COMP_WORDS=(whystuck "$@") COMP_CWORD=$#
	COMPREPLY=()
	_whystuck
	got=$(printf '%s,' ${COMPREPLY[@]+"${COMPREPLY[@]}"})
	joined=${got%,}
	case $want in
	+*) [[ ,$got == *",${want:1},"* ]] && return ;;
	-*) [[ ,$got != *",${want:1},"* ]] && return ;;
	*) [[ $joined == "$want" ]] && return ;;
	esac
	echo "whystuck $*: offered '$joined', wanted '$want'" >&2
	bad=1
}

offers watch wa
offers +run ""
offers "+$$" ""
offers +--completion -
offers --completion --co
offers bash,zsh,fish --completion ""
offers --profile watch --prof
offers +--match watch 12 --
offers -- replay --match
offers tqdm,none watch --progress ""
offers tqdm watch --progress = tq
offers tqdm,none watch --progress =
offers none watch 12 --progress n
offers jsonl: watch --turns j
offers "" watch --turns jsonl : x
offers goodai-ltm watch --profile = ""
offers SIGTERM watch --stop = SIGTE
offers "" watch --total ""
offers --total watch --storage L1 = 127.0.0.1 : 6379 --to
offers "+$$" watch ""
offers "+$$" watch 1 ""
offers "-$$" replay ""
offers in/dir watch -o in/
offers "in/a b.rec" replay in/a
offers "in/a b.rec" watch --config = in/a
offers in/c.rec watch --record in/c
offers --json 12 --js
offers "" watch -- --js
offers +bash run bas
offers +bash run --total 3 -- bas
offers in/c.rec run -- cat in/c
offers "" run cat --prog
exit "$bad"
