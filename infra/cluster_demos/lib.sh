# What the demos share. Every demo needs kubectl and kn, pointed at a cluster on which Linewatch runs;
# NAMESPACE says where (linewatch). LINES is how many simulated lines a demo starts where no calls are live (8).
# What a demo changes it puts back, also where it fails or is interrupted; with KEEP=1 it leaves all as it is.
set -euo pipefail
NAMESPACE=${NAMESPACE:-linewatch}
LINES_WANTED=${LINES:-8}
KEEP=${KEEP:-}
# How many times as long as usual a demo waits for anything: more on a slow node.
PATIENCE=${PATIENCE:-1}
DEMOS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
NOTES=$(mktemp -d)

k() { kubectl --namespace "$NAMESPACE" "$@"; }
shows() { printf '== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

changed=()
put_back() { changed=("$*" ${changed[@]+"${changed[@]}"}); } # put_back COMMAND...: when the demo ends; the last change first
undo() {
    local each status=0
    for each in ${changed[@]+"${changed[@]}"}; do
        if [ -n "$KEEP" ]; then
            say "KEEP is set, so this is left to you: $each"
        elif ! (eval "$each"); then
            printf 'FAILED: could not put back what was: %s\n' "$each" >&2
            status=1
        fi
    done
    changed=()
    return "$status"
}
finish() {
    local status=$1
    trap - EXIT
    trap '' INT TERM HUP # what was changed is put back first
    undo || status=1
    rm -rf "$NOTES"
    exit "$status"
}
trap 'finish $?' EXIT
trap 'exit 130' INT TERM HUP

watched= # a file that gets a snapshot at each look while something is awaited
await() { # await SECONDS WHAT COMMAND...: until the command succeeds
    local until=$((SECONDS + $1 * PATIENCE)) what=$2 begun=$SECONDS
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || fail "not within $((SECONDS - begun)) s: $what"
        [ -z "$watched" ] || snapshot >>"$watched" || :
        sleep 1
    done
    say "$what (after $((SECONDS - begun)) s)"
}

all_pods() { # all_pods SERVICE: name, address and "ending" or "up" of every pod, one a line
    k get pods --selector "serving.knative.dev/service=$1" --output go-template='
{{- range .items}}{{if .status.podIP}}{{.metadata.name}} {{.status.podIP}}
{{- if .metadata.deletionTimestamp}} ending{{else}} up{{end}}{{"\n"}}{{end}}{{end}}'
}
pods() { all_pods "$1" | sed -n 's/ up$//p'; } # name and address of every pod that is not ending
count() { pods "$1" | wc -l; }
has_pods() { [ "$(count "$1")" "$2" "$3" ]; } # has_pods sentiment -eq 0
is_up() { # is_up REVISION N: so many of its pods are there
    [ "$(pods decoder | grep -c "^$1-")" -ge "$2" ]
}
is_without_pods() { # is_without_pods REVISION: also none that is ending
    local left
    left=$(k get pods --selector "serving.knative.dev/revision=$1" --output name) && [ -z "$left" ]
}
is_settled() { # every decoder is of a revision that has traffic: no call is about to move
    local served
    served=$(k get ksvc decoder --output 'jsonpath={.status.traffic[*].revisionName}') || return 1
    all_pods decoder | awk -v served="$served" '
        BEGIN {split(served, names, " "); for (each in names) has[names[each]]}
        {revision = $1; sub(/-deployment-.*/, "", revision); if ($3 == "ending" || !(revision in has)) exit 1}'
}
latest() { k get ksvc "$1" --output 'jsonpath={.status.latestReadyRevisionName}'; }
services() { kn service list --namespace "$NAMESPACE"; }
update() { kn service update --namespace "$NAMESPACE" "$@" >/dev/null; }

AUTOSCALING=autoscaling.knative.dev
scale_setting() { # scale_setting min-scale: its value, or nothing
    k get ksvc decoder --output "jsonpath={.spec.template.metadata.annotations.autoscaling\\.knative\\.dev/$1}"
}
as_it_is() { # as_it_is min-scale: what makes it again what it is now
    local value
    value=$(scale_setting "$1")
    printf -- '--annotation-revision %s/%s' "$AUTOSCALING" "$1${value:+=$value}"
    [ -n "$value" ] || printf -- '-'
}
scale_decoder() { # scale_decoder N: N decoders at least, and more allowed where fewer were
    local most
    most=$(scale_setting max-scale)
    put_back "update decoder $(as_it_is min-scale) $(as_it_is max-scale)"
    if [ "${most:-0}" -gt 0 ] && [ "$most" -lt "$1" ]; then
        say "max-scale is $most: raising it to $1 too"
        update decoder --scale-min "$1" --scale-max "$1"
    else
        update decoder --scale-min "$1"
    fi
}
scale_back() { # what scale_decoder changed, and wait for the calls to move back
    local scaled
    [ -z "$KEEP" ] || { undo; return; }
    scaled=$(latest decoder)
    undo
    await 300 "no pod of $scaled is left, its calls are with $(latest decoder)" is_without_pods "$scaled"
    spread
}

ready_decoder() { # the youngest, which is the last to be ended by whatever the demo does: POD CONTAINER
    k get pods --selector serving.knative.dev/service=decoder --sort-by .metadata.creationTimestamp --output go-template='
{{- range .items}}{{.metadata.name}} {{(index .spec.containers 0).name}}{{if .metadata.deletionTimestamp}} ending{{end}}
{{- range .status.conditions}}{{if eq .type "Ready"}} {{.status}}{{end}}{{end}}{{"\n"}}{{end}}' |
        awk '$3 == "True" {found = $1 " --container " $2} END {print found}'
}
in_decoder() { # in_decoder FILE ARGUMENT...: run a Python file where Linewatch is installed
    local file=$1 pod
    shift
    pod=$(ready_decoder)
    [ -n "$pod" ] || { echo "no decoder is ready" >&2; return 1; }
    # shellcheck disable=SC2086 # a pod and its container
    k exec --stdin $pod -- sh /app/infra/image/entrypoint.sh python - "$@" <"$DEMOS/$file"
}
sessions() { # see there; a busy node may be slower than the store's time-out
    local try
    for try in 1 2 3 4 5; do
        if in_decoder sessions.py 2>/dev/null; then return; fi
        sleep "$try"
    done
    in_decoder sessions.py
}
snapshot() { # CALL/CHANNEL POD MOVES NEXT_SEQ of every live channel; "-" is a pod that is no more
    sessions >"$NOTES/sessions" || return 1
    all_pods decoder >"$NOTES/pods" || return 1
    awk 'FILENAME == ARGV[1] {name[$2] = $1; next}
        $1 == "pod" {split($3, url, "[/:]+"); if (url[2] in name) pod[$2] = name[url[2]]; next}
        {print $2, ($5 in pod ? pod[$5] : "-"), $3, $4}' "$NOTES/pods" "$NOTES/sessions"
}
live() { sessions | awk '$1 == "session"' | wc -l; }
enough_live() { [ "$(live)" -ge "$1" ]; }
none_live() { # and it is known, not only unanswered
    local now
    now=$(sessions) && ! grep -q '^session' <<<"$now"
}

lines_now() { k get deployment gateway --output 'jsonpath={.spec.replicas}'; }
set_lines() { k scale deployment gateway --replicas "$1" >/dev/null; }
with_live_calls() { # make sure that calls are live; the lines that this starts are stopped at the demo's end
    local now
    is_settled || await 300 "what was before has ended" is_settled
    now=$(live)
    if [ "$now" -ge 4 ]; then
        say "$now channels are live"
        return
    fi
    put_back "set_lines $(lines_now)"
    say "no calls: scaling the gateway to $LINES_WANTED lines"
    set_lines "$LINES_WANTED"
    await 180 "$LINES_WANTED channels are live" enough_live "$LINES_WANTED"
}

named_pods() { # the pods of sessions.py by their Kubernetes names: NAME SESSIONS
    local seen
    seen=$NOTES/seen
    sessions >"$seen"
    { pods decoder; sed -n 's/^pod /pod /p' "$seen"; } | awk '
        $1 != "pod" {name[$2] = $1; next}
        {split($3, url, "[/:]+"); print (url[2] in name ? name[url[2]] : "(ending) " url[2]), $4}'
}
spread() { named_pods | while read -r line; do say "$line"; done; }
is_spread() { # no decoder owns more than 1.5 times its share
    sessions | awk '$1 == "pod" {pods++; total += $4; if ($4 > most) most = $4}
                    END {exit !(pods > 1 && total > 0 && most * pods * 2 <= total * 3)}'
}
