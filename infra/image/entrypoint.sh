#!/bin/sh
# What the image starts: entrypoint.sh ROLE [ARGUMENT ...], or the role from $ROLE.
# A role is one of those below or a function: whatever functions/linewatch/ROLE/app.py creates.
set -eu
cd "$(dirname "$0")/../.."
opt=${LINEWATCH_OPT:-/opt/linewatch} net=${LINEWATCH_NET:-/proc/net}
# A pod without a route of IPv4 is in a cluster that speaks IPv6 only.
{ read -r _ && read -r _; } <"$net/route" || [ ! -e "$net/if_inet6" ] || : "${BIND:=::}"
: "${PORT:=8080}" "${BIND:=0.0.0.0}"
# An address of IPv6 stands in brackets before a port, and without them elsewhere.
BIND=${BIND#[}
BIND=${BIND%]}
case $BIND in *:*) listener=[$BIND]:$PORT ;; *) listener=$BIND:$PORT ;; esac
export PORT BIND PYTHONPATH="$PWD/functions:$PWD"

role=${1:-${ROLE:-}}
[ $# -eq 0 ] || shift

is_function() { [ -n "$role" ] && [ -f "functions/linewatch/$role/app.py" ]; }
functions() { for file in functions/linewatch/*/app.py; do basename "$(dirname "$file")"; done; }

python=$opt/python/bin/python
case $role in
decoder)
    # Allocator and kernels are part of the words' digest: what the model was prepared for.
    . "$opt/decoder.env"
    exec "$python" -m gunicorn -c functions/linewatch/decoder/gunicorn.conf.py \
        "linewatch.decoder.app:create()" "$@"
    ;;
dispatcher) exec "$python" -m eventing.dispatcher "$@" ;;
sink) exec "$python" -m eventing.sink "$@" ;;
deadletters) exec "$python" -m eventing.deadletters "$@" ;;
missing) exec "$python" -m eventing.dead_letters missing "$@" ;;
topics) exec "$python" -m eventing.topics "$@" ;;
gateway) exec "$python" -m linewatch.gateway "$@" ;;
dashboard)
    case $BIND in
    0.0.0.0 | ::) ;;
    *) export STREAMLIT_SERVER_ALLOWED_HOSTS="${STREAMLIT_SERVER_ALLOWED_HOSTS:-localhost 127.0.0.1 ::1 $BIND}" ;;
    esac
    exec "$python" -m streamlit_app --server.address "$BIND" --server.port "$PORT" "$@"
    ;;
# No role: what is run by hand inside a pod (infra/cluster_demos), with all of Linewatch to import.
python) exec "$python" "$@" ;;
*)
    if is_function; then
        exec "$python" -m gunicorn -c python:linewatch.serving.gunicorn_conf --bind "$listener" \
            "linewatch.$role.app:create()" "$@"
    fi
    echo "there is no role '$role': give one of" \
        $(functions) dispatcher sink deadletters missing topics gateway dashboard >&2
    exit 2
    ;;
esac
