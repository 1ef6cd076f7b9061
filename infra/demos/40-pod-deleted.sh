#!/usr/bin/env bash
# Shows that a decoder pod may be deleted in the middle of calls: its calls move to others and go on, the
# others' calls stay where they are. POD names one (the decoder with the most sessions).
. "$(dirname "$0")/lib.sh"
before=$(mktemp) after=$(mktemp)

shows "calls before"
with_live_calls
sessions >"$before"
spread
POD=${POD:-$(named_pods | sort -k2 -n | awk '$1 != "(ending)" {last = $1} END {print last}')}
[ -n "$POD" ] || fail "no decoder owns a call"

shows "kubectl delete pod $POD"
begun=$SECONDS
k delete pod "$POD" --wait=false >/dev/null
is_gone() { ! k get pod "$POD" --output name >/dev/null 2>&1; }
await 300 "$POD ended after its drain" is_gone

shows "every call goes on"
go_on() { # every channel that still lives got steps since
    sessions >"$after" || return 1
    awk '$1 != "session" {next} NR == FNR {seq[$2] = $4; next} $2 in seq {kept++; if ($4 <= seq[$2]) stuck++}
         END {exit !(kept && !stuck)}' "$before" "$after"
}
await 60 "every live channel got steps since" go_on
awk '$1 != "session" {next} NR == FNR {moves[$2] = $3; next} $2 in moves {kept++; moved += $3 > moves[$2]}
    END {printf "   %d channels live on, %d of them moved, %d s after the deletion\n", kept, moved, ago}' ago=$((SECONDS - begun)) "$before" "$after"
spread
