from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import verification
        from billing.backup_audit import audit_backup
        from billing.ledger_page import offer_ledger
        from database.backup_checks import register_backup_check
        from database.object_actions import offer

        verification.register()
        register_backup_check("ledgers", audit_backup)
        offer("chat.user", offer_ledger)
