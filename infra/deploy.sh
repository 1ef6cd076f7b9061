#!/bin/sh
# Deploy Linewatch to the cluster that kubectl speaks to: sh infra/deploy.sh dev   (--help tells the options)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null || {
    echo "deploy: $python is missing or older than 3.9: install Python, or set PYTHON" >&2
    exit 1
}
PYTHONPATH="$root/functions:$root" PYTHONDONTWRITEBYTECODE=1 exec "$python" -m infra.deploy "$@"
