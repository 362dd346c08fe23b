from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("console", "0008_staff_chain")]
    operations = [
        migrations.AddField(
            "resyncrun",
            "payments_since",
            models.DateTimeField(
                help_text="From when on it looked at each payment of all users; empty: at all of some users'.",
                null=True,
            ),
        ),
        migrations.AddField(
            "finding",
            "paid_at",
            models.DateTimeField(help_text="When the payment was made that it is about.", null=True),
        ),
    ]
