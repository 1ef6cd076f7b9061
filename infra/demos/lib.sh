# What the demos share. Every demo needs kubectl and kn, pointed at a cluster on which Linewatch runs;
# NAMESPACE says where (linewatch). LINES is how many simulated lines a demo starts where no calls are live (8).
set -euo pipefail
NAMESPACE=${NAMESPACE:-linewatch}
LINES_WANTED=${LINES:-8}
DEMOS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

k() { kubectl --namespace "$NAMESPACE" "$@"; }
shows() { printf '== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

await() { # await SECONDS WHAT COMMAND...: until the command succeeds
    local until=$((SECONDS + $1)) what=$2 begun=$SECONDS
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$until" ] || fail "not within $((SECONDS - begun)) s: $what"
        sleep 1
    done
    say "$what (after $((SECONDS - begun)) s)"
}

pods() { # pods SERVICE: name and address of every pod that is not ending, one a line
    k get pods --selector "serving.knative.dev/service=$1" --output go-template='
{{- range .items}}{{if not .metadata.deletionTimestamp}}{{if .status.podIP}}
{{- .metadata.name}} {{.status.podIP}}{{"\n"}}{{end}}{{end}}{{end}}'
}
count() { pods "$1" | wc -l; }
has_pods() { [ "$(count "$1")" "$2" "$3" ]; }                   # has_pods sentiment -eq 0
is_without_pods() { # is_without_pods REVISION: also none that is ending
    local left
    left=$(k get pods --selector "serving.knative.dev/revision=$1" --output name) && [ -z "$left" ]
}
latest() { k get ksvc "$1" --output 'jsonpath={.status.latestReadyRevisionName}'; }
services() { kn service list --namespace "$NAMESPACE"; }
update() { kn service update --namespace "$NAMESPACE" "$@" >/dev/null; }

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
    k exec --stdin $pod -- sh /app/infra/entrypoint.sh python - "$@" <"$DEMOS/$file"
}
sessions() { # see there; a busy node may be slower than the store's time-out
    local try
    for try in 1 2 3 4 5; do
        if in_decoder sessions.py 2>/dev/null; then return; fi
        sleep "$try"
    done
    in_decoder sessions.py
}
live() { sessions | awk '$1 == "session"' | wc -l; }
enough_live() { [ "$(live)" -ge "$1" ]; }

lines_were=
with_live_calls() { # make sure that calls are live; the lines that this starts are stopped at the demo's end
    local now
    now=$(live)
    if [ "$now" -ge 4 ]; then
        say "$now channels are live"
        return
    fi
    lines_were=$(k get deployment gateway --output 'jsonpath={.spec.replicas}')
    trap 'k scale deployment gateway --replicas "$lines_were" >/dev/null' EXIT
    say "no calls: scaling the gateway to $LINES_WANTED lines"
    k scale deployment gateway --replicas "$LINES_WANTED" >/dev/null
    await 180 "$LINES_WANTED lines are live" enough_live "$LINES_WANTED"
}

named_pods() { # the pods of sessions.py by their Kubernetes names: NAME SESSIONS
    local seen
    seen=$(mktemp)
    sessions >"$seen"
    { pods decoder; sed -n 's/^pod /pod /p' "$seen"; } | awk '
        $1 != "pod" {name[$2] = $1; next}
        {split($3, url, "[/:]+"); print (url[2] in name ? name[url[2]] : "(ending) " url[2]), $4}'
    rm -f "$seen"
}
spread() { named_pods | while read -r line; do say "$line"; done; }
is_spread() { # no decoder owns more than 1.5 times its share
    sessions | awk '$1 == "pod" {pods++; total += $4; if ($4 > most) most = $4}
                    END {exit !(pods > 1 && most * pods * 2 <= total * 3)}'
}
