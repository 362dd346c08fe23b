from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConsoleConfig(AppConfig):
    name = "console"

    def ready(self) -> None:
        from console.roles import make_roles

        post_migrate.connect(make_roles, sender=self, dispatch_uid="console.roles")
