"""Models for the tests of the backend, which belong to no installed app and are made anew in each test."""

import uuid

from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=200, unique=True)
    age = models.IntegerField(default=0)

    class Meta:
        app_label = "shelf"

    def __str__(self) -> str:
        return str(self.pk)


class Book(models.Model):
    id = models.CharField(primary_key=True, max_length=40)
    title = models.CharField(max_length=2000, default="")
    author = models.ForeignKey(Author, models.CASCADE, null=True)
    pages = models.IntegerField(default=0)
    published_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "shelf"

    def __str__(self) -> str:
        return str(self.pk)


class Value(models.Model):
    """One column of each kind."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    big = models.BigIntegerField(null=True)
    real = models.FloatField(null=True)
    text = models.TextField(null=True)
    blob = models.BinaryField(null=True)
    flag = models.BooleanField(null=True)
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    clock = models.TimeField(null=True)
    price = models.DecimalField(max_digits=15, decimal_places=4, null=True)
    span = models.DurationField(null=True)
    document = models.JSONField(null=True)

    class Meta:
        app_label = "shelf"

    def __str__(self) -> str:
        return str(self.pk)


class Measure(models.Model):
    """Decimals with more digits than a float has, beside one with fewer."""

    wide = models.DecimalField(max_digits=38, decimal_places=20, null=True)
    other = models.DecimalField(max_digits=30, decimal_places=10, null=True)
    narrow = models.DecimalField(max_digits=12, decimal_places=3, null=True)

    class Meta:
        app_label = "shelf"

    def __str__(self) -> str:
        return str(self.pk)
