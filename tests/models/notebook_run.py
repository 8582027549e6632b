"""Cells that define mirrors, in an IPython shell or without it; ``test_redefine.py`` runs them in a separate process.

The service's models are here too; mirrors are only those of the cells.
"""

import os
import sys
import warnings

os.environ["DJANGO_SETTINGS_MODULE"] = "django_rpc.demo.both_settings"
warnings.simplefilter("error", RuntimeWarning)

from django.conf import settings  # noqa: E402

from django_rpc.demo import both_settings  # noqa: E402

settings.INSTALLED_APPS = [app for app in both_settings.INSTALLED_APPS if ".client." not in app]

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from django_rpc.demo.server.shop.data import load  # noqa: E402

IMPORTS = """
from django.db import models
from django_rpc.models import RpcModel
"""
CUSTOMER = """
class MyCustomer(RpcModel):
    class Rpc:
        app_label = "shop"
        name = "Customer"

    name = models.CharField(max_length=100)
    referred_by = models.ForeignKey("self", models.SET_NULL, null=True, related_name="referrals")
"""
ORDER = """
class MyOrder(RpcModel):
    class Rpc:
        app_label = "shop"
        name = "Order"

    customer = models.ForeignKey(MyCustomer, models.CASCADE, related_name="orders")
    number = models.CharField(max_length=32)
"""
PRODUCT = """
class MyProduct(RpcModel):
    class Rpc:
        app_label = "shop"
        name = "Product"

    sku = models.CharField(max_length=20)
    tags = models.ManyToManyField("MyTag", related_name="products")

class MyTag(RpcModel):
    class Rpc:
        app_label = "shop"
        name = "Tag"

    name = models.CharField(max_length=50)
"""
USE = """
order = MyOrder.objects.select_related("customer").first()
assert type(order.customer) is MyCustomer
customer = MyCustomer.objects.prefetch_related("orders", "referrals").get(pk=order.customer_id)
assert order in list(customer.orders.all())
assert list(MyCustomer.objects.filter(orders__number=order.number)) == [customer]
assert order in MyOrder.objects.filter(customer=customer)
assert MyOrder.objects.filter(customer__referred_by__isnull=True).exists()
assert type(MyOrder.objects.delayed().first().customer.compute()) is MyCustomer
assert type(MyOrder.objects.get(pk=order.pk).customer) is MyCustomer
assert all(type(one.referred_by) is MyCustomer for one in MyCustomer.objects.filter(referred_by__isnull=False))
product = MyProduct.objects.filter(tags__isnull=False).prefetch_related("tags").first()
tag = product.tags.all()[0]
assert (type(product), type(tag)) == (MyProduct, MyTag)
assert product in MyTag.objects.prefetch_related("products").get(pk=tag.pk).products.all()
product.tags.remove(tag)
assert tag not in MyTag.objects.filter(products=product)
product.tags.add(tag)
made = MyOrder.objects.create(customer=customer, number="from-a-cell")
assert made.customer == customer
made.delete()
"""
RUNS = {
    "once": [CUSTOMER, ORDER, PRODUCT],
    "all again": [CUSTOMER, ORDER, PRODUCT],
    "the referring one again": [ORDER],
    "the referred one again": [CUSTOMER],
    "a many-to-many pair again": [PRODUCT],
}


def main(kind):
    call_command("migrate", run_syncdb=True, verbosity=0)
    load(customers=20, products=10, orders=30)
    if kind == "ipython":
        from IPython.core.interactiveshell import InteractiveShell

        run = InteractiveShell.instance().run_cell
    else:
        names = sys.modules["__main__"].__dict__

        def run(source):
            # As in a client, where no app has the label of the service's.
            source = source.replace("(RpcModel):\n", '(RpcModel):\n    class Meta:\n        app_label = "cells"\n\n')
            exec(compile(source, "<cell>", "exec"), names)

    for name, cells in RUNS.items():
        for cell in [IMPORTS, *cells, USE]:
            result = run(cell)
            if result is not None:
                result.raise_error()
        print("ok", name)


if __name__ == "__main__":
    main(sys.argv[1])
