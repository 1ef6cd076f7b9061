#!/usr/bin/env bash
# Shows how the live calls are spread over the decoders: within 60 s none owns more than 1.5 times its share.
# Where there is one decoder only it makes them two, and one again in the end.
. "$(dirname "$0")/lib.sh"

shows "load spread"
with_live_calls
scaled=
if [ "$(count decoder)" -lt 2 ]; then
    say "one decoder only: kn service update decoder --scale-min 2"
    old=$(latest decoder)
    scale_decoder 2
    scaled=1
    await 180 "two decoders of $(latest decoder) are there" is_up "$(latest decoder)" 2
    await 300 "no pod of $old is left" is_without_pods "$old"
fi
await 60 "no decoder owns more than 1.5 times its share" is_spread
spread
if [ -n "$scaled" ]; then scale_back; fi
