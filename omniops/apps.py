from django.apps import AppConfig


class OmniopsConfig(AppConfig):
    name = "omniops"

    def ready(self) -> None:
        from omniops import checks  # noqa: F401  (registers)
