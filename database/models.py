"""What OmniChat's database keeps about itself: the audit log and the schema version."""

from __future__ import annotations

from django.db import models

from database.fields import InstantField, JSONTextField, PlainTextField, WholeField


class AuditLog(models.Model):
    """One act upon an account. `metadata` tells who, and what was before and after."""

    id = PlainTextField(primary_key=True, db_column="id")
    # No key to users stands on this column: an entry outlives the account that it tells of.
    user_id = PlainTextField("user", db_column="userId", null=True)
    action = PlainTextField(db_column="action")
    resource_type = PlainTextField(db_column="resourceType", null=True)
    resource_id = PlainTextField(db_column="resourceId", null=True)
    metadata = JSONTextField(db_column="metadata", null=True)
    created_at = InstantField(db_column="createdAt", null=True)

    class Meta:
        managed = False
        db_table = "audit_logs"
        verbose_name = "audit log entry"
        verbose_name_plural = "audit log"

    def __str__(self) -> str:
        return f"{self.action} {self.resource_type or ''} {self.resource_id or ''}".strip()


class SchemaVersion(models.Model):
    """One SQL migration that was applied. `applied_at` is in Unix seconds, `checksum` a SHA-256 in hex."""

    version = models.IntegerField(primary_key=True, db_column="version")
    name = PlainTextField(db_column="name", null=True)
    applied_at = WholeField(db_column="applied_at", null=True)
    checksum = PlainTextField(db_column="checksum", null=True)

    class Meta:
        managed = False
        db_table = "schema_version"
        verbose_name = "schema version"
        verbose_name_plural = "schema versions"

    def __str__(self) -> str:
        return f"{self.version:04} {self.name or ''}".strip()
