#!/usr/bin/env bash
# Shows that the decoder can be scaled out in the middle of calls: `kn service update decoder --scale-min 3` makes a
# new revision, every call moves to it once without losing a word, and within 60 s no decoder owns more than 1.5 times
# its share. In the end min-scale and max-scale are as they were, and the calls have moved back. SCALE (3) is how many;
# MOST_MOVES (1) is 2 on a node so slow that decoders start more than 15 s apart.
. "$(dirname "$0")/lib.sh"
SCALE=${SCALE:-3} MOST_MOVES=${MOST_MOVES:-1}

shows "calls before"
with_live_calls
old=$(latest decoder)
watched=$NOTES/watched
snapshot >"$watched"
spread

shows "kn service update decoder --scale-min $SCALE"
scale_decoder "$SCALE"
new=$(latest decoder)
[ "$new" != "$old" ] || fail "no new revision came: are there $SCALE decoders already?"
await 180 "$SCALE decoders of $new are there" is_up "$new" "$SCALE"
await 60 "no decoder owns more than 1.5 times its share" is_spread
spread

shows "the old revision ends, its calls go on"
await 300 "no pod of $old is left" is_without_pods "$old"
snapshot >>"$watched"
spread
# A channel counts from when it was last seen with the old revision to when it was last seen at all.
awk -v old="$old-" '
    index($2, old) == 1 {if (!($1 in first)) first[$1] = $3; next}
    $1 in first && $2 != "-" {moves[$1] = $3 - first[$1]}
    END {for (each in moves) print moves[each], each}' "$watched" | sort >"$NOTES/moves"
[ -s "$NOTES/moves" ] || fail "no call was seen to move: did all end before?"
cut -d ' ' -f 1 "$NOTES/moves" | sort | uniq -c | while read -r channels times; do say "$channels channels moved $times times"; done
awk -v most="$MOST_MOVES" '$1 < 1 || $1 > most {print "   " $2 " moved " $1 " times"; wrong = 1} END {exit wrong}' "$NOTES/moves" ||
    fail "a channel moved not at all, or more than $MOST_MOVES times"
watched=
await 60 "no decoder owns more than 1.5 times its share at the end" is_spread

shows "back to what it was"
scale_back
