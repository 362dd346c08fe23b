from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import verification
        from billing.ledger_page import offer_ledger
        from database.object_actions import offer

        verification.register()
        offer("chat.user", offer_ledger)
