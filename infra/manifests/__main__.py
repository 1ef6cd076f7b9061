"""``python -m infra.manifests`` checks every overlay; see `infra.manifests.checks`."""

import sys

from infra.manifests.checks import main

sys.exit(main(sys.argv[1:]))
