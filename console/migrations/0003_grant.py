import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0002_job"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="GrantBulk",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("file_name", models.CharField(blank=True, max_length=255)),
                ("sha256", models.CharField(blank=True, max_length=64, verbose_name="SHA-256 of the file")),
                ("rows", models.JSONField(default=list)),
                ("category", models.CharField(max_length=20)),
                ("ticket", models.CharField(blank=True, max_length=100)),
                ("expires_on", models.DateField(blank=True, null=True)),
                ("made_at", models.DateTimeField(auto_now_add=True, db_index=True)),
                ("confirmed_at", models.DateTimeField(blank=True, null=True)),
                (
                    "made_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "bulk grant",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Grant",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("key", models.CharField(blank=True, max_length=255, null=True, unique=True)),
                ("user_id", models.CharField(db_index=True, max_length=255, verbose_name="user")),
                ("email", models.CharField(blank=True, max_length=320, verbose_name="email at the time")),
                ("units", models.BigIntegerField()),
                (
                    "category",
                    models.CharField(
                        choices=[
                            ("goodwill", "Goodwill"),
                            ("outage", "Outage"),
                            ("refund_in_kind", "Refund in kind"),
                            ("promotion", "Promotion"),
                            ("correction", "Correction"),
                            ("test", "Test"),
                        ],
                        db_index=True,
                        max_length=20,
                    ),
                ),
                ("text", models.TextField(verbose_name="reason")),
                ("ticket", models.CharField(blank=True, db_index=True, max_length=100)),
                ("expires_on", models.DateField(blank=True, null=True, verbose_name="usable until the end of (UTC)")),
                ("bulk_row", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("REQUESTED", "Requested"),
                            ("APPROVED", "Approved"),
                            ("APPLIED", "Applied"),
                            ("REJECTED", "Rejected"),
                            ("REVERSED", "Reversed"),
                        ],
                        max_length=10,
                    ),
                ),
                ("waits_because", models.CharField(blank=True, max_length=300)),
                ("problem", models.CharField(blank=True, max_length=300, verbose_name="why it is not applied")),
                ("requested_at", models.DateTimeField()),
                ("operator", models.CharField(blank=True, max_length=150, verbose_name="at the command line")),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decision", models.CharField(blank=True, max_length=1000)),
                ("applied_at", models.DateTimeField(blank=True, null=True)),
                ("reversal_units", models.BigIntegerField(blank=True, null=True)),
                ("reversal_text", models.CharField(blank=True, max_length=1000)),
                ("reversal_at", models.DateTimeField(blank=True, null=True)),
                ("reversed_units", models.BigIntegerField(blank=True, null=True)),
                ("expiry_units", models.BigIntegerField(blank=True, null=True)),
                ("expired_units", models.BigIntegerField(blank=True, null=True)),
                ("expired_at", models.DateTimeField(blank=True, null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "reversal_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "bulk",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="grants",
                        to="console.grantbulk",
                    ),
                ),
            ],
            options={
                "ordering": ("-requested_at", "-id"),
                "permissions": (
                    ("approve_grant", "Can decide on grants that wait"),
                    ("export_grant", "Can export grants"),
                ),
                "default_permissions": ("add", "view"),
                "indexes": [
                    models.Index(fields=["-requested_at", "-id"], name="grant_by_time"),
                    models.Index(fields=["requested_by", "requested_at"], name="grant_by_requester"),
                    models.Index(fields=["state", "requested_at"], name="grant_by_state"),
                    models.Index(
                        condition=models.Q(("expired_at__isnull", True), ("expires_on__isnull", False)),
                        fields=["expires_on"],
                        name="grant_to_expire",
                    ),
                    models.Index(
                        condition=models.Q(("reversal_units__isnull", False), ("reversed_units__isnull", True)),
                        fields=["reversal_at"],
                        name="grant_half_reversed",
                    ),
                ],
                "constraints": [models.CheckConstraint(condition=models.Q(("units__gt", 0)), name="grant_gives_units")],
            },
        ),
    ]
