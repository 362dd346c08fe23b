"""How trouble is seen: whether it is alive and ready, figures for Prometheus, logs, Sentry. docs/watching.md tells."""
