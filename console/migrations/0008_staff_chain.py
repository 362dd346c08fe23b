from __future__ import annotations

from typing import Any

import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from console import seals


def seal_all(apps: Any, schema_editor: Any) -> None:
    """What was recorded before becomes the beginning of the chain, in the order in which it was written."""
    using = schema_editor.connection.alias
    if using != "default":
        return
    events = apps.get_model("console", "StaffEvent").objects.using(using)
    number, last, name = 0, seals.FIRST, seals.key_name()
    for event in events.order_by("pk").iterator(chunk_size=2000):
        number += 1
        detail = seals.clean(event.detail)
        at = event.at.astimezone(django.utils.timezone.get_default_timezone()).isoformat()
        seal = seals.seal([number, last, at, event.staff_id, event.action, event.subject, detail, name])
        events.filter(pk=event.pk).update(number=number, previous=last, seal=seal, sealed_with=name, detail=detail)
        last = seal
    if number:
        summaries = apps.get_model("console", "Summary").objects.using(using)
        head = {"value": seals.Head(number, last).sealed(), "counted_at": django.utils.timezone.now()}
        summaries.update_or_create(name="staff events", defaults=head)


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0007_note_saved_view"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AlterField(
            "staffevent",
            "at",
            models.DateTimeField(db_index=True, default=django.utils.timezone.now, editable=False),
        ),
        migrations.AddField(
            "staffevent",
            "number",
            models.PositiveBigIntegerField(editable=False, help_text="Its place in the chain.", null=True, unique=True),
        ),
        migrations.AddField(
            "staffevent",
            "previous",
            models.CharField(blank=True, default="", editable=False, max_length=64),
            preserve_default=False,
        ),
        migrations.AddField(
            "staffevent",
            "seal",
            models.CharField(blank=True, default="", editable=False, max_length=64),
            preserve_default=False,
        ),
        migrations.AddField(
            "staffevent",
            "sealed_with",
            models.CharField(
                blank=True, default="", editable=False, help_text="Names the key, tells nothing.", max_length=8
            ),
            preserve_default=False,
        ),
        migrations.RunPython(seal_all, migrations.RunPython.noop),
    ]
