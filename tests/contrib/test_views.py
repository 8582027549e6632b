"""Generic class-based views on mirrors: the same pages as on the models, by Django's test client."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.shortcuts import get_list_or_404, get_object_or_404
from django.template import Context, Engine
from django.urls import path
from django.views import generic

pytestmark = [pytest.mark.django_db(databases=["default", "rpc"]), pytest.mark.urls(__name__)]

TEMPLATES = {
    "list.html": "{% for o in object_list %}{{ o.number }} {{ o.customer.name }}\n{% endfor %}"
    "{{ page_obj.paginator.count }} {{ page_obj.number }}",
    "detail.html": "{{ object.number }} {{ object.get_status_display }} "
    "{% for l in object.lines.all %}{{ l.quantity }},{% endfor %}",
    "form.html": "{{ form.as_p }}",
    "confirm.html": "Delete {{ object }}?",
    "dates.html": "{% for d in date_list %}{{ d|date:'Y-m-d' }},{% endfor %} {{ object_list|length }}",
}


class Rendered:
    """A view with the templates above."""

    page = ""

    def render_to_response(self, context, **kwargs):
        text = Engine(loaders=[("django.template.loaders.locmem.Loader", TEMPLATES)]).get_template(self.page)
        return HttpResponse(text.render(Context(context)))


def views_of(models):
    class List(Rendered, generic.ListView):
        page = "list.html"
        paginate_by = 15
        ordering = ["pk"]

        def get_queryset(self):
            found = models.Order.objects.select_related("customer").order_by("pk")
            return found.filter(status=self.request.GET["status"]) if "status" in self.request.GET else found

    class Detail(Rendered, generic.DetailView):
        model = models.Order
        page = "detail.html"

    class Slug(Rendered, generic.DetailView):
        model = models.Order
        slug_field = "number"
        page = "detail.html"

    class Create(Rendered, generic.CreateView):
        model = models.Tag
        fields = ["name"]
        success_url = "/done/{id}/"
        page = "form.html"

    class Update(Rendered, generic.UpdateView):
        model = models.Order
        fields = ["status", "customer"]
        success_url = "/done/"
        page = "form.html"

    class Delete(Rendered, generic.DeleteView):
        model = models.Order
        success_url = "/done/"
        page = "confirm.html"

    class Dated(Rendered):
        model = models.Order
        date_field = "created"
        allow_empty = False
        allow_future = True
        page = "dates.html"
        month_format = "%m"

    class Archive(Dated, generic.ArchiveIndexView):
        pass

    class Year(Dated, generic.YearArchiveView):
        make_object_list = True

    class Month(Dated, generic.MonthArchiveView):
        pass

    class Day(Dated, generic.DayArchiveView):
        pass

    return {
        "list/": List,
        "detail/<int:pk>/": Detail,
        "number/<slug:slug>/": Slug,
        "create/": Create,
        "update/<int:pk>/": Update,
        "delete/<int:pk>/": Delete,
        "archive/": Archive,
        "archive/<int:year>/": Year,
        "archive/<int:year>/<int:month>/": Month,
        "archive/<int:year>/<int:month>/<int:day>/": Day,
    }


def _urls():
    from django_rpc.demo.client.shop import models as remote
    from django_rpc.demo.server.shop import models as local

    for prefix, models in (("local", local), ("remote", remote)):
        for route, view in views_of(models).items():
            yield path(f"{prefix}/{route}", view.as_view())


urlpatterns = list(_urls())


@pytest.fixture
def both(client, shop_data, settings):
    """``both("list/")``: the page of the models and that of the mirrors, which have to be equal."""
    settings.ALLOWED_HOSTS = ["*"]

    def get(url):
        one, other = client.get(f"/local/{url}"), client.get(f"/remote/{url}")
        assert other.status_code == one.status_code
        if other.status_code == 200:
            assert other.content == one.content
        return other

    return get


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("list/", 200),
        ("list/?page=3", 200),
        ("list/?page=last", 200),
        ("list/?page=99", 404),
        ("list/?status=paid", 200),
        ("detail/3/", 200),
        ("detail/99999/", 404),
        ("create/", 200),
        ("update/3/", 200),
        ("delete/3/", 200),
        ("archive/", 200),
        ("archive/2024/", 200),
        ("archive/2024/06/", 200),
        ("archive/2024/06/03/", 200),
        ("archive/1999/", 404),
    ],
)
def test_pages_are_those_of_the_models(both, url, status):
    assert both(url).status_code == status


def test_a_slug(both, local):
    assert both(f"number/{local.Order.objects.get(pk=5).number}/").status_code == 200


def test_messages_of_a_list(both, client, messages):
    with messages() as sent:
        page = client.get("/remote/list/?page=2").content.decode()
    assert page.endswith("80 2")
    assert len(page.splitlines()) == 16
    assert len(sent) == 2  # how many there are, and the page with its customers


def test_create(both, client, local):
    response = client.post("/remote/create/", {"name": "fresh"})
    assert response.url == f"/done/{local.Tag.objects.get(name='fresh').pk}/"
    assert b"Tag with this Name already exists" in client.post("/remote/create/", {"name": "fresh"}).content


def test_update(both, client, local):
    response = client.post("/remote/update/3/", {"status": "shipped", "customer": 7})
    assert response.url == "/done/"
    saved = local.Order.objects.get(pk=3)
    assert (saved.status, saved.customer_id) == ("shipped", 7)


def test_delete(both, client, local):
    assert client.post("/remote/delete/3/").url == "/done/"
    assert not local.Order.objects.filter(pk=3).exists()


def test_shortcuts(shop_data, remote):
    from django.http import Http404

    assert get_object_or_404(remote.Order, pk=3).pk == 3
    assert get_object_or_404(remote.Order.objects.filter(pk=3)).pk == 3
    assert len(get_list_or_404(remote.Tag, pk__lt=3)) == 2
    with pytest.raises(Http404, match="No Order matches"):
        get_object_or_404(remote.Order, pk=99999)
    with pytest.raises(Http404):
        get_list_or_404(remote.Tag, pk=99999)
