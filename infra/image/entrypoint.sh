#!/bin/sh
# What the image starts: entrypoint.sh ROLE [ARGUMENT ...], or the role from $ROLE.
# Roles: decoder sentiment board dispatcher sink deadletters missing topics gateway dashboard
set -eu
cd "$(dirname "$0")/../.."
opt=${LINEWATCH_OPT:-/opt/linewatch}
: "${PORT:=8080}" "${BIND:=0.0.0.0}"
export PORT BIND PYTHONPATH="$PWD/functions:$PWD"

role=${1:-${ROLE:-}}
[ $# -eq 0 ] || shift

# One worker: a function's state is in Redis, and it scales by pods. Eight threads: an event is mostly
# CPU or a wait for the sink. Kept connections live longer than the queue-proxy's pool keeps them.
function_of() {
    set -- -m gunicorn --worker-class linewatch.serving.worker.Worker --workers 1 --threads 8 --keep-alive 300 \
        --graceful-timeout 10 --no-control-socket --log-level warning --bind "$BIND:$PORT" "$@"
    exec "$python" "$@"
}

python=$opt/python/bin/python
case $role in
decoder)
    # Allocator and kernels are part of the words' digest: what the model was prepared for.
    . "$opt/decoder.env"
    exec "$python" -m gunicorn -c functions/linewatch/decoder/gunicorn.conf.py \
        "linewatch.decoder.app:create()" "$@"
    ;;
sentiment) function_of "linewatch.sentiment.app:create()" "$@" ;;
board) function_of "linewatch.board.app:create()" "$@" ;;
dispatcher) exec "$python" -m eventing.dispatcher "$@" ;;
sink) exec "$python" -m eventing.sink "$@" ;;
deadletters) exec "$python" -m eventing.deadletters "$@" ;;
missing) exec "$python" -m eventing.dead_letters missing "$@" ;;
topics) exec "$python" -m eventing.topics "$@" ;;
gateway) exec "$python" -m linewatch.gateway "$@" ;;
dashboard)
    exec "$python" -m streamlit run streamlit_app/app.py --server.address "$BIND" \
        --server.port "$PORT" "$@"
    ;;
# No role: what is run by hand inside a pod (infra/cluster_demos), with all of Linewatch to import.
python) exec "$python" "$@" ;;
*)
    roles=$(sed -n 's/^# Roles: //p' infra/image/entrypoint.sh)
    echo "there is no role '$role': give one of $roles" >&2
    exit 2
    ;;
esac
