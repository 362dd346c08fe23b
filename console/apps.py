from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConsoleConfig(AppConfig):
    name = "console"

    def ready(self) -> None:
        from console import (  # noqa: F401
            backup_jobs,
            figure_jobs,
            grant_jobs,
            grant_links,
            health,
            inbox_rounds,
            job_kinds,
            missing_effects,
            needs,
            notes,
            person_deletion,
            person_export,
            resync_links,
            staff_events,
            stripe_pages,
        )
        from console.backup_events import record_backup
        from console.exchange_events import record_exchange
        from console.read_events import record_opened
        from console.roles import make_roles
        from console.views.account import offer_account
        from console.views.contents import offer_contents
        from database.backup import backup_done
        from database.cells import lead_to
        from database.exchange import exchanged
        from database.object_actions import offer, opened

        staff_events.register()
        lead_to("chat.user", "account")
        offer("chat.user", offer_account)
        offer("chat.conversation", offer_contents)
        post_migrate.connect(make_roles, sender=self, dispatch_uid="console.roles")
        backup_done.connect(record_backup, dispatch_uid="console.backup_events")
        exchanged.connect(record_exchange, dispatch_uid="console.exchange_events")
        opened.connect(record_opened, dispatch_uid="console.read_events")
