"""The eight columns that ``benchmarks.lanes.ours`` reads."""

from django.db import models


class Client(models.Model):
    name = models.CharField(max_length=100)
    email = models.EmailField(unique=True)
    tier = models.CharField(max_length=10)
    city = models.CharField(max_length=60)
    joined = models.DateField()
    credit = models.DecimalField(max_digits=10, decimal_places=2)
    active = models.BooleanField()

    class Meta:
        managed = False
        db_table = "shop_customer"
