from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("console", "0004_inbox"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            name="ResyncRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "running"),
                            ("done", "done"),
                            ("waiting", "waits to be confirmed"),
                            ("failed", "failed"),
                        ],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("started_by", models.CharField(help_text="The login, or who ran the command.", max_length=150)),
                ("users", models.JSONField(default=list, help_text="The users it was about; empty for all.")),
                ("since", models.DateTimeField(null=True)),
                ("dry_run", models.BooleanField(default=False)),
                ("calls", models.PositiveIntegerField(default=0)),
                ("compared", models.PositiveIntegerField(default=0)),
                ("differences", models.PositiveIntegerField(default=0)),
                ("applied", models.PositiveIntegerField(default=0)),
                ("left", models.PositiveIntegerField(default=0)),
                ("kinds", models.JSONField(default=dict)),
                ("error", models.TextField(blank=True)),
                ("started_at", models.DateTimeField(auto_now_add=True)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="console.job"
                    ),
                ),
            ],
            options={
                "verbose_name": "resync",
                "ordering": ["-id"],
                "default_permissions": ("view", "add"),
            },
        ),
        migrations.CreateModel(
            name="Finding",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(db_index=True, max_length=50)),
                ("user_id", models.CharField(blank=True, db_index=True, max_length=255, verbose_name="user")),
                ("subject", models.CharField(max_length=255)),
                ("expected", models.JSONField(help_text="As Stripe says.", null=True)),
                ("found", models.JSONField(help_text="As OmniChat has it.", null=True)),
                ("reason", models.TextField(blank=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "open"),
                            ("left", "left for a person"),
                            ("repaired", "repaired"),
                            ("done", "done"),
                            ("gone", "gone"),
                        ],
                        default="open",
                        max_length=10,
                    ),
                ),
                ("first_seen_at", models.DateTimeField(auto_now_add=True)),
                ("last_seen_at", models.DateTimeField()),
                ("note", models.TextField(blank=True, max_length=2000)),
                ("settled_at", models.DateTimeField(null=True)),
                (
                    "settled_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        help_text="The last one that found it.",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="findings",
                        to="console.resyncrun",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "default_permissions": ("view", "change"),
                "indexes": [models.Index(fields=["state", "kind"], name="finding_open")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("open", "left"))),
                        fields=("kind", "user_id", "subject"),
                        name="finding_unsettled_once",
                    )
                ],
            },
        ),
    ]
