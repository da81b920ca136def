# SPDX-License-Identifier: BSD-2-Clause
# complete.zsh DIR: types lines into a zsh on a terminal of its own, with DIR/zsh as its completion of whystuck, presses
# TAB, and compares what was offered: compadd is wrapped so that each offer becomes a line between two marks.
zmodload zsh/zpty
dir=$1 bad=0
mkdir -p $dir/functions && cp $dir/zsh $dir/functions/_whystuck

cat >$dir/setup.zsh <<EOF
PS1= fpath=($dir/functions \$fpath)
autoload -Uz compinit && compinit -u -D
zstyle ':completion:*' menu no
EOF
cat >>$dir/setup.zsh <<'EOF'
offered() {
	print '<offered>'
	print -rl -- $hits
	print '<end>'
	compstate[insert]= compstate[list]=
	comppostfuncs=(offered)
	hits=()
}
compadd() {
	local -a these
	if [[ ${@[1,(i)(-|--)]} != *-[OAD]\ * ]]; then
		builtin compadd -A these "$@"
		hits+=($these)
	fi
	builtin compadd "$@"
}
typeset -ga hits
comppostfuncs=(offered)
print '<ready>'
EOF

# read_until MARK: what the other zsh wrote up to MARK, in REPLY.
read_until() {
	zpty -r shell REPLY "*$1*" || { print -u2 "zsh ended instead of showing $1"; exit 1 }
}

# offers LINE WANT [not]
offers() {
	zpty -b shell "TERM=dumb zsh -f -i"
	zpty -w shell "source $dir/setup.zsh"
	read_until '<ready>'
	zpty -w -n shell "$1"$'\t'
	read_until '<end>'
	local -a got=("${(@f)${${REPLY#*<offered>}%<end>*}//$'\r'/}")
	zpty -d shell
	(( ${got[(Ie)$2]} )) && [[ -z $3 ]] && return
	(( ! ${got[(Ie)$2]} )) && [[ -n $3 ]] && return
	print -u2 "$1: offered '$got', which is wrong about '$2'"
	bad=1
}

offers 'whystuck wa' watch
offers 'whystuck --completion ' zsh
offers 'whystuck watch --' --match
offers 'whystuck check --' --match not
offers 'whystuck 12 --' --json
offers 'whystuck watch --progress ' tqdm
offers 'whystuck watch --turns ' jsonl:
offers 'whystuck watch --stop=' SIGTERM
offers 'whystuck watch --profile ' goodai-ltm
offers "whystuck replay $dir/" bash
exit $bad
