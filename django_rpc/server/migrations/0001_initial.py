"""The table of the ledger."""

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                ("key", models.CharField(editable=False, max_length=64, primary_key=True, serialize=False)),
                ("client", models.CharField(max_length=255)),
                ("request", models.CharField(max_length=128)),
                ("digest", models.CharField(max_length=64)),
                ("databases", models.TextField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "under way"),
                            ("done", "done"),
                            ("refused", "refused"),
                            ("withdrawn", "withdrawn"),
                        ],
                        max_length=10,
                    ),
                ),
                ("answer", models.BinaryField()),
                ("at", models.DateTimeField(db_index=True)),
            ],
            options={"verbose_name_plural": "ledger entries"},
        ),
    ]
