"""The admin on mirrors: plain ModelAdmin classes (``django_rpc/demo/client/shop/admin.py``), driven by requests."""

from __future__ import annotations

import json
import re

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_rpc.contrib.admin import RpcModelAdmin
from django_rpc.demo.client.shop import models as shop

ADMIN = "/admin/shop_client"
pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def form_data(response):
    """Return the data that a browser would send for the unchanged form of the page."""
    found = {}
    context = response.context
    forms = [context["adminform"].form]
    for formset in context["inline_admin_formsets"]:
        forms += [formset.formset.management_form, *formset.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            widget = bound.field.widget
            if bound.field.show_hidden_initial:
                found[bound.html_initial_name] = bound.initial or ""
            found.update(_posted(widget, bound.html_name, value))
    return found


def _posted(widget, name, value):
    if hasattr(widget, "widgets"):
        parts = widget.decompress(value)
        return {f"{name}_{i}": "" if part is None else str(part) for i, part in enumerate(parts)}
    if value is False or value is None:
        return {} if value is False else {name: ""}
    formatted = widget.format_value(value) if hasattr(widget, "format_value") else value
    return {name: formatted if formatted is not None else ""}


def texts(response, column):
    """The column's cells, as text."""
    cells = re.findall(rf'class="field-{column}[^"]*">(.*?)</t[dh]>', response.content.decode(), re.DOTALL)
    return [re.sub("<[^>]+>", "", cell).strip() for cell in cells]


# The change list


def test_the_change_list_shows_rows_and_the_related_name(site, local):
    response = site.get(f"{ADMIN}/order/")
    rows = local.Order.objects.select_related("customer")[:20]
    assert texts(response, "number") == [order.number for order in rows]
    assert texts(response, "customer") == [order.customer.name for order in rows]
    assert "80 orders" in response.content.decode()


def test_pages(site, local):
    response = site.get(f"{ADMIN}/order/?p=4")
    assert texts(response, "number") == [order.number for order in local.Order.objects.all()[60:80]]
    assert site.get(f"{ADMIN}/order/?p=99").status_code == 302  # Django: back to the list, with e=1
    assert len(texts(site.get(f"{ADMIN}/order/?all="), "number")) == 80


def test_list_filter(site, local):
    response = site.get(f"{ADMIN}/order/?status__exact=paid&all=")
    assert len(texts(response, "number")) == local.Order.objects.filter(status="paid").count() > 0
    assert set(texts(response, "status")) == {"Paid"}


def test_list_filter_of_a_relation_offers_its_rows(site, local):
    page = site.get(f"{ADMIN}/product/").content.decode()
    for category in local.Category.objects.all():
        assert f"?category__id__exact={category.pk}" in page
    chosen = local.Product.objects.first().category_id
    response = site.get(f"{ADMIN}/product/?category__id__exact={chosen}")
    assert len(texts(response, "sku")) == local.Product.objects.filter(category=chosen).count()


def test_facet_counts(site, local):
    page = site.get(f"{ADMIN}/order/?_facets=True").content.decode()
    assert f"Paid ({local.Order.objects.filter(status='paid').count()})" in page
    assert f"VIP ({local.Order.objects.filter(customer__tier='vip').count()})" in page


def test_search_through_relation(site, local):
    response = site.get(f"{ADMIN}/order/?q=adler&all=")
    expected = local.Order.objects.filter(customer__name__icontains="adler")
    assert sorted(texts(response, "number")) == sorted(order.number for order in expected)
    assert expected


def test_date_hierarchy(site, local):
    page = site.get(f"{ADMIN}/order/").content.decode()
    assert "?created__year=2024" in page
    assert "?created__year=2025" in page
    year = site.get(f"{ADMIN}/order/?created__year=2024&all=")
    assert len(texts(year, "number")) == local.Order.objects.filter(created__year=2024).count()
    assert re.search(r"created__month=\d+&amp;created__year=2024", year.content.decode())


def test_ordering_by_columns(site, local):
    response = site.get(f"{ADMIN}/order/?o=3.-4")
    assert texts(response, "number") == [o.number for o in local.Order.objects.order_by("status", "-total", "-pk")[:20]]


def test_an_action_changes_the_selected_rows(site, local):
    chosen = list(local.Order.objects.exclude(status="paid").values_list("pk", flat=True)[:3])
    response = site.post(
        f"{ADMIN}/order/", {"action": "mark_paid", "_selected_action": chosen, "index": 0}, follow=True
    )
    assert "3 orders are paid." in response.content.decode()
    assert local.Order.objects.filter(pk__in=chosen, status="paid").count() == 3


def test_an_action_on_all_rows_across_pages(site, local):
    site.post(
        f"{ADMIN}/order/",
        {"action": "mark_paid", "_selected_action": [1], "select_across": 1, "index": 0},
        follow=True,
    )
    assert not local.Order.objects.exclude(status="paid").exists()


def test_deleting_the_selected_rows_with_its_confirmation(site, local):
    chosen = list(local.Order.objects.values_list("pk", flat=True)[:2])
    lines = local.Line.objects.filter(order__in=chosen).count()
    post = {"action": "delete_selected", "_selected_action": chosen, "index": 0}
    page = site.post(f"{ADMIN}/order/", post).content.decode()
    assert "Are you sure" in page
    assert f"Lines: {lines}" in page
    assert local.Order.objects.filter(pk__in=chosen).count() == 2
    done = site.post(f"{ADMIN}/order/", {**post, "post": "yes"}, follow=True)
    assert "Successfully deleted 2 orders." in done.content.decode()
    assert not local.Order.objects.filter(pk__in=chosen).exists()
    assert not local.Line.objects.filter(order__in=chosen).exists()


def test_list_editable(site, local):
    response = site.get(f"{ADMIN}/customer/")
    formset = response.context["cl"].formset
    data = {"form-TOTAL_FORMS": len(formset.forms), "form-INITIAL_FORMS": len(formset.forms), "_save": "Save"}
    for number, form in enumerate(formset.forms):
        data[f"form-{number}-id"] = form.instance.pk
        data[f"form-{number}-tier"] = form.instance.tier
    changed = formset.forms[2].instance
    data["form-2-tier"] = new = "vip" if changed.tier != "vip" else "plus"
    done = site.post(f"{ADMIN}/customer/", data, follow=True)
    assert "1 customer was changed successfully." in done.content.decode()
    assert local.Customer.objects.get(pk=changed.pk).tier == new


# One row


def test_add_with_inlines(site, local):
    page = site.get(f"{ADMIN}/order/add/")
    data = {**form_data(page), "customer": 3, "total": "12.50", "number": "", "status": "new"}
    data |= {"lines-0-product": 2, "lines-0-quantity": 4, "lines-0-price": "1.25"}
    done = site.post(f"{ADMIN}/order/add/", data, follow=True)
    assert "was added successfully" in done.content.decode(), errors(done)
    order = local.Order.objects.latest("pk")
    assert (order.customer_id, str(order.total)) == (3, "12.50")
    assert order.number  # set by the service's save()
    assert list(order.lines.values_list("product_id", "quantity")) == [(2, 4)]
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.content_type.model_class()) == (str(order.pk), shop.Order)


def test_change_with_inlines(site, local):
    order = local.Order.objects.filter(lines__isnull=False).first()
    page = site.get(f"{ADMIN}/order/{order.pk}/change/")
    assert page.context["original"].pk == order.pk
    data = {**form_data(page), "status": "cancelled", "lines-0-quantity": 77}
    data["lines-0-DELETE"] = ""
    done = site.post(f"{ADMIN}/order/{order.pk}/change/", data, follow=True)
    assert "was changed successfully" in done.content.decode(), errors(done)
    order.refresh_from_db()
    assert order.status == "cancelled"
    assert order.lines.order_by("pk").first().quantity == 77


def test_an_inline_row_is_deleted(site, local):
    order = local.Order.objects.filter(lines__isnull=False).first()
    before = order.lines.count()
    data = form_data(site.get(f"{ADMIN}/order/{order.pk}/change/"))
    done = site.post(f"{ADMIN}/order/{order.pk}/change/", {**data, "lines-0-DELETE": "on"}, follow=True)
    assert "was changed successfully" in done.content.decode(), errors(done)
    assert order.lines.count() == before - 1


def test_many_to_many_of_a_form(site, local):
    product = local.Product.objects.first()
    data = form_data(site.get(f"{ADMIN}/product/{product.pk}/change/"))
    done = site.post(f"{ADMIN}/product/{product.pk}/change/", {**data, "tags": [1, 5]}, follow=True)
    assert "was changed successfully" in done.content.decode(), errors(done)
    assert set(product.tags.values_list("pk", flat=True)) == {1, 5}


def test_a_form_that_is_wrong_is_shown_again_and_nothing_is_written(site, local):
    taken = local.Order.objects.first().number
    page = site.get(f"{ADMIN}/order/add/")
    data = {**form_data(page), "customer": 99999, "number": taken, "total": "x"}
    response = site.post(f"{ADMIN}/order/add/", data)
    assert response.status_code == 200
    found = response.context["adminform"].form.errors
    assert "Select a valid choice" in str(found["customer"])
    assert "Enter a number" in str(found["total"])
    assert "already exists" in str(found["number"])
    assert local.Order.objects.count() == 80


def test_delete_with_its_confirmation(site, local):
    order = local.Order.objects.filter(lines__isnull=False).first()
    page = site.get(f"{ADMIN}/order/{order.pk}/delete/").content.decode()
    assert f"Lines: {order.lines.count()}" in page
    done = site.post(f"{ADMIN}/order/{order.pk}/delete/", {"post": "yes"}, follow=True)
    assert "was deleted successfully" in done.content.decode()
    assert not local.Order.objects.filter(pk=order.pk).exists()


def test_protected_row_is_not_deleted(site, local):
    product = local.Product.objects.filter(lines__isnull=False).first()
    page = site.get(f"{ADMIN}/product/{product.pk}/delete/").content.decode()
    assert "would require deleting the following protected related objects" in page


def test_history(site, local):
    order = local.Order.objects.first()
    data = form_data(site.get(f"{ADMIN}/order/{order.pk}/change/"))
    site.post(f"{ADMIN}/order/{order.pk}/change/", {**data, "status": "cancelled"})
    assert "Changed Status" in site.get(f"{ADMIN}/order/{order.pk}/history/").content.decode()


def test_autocomplete(site, local):
    url = "/admin/autocomplete/?term=adl&app_label=shop_client&model_name=order&field_name=customer"
    found = json.loads(site.get(url).content)["results"]
    expected = local.Customer.objects.filter(name__icontains="adl").order_by("name", "pk")
    assert [int(item["id"]) for item in found] == [customer.pk for customer in expected]


def test_a_row_that_is_not_there(site):
    done = site.get(f"{ADMIN}/order/99999/change/", follow=True)
    assert "doesn’t exist" in done.content.decode()


def test_a_read_only_model(site, local):
    local.AuditEntry.objects.create(model="shop.Order", object_pk="1", action="create")
    assert texts(site.get(f"{ADMIN}/auditentry/"), "action")
    assert site.get(f"{ADMIN}/auditentry/add/").status_code == 403


def errors(response):
    context = response.context
    if context is None or "adminform" not in context:
        return response.content.decode()[-2000:]
    found = [context["adminform"].form.errors]
    return found + [formset.formset.errors for formset in context["inline_admin_formsets"]]


# Messages


@pytest.fixture
def change_list(rf, superuser, shop_data):
    """``change_list(Model, Admin, "?p=2", list_display=...)``: the rendered page of an admin of this test."""

    def get(model, base, query="", render=True, **attributes):
        request = rf.get(f"/{query}")
        request.user = superuser
        view = type("Admin", (base,), attributes)(model, admin.site).changelist_view
        response = view(request)
        return response.render() if render and hasattr(response, "render") else response

    return get


COLUMNS = {"list_display": ["number", "customer", "total"], "list_per_page": 20}


def test_plain_change_list_sends_queries_of_django(change_list, local, messages):
    """Three: the number of matching rows, of all rows, and the page with the customers joined."""
    with messages() as sent:
        page = change_list(shop.Order, admin.ModelAdmin, **COLUMNS)
    assert len(texts(page, "customer")) == 20
    with CaptureQueriesContext(connection) as queries:
        found = change_list(local.Order, admin.ModelAdmin, render=False, **COLUMNS).context_data["cl"].result_list
        assert [order.customer.name for order in found] == texts(page, "customer")
    asked = [query["sql"] for query in queries if 'FROM "shop_order"' in query["sql"]]
    assert len(sent) == len(asked) == 3


def test_change_list_of_rpc_admin_is_one_message(change_list, local, messages):
    """A single message: the minimum for a page with rows."""
    with messages() as sent:
        page = change_list(shop.Order, RpcModelAdmin, "?p=2", **COLUMNS)
    expected = local.Order.objects.select_related("customer")[20:40]
    assert texts(page, "customer") == [order.customer.name for order in expected]
    assert "80 orders" in page.content.decode()
    assert len(sent) == 1
    assert len(sent.captured_queries[0]["statements"]) == 3


def test_without_the_number_of_all_rows(change_list, messages):
    with messages() as sent:
        page = change_list(shop.Order, RpcModelAdmin, **COLUMNS, show_full_result_count=False)
    assert len(texts(page, "number")) == 20
    assert len(sent.captured_queries[0]["statements"]) == 2


@pytest.mark.parametrize(
    "query", ["", "?p=3", "?all=", "?q=adler", "?o=-3", "?status__exact=paid", "?created__year=2024", "?q=nobody"]
)
def test_our_change_list_is_djangos(change_list, query):
    more = {"search_fields": ["customer__name"], "list_filter": ["status"], "date_hierarchy": "created"}
    pages = [
        change_list(shop.Order, base, query, **COLUMNS, **more).content.decode()
        for base in (admin.ModelAdmin, RpcModelAdmin)
    ]
    assert re.sub(r'value="\w{64}"', "", pages[0]) == re.sub(r'value="\w{64}"', "", pages[1])


def test_a_page_that_is_not_there(change_list):
    for base in (admin.ModelAdmin, RpcModelAdmin):
        response = change_list(shop.Order, base, "?p=99", **COLUMNS)
        assert (response.status_code, response["Location"]) == (302, "/?e=1")


def test_too_many_to_show_all(change_list):
    for base in (admin.ModelAdmin, RpcModelAdmin):
        page = change_list(shop.Order, base, "?all=", **COLUMNS, list_max_show_all=30)
        assert len(texts(page, "number")) == 20


def test_a_nullable_foreign_key_is_no_message_a_row(change_list, messages):
    with messages() as sent:
        page = change_list(shop.Customer, RpcModelAdmin, list_display=["name", "referred_by"])
    assert any(text != "-" for text in texts(page, "referred_by"))
    assert len(sent) == 1


def test_list_select_related_is_heeded(change_list, messages):
    attributes = {"list_display": ["order", "quantity"], "list_select_related": ["order", "product"]}
    with messages() as sent:
        page = change_list(shop.Line, RpcModelAdmin, **attributes)
    assert page.context_data["cl"].result_list[0].product.sku
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("query", "statements"),
    [
        ("", 5),
        ("?created__year=2024", 4),
        ("?created__year=2024&created__month=3", 4),
        ("?created__year=2024&created__month=3&created__day=4", 3),
        ("?created__gte=2024-02-01&created__lt=2024-12-01", 5),  # one year: its months
        ("?q=nobody", 5),
    ],
)
def test_date_hierarchy_is_in_message_of_page(change_list, messages, query, statements):
    more = {"search_fields": ["customer__name"], "date_hierarchy": "created"}
    with messages() as sent:
        page = change_list(shop.Order, RpcModelAdmin, query, **COLUMNS, **more).content.decode()
    assert len(sent) == 1
    assert len(sent.captured_queries[0]["statements"]) == statements
    djangos = change_list(shop.Order, admin.ModelAdmin, query, **COLUMNS, **more).content.decode()
    assert re.sub(r'value="\w{64}"', "", page) == re.sub(r'value="\w{64}"', "", djangos)


def test_the_date_hierarchy_by_a_date(change_list, messages):
    more = {"list_display": ["name"], "date_hierarchy": "joined"}
    with messages() as sent:
        page = change_list(shop.Customer, RpcModelAdmin, **more).content.decode()
    assert len(sent) == 1
    djangos = change_list(shop.Customer, admin.ModelAdmin, **more).content.decode()
    assert re.sub(r'value="\w{64}"', "", page) == re.sub(r'value="\w{64}"', "", djangos)


def test_list_of_month_requests_days(change_list, messages):
    """Only the answer reveals that there is a single month: a second message, like Django's third query."""
    with messages() as sent:
        page = change_list(
            shop.Order,
            RpcModelAdmin,
            "?created__gte=2024-03-01&created__lt=2024-04-01",
            **COLUMNS,
            date_hierarchy="created",
        )
    assert "created__day=" in page.content.decode()
    assert len(sent) == 2


def test_relation_filter_requests_its_rows(change_list, messages):
    """Django makes the filters before it looks at the rows: one message each."""
    with messages() as sent:
        change_list(shop.Product, RpcModelAdmin, list_display=["sku", "category"], list_filter=["category", "tags"])
    assert len(sent) == 3
    with messages() as sent:
        change_list(shop.Order, RpcModelAdmin, **COLUMNS, list_filter=["status", "customer__tier"])
    assert len(sent) == 1


def test_facet_counts_are_one_message_per_filter(change_list, messages):
    with messages() as sent:
        change_list(
            shop.Order, RpcModelAdmin, "?_facets=True", **COLUMNS, list_filter=["status", "customer__tier", "created"]
        )
    assert len(sent) == 1 + 3
