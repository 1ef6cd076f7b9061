#!/usr/bin/env bash
# Shows how another model comes in while calls are live: a new decoder revision with VOSK_MODEL_PATH=MODEL gets no
# traffic, then half of it, and in the end none again. Both revisions hold calls meanwhile; each utterance tells by its
# modeldigest which model heard it. MODEL is a folder in the image (its "dense" profile: faster, a little less exact).
# In the end model and traffic are as they were.
. "$(dirname "$0")/lib.sh"
MODEL=${MODEL:-/opt/linewatch/models/dense/vosk-model-small-en-us-0.15}

owned_by() { # how many sessions the pods of a revision own
    named_pods | awk -v pods="$1-" 'index($1, pods) == 1 {total += $2} END {print total + 0}'
}
both_own() { [ "$(owned_by "$1")" -gt 0 ] && [ "$(owned_by "$2")" -gt 0 ]; }
model_now() {
    k get ksvc decoder --output 'jsonpath={.spec.template.spec.containers[0].env[?(@.name=="VOSK_MODEL_PATH")].value}'
}
set_traffic() { k patch ksvc decoder --type merge --patch "{\"spec\":{\"traffic\":$1}}" >/dev/null; }

shows "calls before"
with_live_calls
old=$(latest decoder)
spread

shows "a revision with $MODEL, without traffic"
model=$(model_now) traffic=$(k get ksvc decoder --output 'jsonpath={.spec.traffic}')
put_back "set_traffic '${traffic:-null}'"
put_back "update decoder --env 'VOSK_MODEL_PATH${model:+=$model}$([ -n "$model" ] || echo -)'"
update decoder --traffic "$old=100"
update decoder --env "VOSK_MODEL_PATH=$MODEL"
new=$(latest decoder)
[ "$new" != "$old" ] || fail "no new revision came: does it run $MODEL already?"

shows "half of the traffic to $new"
update decoder --traffic "$old=50" --traffic "$new=50"
kn route describe decoder --namespace "$NAMESPACE" | sed -n '/^Traffic/,/^$/p'
await 120 "both revisions own calls" both_own "$old" "$new"
spread

shows "and back"
update decoder --traffic "$old=100"
await 240 "no pod of $new is left" is_without_pods "$new"
spread
[ "$(owned_by "$old")" -gt 0 ] || fail "no call is left to go on: use longer ones"

if [ -z "$KEEP" ]; then
    shows "model and traffic as they were"
    undo
    await 300 "all calls are with $(latest decoder), the model of before" is_settled
    spread
fi
