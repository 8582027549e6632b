"""ModelForm, ModelChoiceField, model formsets and Paginator behave on mirrors as on the models of the service."""

from __future__ import annotations

import pytest
from django import forms
from django.core.paginator import EmptyPage, Paginator, UnorderedObjectListWarning
from django.db.models import QuerySet

pytestmark = pytest.mark.django_db(databases=["default", "rpc"])


def order_form(models):
    class OrderForm(forms.ModelForm):
        class Meta:
            model = models.Order
            fields = ["customer", "number", "status", "total"]

    return OrderForm


def product_form(models):
    class ProductForm(forms.ModelForm):
        class Meta:
            model = models.Product
            fields = ["sku", "title", "price", "attributes", "category", "tags"]

    return ProductForm


@pytest.fixture(params=["local", "remote"])
def shop(request, shop_data):
    """The models, and then the mirrors."""
    return request.getfixturevalue(request.param)


def choices(field):
    return [(str(value), label) for value, label in field.choices]


def test_a_form_renders_as_that_of_the_model(shop_data, local, remote):
    for make in (order_form, product_form):
        one = make(local)().as_p()
        other = make(remote)().as_p()
        assert other == one


def test_a_bound_form_renders_as_that_of_the_model(shop_data, local, remote):
    for make, name in ((order_form, "Order"), (product_form, "Product")):
        one = make(local)(instance=getattr(local, name).objects.get(pk=3)).as_p()
        assert make(remote)(instance=getattr(remote, name).objects.get(pk=3)).as_p() == one


def test_a_form_creates(shop, local):
    form = order_form(shop)({"customer": 3, "number": "N-1", "status": "new", "total": "12.50"})
    assert form.is_valid(), form.errors
    order = form.save()
    saved = local.Order.objects.get(number="N-1")
    assert (saved.pk, saved.customer_id, str(saved.total)) == (order.pk, 3, "12.50")


def test_a_form_changes_with_its_many_to_many(shop, local):
    tags = list(local.Tag.objects.values_list("pk", flat=True)[:2])
    product = shop.Product.objects.get(pk=3)
    data = {"sku": product.sku, "title": "New", "price": "3", "attributes": '{"a": 1}', "category": 2, "tags": tags}
    form = product_form(shop)(data, instance=product)
    assert form.is_valid(), form.errors
    form.save()
    saved = local.Product.objects.get(pk=3)
    assert (saved.title, saved.attributes, saved.category_id) == ("New", {"a": 1}, 2)
    assert sorted(saved.tags.values_list("pk", flat=True)) == sorted(tags)


def test_save_m2m_after_commit_false(shop, local):
    form = product_form(shop)(
        {"sku": "S-1", "title": "T", "price": "3", "attributes": "{}", "category": 2, "tags": [1, 2]}
    )
    product = form.save(commit=False)
    product.title = "Other"
    product.save()
    form.save_m2m()
    saved = local.Product.objects.get(sku="S-1")
    assert (saved.title, saved.tags.count()) == ("Other", 2)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"customer": 99999, "number": "N", "status": "new", "total": 1},
        {"customer": "x", "number": "N" * 40, "status": "none", "total": "1.234"},
    ],
)
def test_errors_are_those_of_the_model(shop_data, local, remote, data):
    one, other = order_form(local)(data), order_form(remote)(data)
    assert not one.is_valid()
    assert other.errors == one.errors


def test_unique_fields_are_looked_up_at_the_service(shop, local):
    taken = local.Order.objects.first().number
    form = order_form(shop)({"customer": 3, "number": taken, "status": "new", "total": 1})
    assert form.errors == {"number": ["Order with this Number already exists."]}


def test_validate_constraints_of_a_formset(shop, local):
    formset = forms.inlineformset_factory(shop.Order, shop.Line, fields=["product", "quantity", "price"], extra=1)
    order = shop.Order.objects.get(pk=4)
    lines = list(local.Line.objects.filter(order=4))
    data = {"lines-TOTAL_FORMS": len(lines) + 1, "lines-INITIAL_FORMS": len(lines)}
    for place, line in enumerate(lines):
        data |= {
            f"lines-{place}-id": line.pk,
            f"lines-{place}-order": 4,
            f"lines-{place}-product": line.product_id,
            f"lines-{place}-quantity": line.quantity + 1,
            f"lines-{place}-price": line.price,
        }
    free = local.Product.objects.exclude(lines__order=4).first().pk
    last = f"lines-{len(lines)}"
    data |= {f"{last}-order": 4, f"{last}-product": free, f"{last}-quantity": 1, f"{last}-price": 2}
    bound = formset(data, instance=order)
    assert bound.is_valid(), bound.errors
    bound.save()
    assert local.Line.objects.filter(order=4).count() == len(lines) + 1
    assert local.Line.objects.get(pk=lines[0].pk).quantity == lines[0].quantity + 1


def test_a_model_formset(shop, local):
    formset = forms.modelformset_factory(shop.Tag, fields=["name"], extra=1, can_delete=True)
    queryset = shop.Tag.objects.order_by("pk")[:2]
    first, second = local.Tag.objects.order_by("pk")[:2]
    data = {
        "form-TOTAL_FORMS": 3,
        "form-INITIAL_FORMS": 2,
        "form-0-id": first.pk,
        "form-0-name": "changed",
        "form-1-id": second.pk,
        "form-1-name": second.name,
        "form-1-DELETE": "on",
        "form-2-name": "added",
    }
    bound = formset(data, queryset=queryset)
    assert bound.is_valid(), bound.errors
    bound.save()
    assert local.Tag.objects.get(pk=first.pk).name == "changed"
    assert not local.Tag.objects.filter(pk=second.pk).exists()
    assert local.Tag.objects.filter(name="added").exists()


# ModelChoiceField


def test_choices_are_one_message(shop_data, local, remote, messages):
    with messages() as sent:
        found = choices(forms.ModelChoiceField(remote.Category.objects.all()))
    assert found == choices(forms.ModelChoiceField(local.Category.objects.all()))
    assert len(sent) == 1


def test_model_choice_field(shop, local):
    field = forms.ModelChoiceField(shop.Category.objects.filter(parent=None), to_field_name="title")
    title = local.Category.objects.filter(parent=None).first().title
    assert field.clean(title) == shop.Category.objects.get(title=title)
    with pytest.raises(forms.ValidationError, match="Select a valid choice"):
        field.clean(local.Category.objects.exclude(parent=None).first().title)
    with pytest.raises(forms.ValidationError, match="This field is required"):
        field.clean("")


def test_model_multiple_choice_field(shop):
    field = forms.ModelMultipleChoiceField(shop.Tag.objects.all())
    found = field.clean(["1", "2"])
    assert isinstance(found, QuerySet)
    assert sorted(tag.pk for tag in found) == [1, 2]
    with pytest.raises(forms.ValidationError, match="99999 is not one of the available choices"):
        field.clean(["1", "99999"])


# Paginator


def test_pages(shop, local):
    paginator = Paginator(shop.Order.objects.order_by("pk"), 30, orphans=5)
    assert (paginator.count, paginator.num_pages) == (80, 3)
    page = paginator.page(2)
    assert [order.pk for order in page] == list(local.Order.objects.order_by("pk").values_list("pk", flat=True)[30:60])
    assert (page.has_next(), page.start_index(), page.end_index()) == (True, 31, 60)
    assert len(paginator.get_page(99)) == 20
    with pytest.raises(EmptyPage):
        paginator.page(4)


def test_a_page_is_two_messages(shop_data, remote, messages):
    with messages() as sent:
        assert len(list(Paginator(remote.Order.objects.order_by("pk"), 30).page(1))) == 30
    assert len(sent) == 2


def test_values_and_unordered_pages(shop):
    assert list(Paginator(shop.Tag.objects.order_by("pk").values_list("pk", flat=True), 2).page(1)) == [1, 2]
    with pytest.warns(UnorderedObjectListWarning, match="unordered object_list"):
        Paginator(shop.Tag.objects.all(), 2).page(1)
