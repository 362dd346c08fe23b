from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("console", "0005_finding")]
    operations = [
        migrations.CreateModel(
            name="Summary",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("value", models.JSONField()),
                ("counted_at", models.DateTimeField()),
            ],
            options={"default_permissions": ()},
        ),
    ]
