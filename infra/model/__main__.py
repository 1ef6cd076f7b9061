"""``python -m infra.model`` prints the prepared folder; see `infra.model.preparation`."""

from infra.model.preparation import main

raise SystemExit(main())
