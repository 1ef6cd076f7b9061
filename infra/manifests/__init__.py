"""The checks of the manifests: what the API server would take and nobody would see go wrong."""
