"""Logs: lines for people on this machine, JSON with the id of the request where the console is public."""

from __future__ import annotations

import logging
from typing import Any

import structlog

#: What somebody sent and Django refused, by the loggers that it tells of.
_REFUSED = (
    "DisallowedModelAdminLookup", "DisallowedModelAdminToField", "DisallowedRedirect", "InvalidSessionKey",
    "RequestDataTooBig", "SuspiciousFileOperation", "SuspiciousMultipartForm", "SuspiciousOperation",
    "SuspiciousSession", "TooManyFieldsSent", "TooManyFilesSent",
)  # fmt: skip

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso"),
]


class Refused(logging.Filter):
    """No error of ours: anybody could set off the alarm for errors, and fill Sentry."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
        return True


def logging_of(public: bool) -> dict[str, Any]:
    """Django's LOGGING. Without one, what fails where DEBUG is off is told to nobody."""
    if public:
        configure()
    renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "structlog.stdlib.ProcessorFormatter",
                "processors": [remove, *renderer],
                "foreign_pre_chain": _SHARED,
            },
            "plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        },
        "filters": {"refused": {"()": "omniops.watching.logs.Refused"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json" if public else "plain"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "django": {"handlers": [], "level": "WARNING", "propagate": True},
            # A wrong name, a bot: told by the proxy, and no trouble of ours.
            "django.security.DisallowedHost": {"handlers": [], "level": "CRITICAL", "propagate": False},
            **{f"django.security.{kind}": {"filters": ["refused"]} for kind in _REFUSED},
            "django_structlog": {"level": "INFO" if public else "WARNING"},
            "omniops.trace": {"level": "INFO" if public else "WARNING"},
        },
    }


def configure() -> None:
    structlog.configure(
        processors=[
            *_SHARED,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
