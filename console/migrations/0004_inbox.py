from __future__ import annotations

from django.db import migrations, models

SOURCES = [("stripe", "Stripe"), ("clerk", "Clerk")]
STATES = [
    ("received", "received"),
    ("processed", "processed"),
    ("ignored", "ignored"),
    ("failed", "failed"),
    ("parked", "parked"),
]


class Migration(migrations.Migration):
    dependencies = [("console", "0003_grant")]
    operations = [
        migrations.CreateModel(
            name="InboxEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(choices=SOURCES, max_length=10)),
                ("event_id", models.CharField(max_length=255)),
                ("type", models.CharField(db_index=True, max_length=100)),
                ("api_version", models.CharField(blank=True, max_length=50)),
                (
                    "livemode",
                    models.BooleanField(help_text="Live or test; empty where the sender has no such modes.", null=True),
                ),
                (
                    "subject",
                    models.CharField(blank=True, db_index=True, help_text="Whom or what it is about.", max_length=255),
                ),
                (
                    "payload",
                    models.TextField(help_text="JSON as it came, without what would let somebody pay."),
                ),
                ("happened_at", models.DateTimeField(null=True)),
                ("received_at", models.DateTimeField(auto_now_add=True)),
                ("state", models.CharField(choices=STATES, default="received", max_length=10)),
                (
                    "attempts",
                    models.PositiveIntegerField(
                        default=0, help_text="Tries that failed by a fault of the event or of ours."
                    ),
                ),
                ("error", models.TextField(blank=True)),
                (
                    "effect",
                    models.JSONField(
                        default=list, help_text="What was written, or when observing would have been, in lines."
                    ),
                ),
                ("next_at", models.DateTimeField(null=True)),
                ("lease", models.CharField(blank=True, max_length=32)),
                ("leased_until", models.DateTimeField(null=True)),
                ("processed_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "webhook event",
                "ordering": ["-id"],
                "constraints": [models.UniqueConstraint(fields=("source", "event_id"), name="inbox_event_once")],
                "indexes": [
                    models.Index(fields=["state", "next_at"], name="inbox_due"),
                    models.Index(fields=["source", "-received_at"], name="inbox_last"),
                ],
            },
        ),
    ]
