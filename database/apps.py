from django.apps import AppConfig


class DatabaseConfig(AppConfig):
    name = "database"

    def ready(self) -> None:
        from database.restore_marker import check_unfinished
        from database.verification import register_check

        register_check("unfinished restore", check_unfinished)
