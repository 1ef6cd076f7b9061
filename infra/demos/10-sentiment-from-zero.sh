#!/usr/bin/env bash
# Shows that the sentiment function has no pod while nobody speaks, that a burst of EVENTS (200) utterances wakes
# as many as it needs and every one of them is scored, and that all pods are gone again afterwards.
# Needs that no calls are live (a call that speaks keeps the function awake). Takes about two minutes.
. "$(dirname "$0")/lib.sh"
EVENTS=${EVENTS:-200}
run=burst-$(date +%s)

shows "sentiment at zero"
await 180 "sentiment has no pod: is any call live?" has_pods sentiment -eq 0
services

shows "a burst of $EVENTS utterances"
in_decoder burst.py publish "$run" "$EVENTS"
begun=$SECONDS most=0
scored() { in_decoder burst.py scored "$run" 2>/dev/null || echo 0; }
until [ "$(scored)" -ge "$EVENTS" ]; do
    now=$(count sentiment)
    if [ "$now" -gt "$most" ]; then
        most=$now
        say "$most pods"
        services
    fi
    [ $((SECONDS - begun)) -lt 180 ] || fail "only $(scored) of $EVENTS utterances were scored in 180 s"
done
say "all $EVENTS scored within $((SECONDS - begun)) s by up to $most pods"

shows "back to zero"
await 240 "sentiment has no pod" has_pods sentiment -eq 0
services
