# SPDX-License-Identifier: BSD-2-Clause
# complete.fish SCRIPT: asks fish what it offers behind a command line.
source $argv[1]

# offers LINE WANT: WANT is among it; with a third argument, it is not.
function offers
    set -l got (complete -C"$argv[1]" | string replace -r '\t.*' '')
    if contains -- $argv[2] $got
        set -q argv[3]; or return 0
    else
        set -q argv[3]; and return 0
    end
    echo "$argv[1]: offered '$got', which is wrong about '$argv[2]'" >&2
    set -g bad 1
end

offers 'whystuck wa' watch
offers 'whystuck ' check
offers 'whystuck --completion ' zsh
offers 'whystuck watch --' --match
offers 'whystuck check --' --match not
offers 'whystuck 12 --' --json
offers 'whystuck watch --progress ' tqdm
offers 'whystuck watch --progress=' --progress=none
offers 'whystuck watch --turns ' jsonl:
offers 'whystuck watch --stop=' --stop=SIGTERM
offers 'whystuck watch --profile ' goodai-ltm
offers 'whystuck watch ' 1
offers 'whystuck replay ' 1 not
offers 'whystuck run -- fis' fish
set -q bad; and exit 1
exit 0
