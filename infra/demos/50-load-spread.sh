#!/usr/bin/env bash
# Shows how the live calls are spread over the decoders: within 60 s none owns more than 1.5 times its share.
# Needs at least two decoders: kn service update decoder --scale-min 3
. "$(dirname "$0")/lib.sh"

shows "load spread"
with_live_calls
[ "$(count decoder)" -ge 2 ] || fail "one decoder only: kn service update decoder --scale-min 3"
await 60 "no decoder owns more than 1.5 times its share" is_spread
spread
