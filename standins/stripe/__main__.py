"""`python -m standins.stripe serve`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading

from standins.stripe.server import StripeServer


def main(arguments: list[str] | None = None) -> int:
    """Parse, start the stand-in, serve until Ctrl-C; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with StripeServer(
            options.seed, options.webhook_secret, options.deliver_to, port=options.port, latency=options.latency
        ) as stripe:
            if options.customers:
                stripe.bulk(options.customers)
            return _serve(stripe, with_parent=options.with_parent)
    except OSError as error:
        print(f"The port {options.port} cannot be had: {error.strerror}. Name another by --port.", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m standins.stripe", description=__doc__)
    serve = parser.add_subparsers(dest="action", required=True).add_parser(
        "serve", help="serve until Ctrl-C; prints the environment as export lines"
    )
    serve.add_argument("--port", type=int, default=0, help="a free one by default")
    serve.add_argument("--seed", type=int, default=0, help="the same seed makes the same ids")
    serve.add_argument("--webhook-secret", default="whsec_test")
    serve.add_argument("--deliver-to", help="the URL that events are sent to")
    serve.add_argument("--customers", type=int, default=0, help="so many, made in bulk, half of them subscribed")
    serve.add_argument("--latency", type=float, default=0.0, help="seconds that each call takes longer")
    serve.add_argument("--with-parent", action="store_true", help="end when standard input is closed")
    return parser


def _serve(stripe: StripeServer, *, with_parent: bool) -> int:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    environment = {
        "STRIPE_SECRET_KEY": stripe.key, "STRIPE_WEBHOOK_SECRET": stripe.secret, "STRIPE_API_BASE": stripe.url,
    }  # fmt: skip
    for name, value in environment.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
    print(f"The stand-in of Stripe serves on {stripe.url}; Ctrl-C stops it.", file=sys.stderr)
    if with_parent:
        threading.Thread(target=_end_with_parent, args=(stopped,), daemon=True).start()
    stopped.wait()
    return 0


def _end_with_parent(stopped: threading.Event) -> None:
    sys.stdin.read()
    stopped.set()


if __name__ == "__main__":
    sys.exit(main())
