#!/usr/bin/env bash
# Shows that the sentiment function has no pod while nobody speaks, that a burst of EVENTS (200) utterances wakes
# as many as it needs and every one of them is scored within WITHIN (180) seconds, and that all pods are gone again
# afterwards. The simulated lines are silent meanwhile, and are woken again at its end. Takes about four minutes.
. "$(dirname "$0")/lib.sh"
EVENTS=${EVENTS:-200} WITHIN=${WITHIN:-180}
run=burst-$(date +%s)

shows "nobody speaks"
lines=$(lines_now)
if [ "$lines" -gt 0 ]; then
    put_back "set_lines $lines"
    set_lines 0
    say "the $lines simulated lines are silent"
fi
await 420 "no call is live: end those that are none of the simulated lines'" none_live

shows "sentiment at zero"
await 240 "sentiment has no pod" has_pods sentiment -eq 0
services

shows "a burst of $EVENTS utterances"
in_decoder burst.py publish "$run" "$EVENTS"
begun=$SECONDS most=0
scored() { in_decoder burst.py scored "$run" 2>/dev/null || echo 0; }
while :; do
    now=$(count sentiment)
    if [ "$now" -gt "$most" ]; then
        most=$now
        say "$most pods"
        services
    fi
    done=$(scored)
    [ "$done" -lt "$EVENTS" ] || break
    [ $((SECONDS - begun)) -lt $((WITHIN * PATIENCE)) ] || fail "only $done of $EVENTS utterances were scored in $WITHIN s"
done
say "all $EVENTS scored within $((SECONDS - begun)) s by up to $most pods"
[ "$most" -gt 0 ] || fail "all were scored, but not by a pod of sentiment that woke"

shows "back to zero"
await 240 "sentiment has no pod" has_pods sentiment -eq 0
services

if [ "$lines" -gt 0 ] && [ -z "$KEEP" ]; then
    shows "the lines wake"
    undo
    await 180 "calls are live again" enough_live 1
fi
