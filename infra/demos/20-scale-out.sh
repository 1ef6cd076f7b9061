#!/usr/bin/env bash
# Shows that the decoder can be scaled out in the middle of calls: `kn service update decoder --scale-min 3` makes a
# new revision, every call moves to it once without losing a word, and within 60 s no decoder owns more than 1.5 times
# its share. SCALE (3) is how many; MOST_MOVES (1) is 2 on a node so slow that decoders start more than 15 s apart. Undo: kn service update decoder --scale-min 1
. "$(dirname "$0")/lib.sh"
SCALE=${SCALE:-3} MOST_MOVES=${MOST_MOVES:-1}
before=$(mktemp) after=$(mktemp)

shows "calls before"
with_live_calls
old=$(latest decoder)
sessions >"$before"
spread

shows "kn service update decoder --scale-min $SCALE"
update decoder --scale-min "$SCALE"
new=$(latest decoder)
[ "$new" != "$old" ] || fail "no new revision came"
await 120 "$SCALE decoders of $new are there" has_pods decoder -ge "$SCALE"
await 60 "no decoder owns more than 1.5 times its share" is_spread
spread

shows "the old revision ends, its calls go on"
await 300 "no pod of $old is left" is_without_pods "$old"
sessions >"$after"
spread
moves=$(awk '$1 != "session" {next} NR == FNR {moves[$2] = $3; next}
    $2 in moves {moved[$3 - moves[$2]]++} END {for (each in moved) print moved[each], "channels moved", each, "times"}' "$before" "$after" | sort)
[ -n "$moves" ] || fail "every call ended before it could move: use longer ones"
printf '%s\n' "$moves" | while read -r line; do say "$line"; done
printf '%s\n' "$moves" | awk -v most="$MOST_MOVES" '$4 < 1 || $4 > most {exit 1}' ||
    fail "a channel moved not at all, or more than $MOST_MOVES times"
is_spread || fail "a decoder owns more than 1.5 times its share at the end"
