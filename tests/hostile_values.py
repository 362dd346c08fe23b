"""What anybody may send to make something stumble, or to have it taken for code."""

from __future__ import annotations

SCRIPT = "<script>alert(1)</script>"
VALUES = {
    "text": f"' OR 1=1; DROP TABLE users; --\"'>{SCRIPT}<img src=x onerror=alert(1)>"
    "{{ settings.SECRET_KEY }}{% debug %}%(x)s {0.__class__} %s ${7*7}",
    "path": "../../../../etc/passwd",
    "unicode": "\u202e\ufeff\ud7ff\U0001f9a8İ\u0000ı\u2028",
    "null": "\0",
    "huge": "x" * 5_000,
    "big": "99999999999999999999999999",
    "negative": "-1",
    "infinite": "1e999",
    "json": '{"a": [1, {"__proto__": null}]}',
    "formula": "=cmd|' /C calc'!A0",
    "year": "0000-00-00",
    "empty": "",
}
