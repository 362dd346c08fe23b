"""The real D1 engine behind Cloudflare's REST paths, for tests and the demo. See README.md."""

from standins.d1.engine import Engine, EngineError
from standins.d1.node import NodeError, missing_reason, wrangler

__all__ = ["Engine", "EngineError", "NodeError", "missing_reason", "wrangler"]
