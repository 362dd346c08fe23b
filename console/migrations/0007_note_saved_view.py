from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def key() -> models.BigAutoField:
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


def staff(on_delete: object, **options: object) -> models.ForeignKey:
    return models.ForeignKey(to=settings.AUTH_USER_MODEL, on_delete=on_delete, related_name="+", **options)  # type: ignore[arg-type]


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0006_summary"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="Note",
            fields=[
                ("id", key()),
                ("user_id", models.CharField(max_length=255, verbose_name="user")),
                ("text", models.TextField(max_length=4000, verbose_name="note")),
                ("is_pinned", models.BooleanField(default=False, verbose_name="pinned")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("author", staff(django.db.models.deletion.PROTECT, null=True)),
            ],
            options={
                "ordering": ("-is_pinned", "-created_at", "-id"),
                "permissions": (
                    ("export_person", "Can export all data of a person"),
                    ("delete_person", "Can delete a person"),
                ),
                "default_permissions": ("add", "view"),
                "indexes": [models.Index(fields=["user_id", "-is_pinned", "-created_at"], name="note_by_user")],
            },
        ),
        migrations.CreateModel(
            name="SavedView",
            fields=[
                ("id", key()),
                ("model", models.CharField(max_length=100)),
                ("name", models.CharField(max_length=60)),
                ("query", models.CharField(blank=True, max_length=2000)),
                ("is_shared", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("owner", staff(django.db.models.deletion.CASCADE)),
            ],
            options={
                "ordering": ("name", "id"),
                "default_permissions": (),
                "indexes": [models.Index(fields=["model", "name"], name="saved_view_by_list")],
                "constraints": [models.UniqueConstraint(fields=("owner", "model", "name"), name="saved_view_once")],
            },
        ),
    ]
