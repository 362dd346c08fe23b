from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from console import demo_server, demo_stripe
from console.dashboard import count_figures
from console.demo import DemoRefused, refuse_other_people, refuse_what_is_no_demo, seed
from console.demo_logins import Login, make_logins, refuse_real_staff
from console.worker import embed

USERS, MESSAGES, SEED = 200, 4_000, 1


class Command(BaseCommand):
    help = "Sets up both databases, fills them with demo data and serves the console on this machine."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--port", type=int, choices=range(65_536), metavar="PORT", default=8000, help="the port on 127.0.0.1 (8000)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        port = options["port"]
        try:
            demo_server.check_port(port)
            logins = self._prepare()
            with demo_stripe.running() as stripe, demo_server.listening(port) as server:
                address = f"http://{demo_server.HOST}:{server.server_port}/"
                if stripe:
                    demo_stripe.fill(stripe, address)
                self._tell(address, stripe.url if stripe else "", logins)
                embed()
                demo_server.serve(server)
        except KeyboardInterrupt:
            raise CommandError("Interrupted before it served. make demo goes on where it stopped.") from None
        except (DemoRefused, demo_stripe.StandInFailed) as refusal:
            raise CommandError(str(refusal)) from refusal
        except demo_server.PortTaken as taken:
            raise CommandError(
                f"Port {port} on {demo_server.HOST} is taken by another program. "
                f"Choose another: make demo PORT={port + 1 if port < 65_535 else 8000}"
            ) from taken
        self.stdout.write("The demo has ended. Its data stays; make demo goes on with it.")

    def _prepare(self) -> list[Login]:
        refuse_what_is_no_demo()
        refuse_other_people()
        refuse_real_staff()
        call_command("setup_database")
        seed(USERS, MESSAGES, seed=SEED, day=datetime.now(UTC).date())
        count_figures()
        return make_logins()

    def _tell(self, address: str, stripe: str, logins: list[Login]) -> None:
        lines = ["", f"The console: {address}"]
        if stripe:
            lines += [f"Stripe's stand-in: {address}admin/stripe-standin/ (its API: {stripe})"]
        lines += ["", "Logins of the demo:"]
        lines += [f"  {login.name:<10}{login.password or '(changed by somebody)':<24}{login.role}" for login in logins]
        self.stdout.write("\n".join([*lines, "", "Ctrl-C ends it.", ""]))
        self.stdout.flush()
