#!/usr/bin/env bash
# Shows that a decoder pod may be deleted in the middle of calls: its calls move to others and go on, the others'
# calls stay where they are. What counts is what stands once the pod is gone. POD names one (the decoder with the most
# sessions).
. "$(dirname "$0")/lib.sh"
watched=$NOTES/before gone=$NOTES/gone after=$NOTES/after

shows "calls before"
with_live_calls
spread
POD=${POD:-$(named_pods | sort -k2 -n | awk '$1 != "(ending)" {last = $1} END {print last}')}
[ -n "$POD" ] || fail "no decoder owns a call"
snapshot >"$watched"

shows "kubectl delete pod $POD"
begun=$SECONDS
k delete pod "$POD" --wait=false >/dev/null
is_gone() { ! k get pod "$POD" --output name >/dev/null 2>&1; }
await 300 "$POD ended after its drain" is_gone
watched=
is_adopted() { # none is still owned by the pod that is gone
    snapshot >"$gone" && awk -v pod="$POD" '$2 == "-" || $2 == pod {exit 1}' "$gone"
}
await 60 "every live call has an owner" is_adopted

shows "every call goes on"
# CALL/CHANNEL OLD NEW STEPS of every channel that lives on; STEPS were taken since the pod was gone. OLD is the pod
# that is gone if it ever owned it, else the first that was seen to.
lives_on() {
    awk -v pod="$POD" 'FILENAME == ARGV[1] {if ($2 == pod || (!($1 in old) && $2 != "-")) old[$1] = $2; next}
        FILENAME == ARGV[2] {if ($1 in old) since[$1] = $4; next}
        $1 in since {print $1, old[$1], $2, $4 - since[$1]}' "$NOTES/before" "$gone" "$after"
}
go_on() { snapshot >"$after" && lives_on | awk '{lives = 1} $4 <= 0 {stuck = 1} END {exit !lives || stuck}'; }
await 60 "every call that lives on took steps since" go_on
lives_on >"$NOTES/lives"
awk -v pod="$POD" '$2 == pod {print "   " $1 ": " $2 " -> " $3}' "$NOTES/lives"
awk -v pod="$POD" '{if ($2 == pod) moved++; else stayed += $2 == $3}
    END {printf "   %d channels moved, %d stayed, %d s after the deletion\n", moved, stayed, ago}' ago=$((SECONDS - begun)) "$NOTES/lives"
awk -v pod="$POD" '$2 == pod && $3 != pod {moved++} END {exit !moved}' "$NOTES/lives" ||
    fail "none of its calls was seen to move: all ended while it drained, or it had none; try again"
awk -v pod="$POD" '$2 != pod && $2 != $3 {print "   " $1 ": " $2 " -> " $3; wrong = 1} END {exit wrong}' "$NOTES/lives" ||
    fail "calls of others moved too"
spread
