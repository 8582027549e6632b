"""Pictures of graphs and plans: their content, and their rendering."""

import importlib.metadata
import re
import sys
import types

import pytest

from django_rpc.graph.delayed.delayed import delayed
from django_rpc.graph.draw import render as rendering
from django_rpc.graph.draw.layout import boxes_of
from django_rpc.graph.draw.render import find_dot, pdf_page, render
from django_rpc.graph.draw.visualize import Picture, to_dot, visualize, visualize_error
from django_rpc.graph.errors import MissingExtra
from django_rpc.graph.plan.pipeline import collect, plan

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF-", "jpeg": b"\xff\xd8", "dot": b"digraph"}


def boxes(*outputs, **options):
    return boxes_of(collect(outputs), **options)


def test_chain_is_single_box(orders):
    [box], edges = boxes(orders.filter(a=1).order_by("b").first().name)
    assert "".join(box.lines) == "Order.objects.filter(a=1).order_by('b').first().name"
    assert box.output
    assert not edges
    many, _ = boxes(orders.filter(a=1).first().name, collapse=False)
    assert len(many) == 4


def test_shared_node_has_separate_box(orders):
    first = orders.first()
    found, edges = boxes(first.name + first.number)
    assert [box.lines for box in found] == [["Order.objects.first()"], [".name"], [".number"], ["(… + …)"]]
    assert set(edges) == {(0, 1), (0, 2), (1, 3), (2, 3)}
    assert [box.colour for box in found] == ["read", "read", "read", "value"]


def test_edges_are_labelled_with_argument(orders, clients):
    found, edges = boxes(orders.create(client=clients.first(), total=clients.count()))
    assert sorted(edges.values()) == ["client", "total"]
    assert found[-1].colour == "write"


def test_node_after_write_is_below_it(orders):
    found, edges = boxes(orders.create(total=1).number)
    assert [box.colour for box in found] == ["write", "read"]
    assert list(edges) == [(0, 1)]


def test_source_is_named_in_each_dependent_box(orders):
    found, edges = boxes(orders.count(), orders.first(), orders.filter(a=orders))
    assert ["Order.objects"] in [box.lines for box in found]
    found, edges = boxes(orders.count(), orders.first())
    assert [box.lines[0] for box in found] == ["Order.objects.count()", "Order.objects.first()"]
    assert not edges


def test_large_graphs_stay_readable(orders):
    found, edges = boxes(*[orders.get(pk=number).total for number in range(100)])
    [box] = found
    assert box.count == 100
    assert "99 more like this" in box.lines[-1]
    total, chain = 0, orders
    for number in range(500):
        total, chain = total + orders.get(pk=number).total, chain.filter(a=number)
    found, edges = boxes(total)
    assert len(found) == 2
    assert len(edges) == 1
    [box], _ = boxes(chain)
    assert len(box.lines) <= 9
    assert any("more steps" in line for line in box.lines)


def test_dot_text(orders, products):
    text = to_dot([orders.create(note='a "quoted" \\ text\n'), products.count()], title="A title")
    assert 'label="service rpc"' in text
    assert 'label="service stock"' in text
    assert "#ffd9b3" in text
    assert "peripheries=2" in text
    assert '\\"quoted\\"' in text or "'a \\\"quoted" in text
    assert 'label="A title"' in text
    assert text.count("{") == text.count("}")
    assert 'rankdir="LR"' in to_dot([orders], rankdir="LR")


def test_the_optimised_graph_is_smaller(orders):
    twice = orders.all().count() + orders.all().count()
    assert len(to_dot([twice], optimize_graph=True).splitlines()) < len(to_dot([twice]).splitlines())


@pytest.mark.parametrize("format", MAGIC)
def test_every_format_is_drawn(orders, tmp_path, format):
    picture = visualize([orders.filter(name='Ж "x" <b> &').first()], tmp_path / f"graph.{format}")
    assert isinstance(picture, Picture)
    assert picture.data.startswith(MAGIC[format])
    assert picture.path.read_bytes() == picture.data
    assert repr(str(picture.path)) in repr(picture)
    assert "text/plain" in picture._repr_mimebundle_()


def test_format_from_argument_or_file_name(orders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert orders.visualize().path.name == "django_rpc.png"
    assert orders.visualize("a", format="svg").path.name == "a.svg"
    assert orders.visualize("b.jpg").format == "jpeg"
    assert orders.visualize("c.dot", format="svg").format == "svg"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.jpg", "c.dot", "django_rpc.png"]
    drawn = orders.visualize(None, format="svg")
    assert drawn.path is None
    assert set(drawn._repr_mimebundle_()) == {"image/svg+xml", "text/plain"}
    assert "bytes" in repr(drawn)
    with pytest.raises(ValueError, match="no format"):
        orders.visualize("x.gif")


def test_text_that_is_not_dot_is_an_error():
    with pytest.raises(ValueError, match="could not be drawn"):
        render("this is no graph", "svg")


def test_without_graphviz_the_error_names_the_extra(orders, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(rendering.shutil, "which", lambda name: None)
    monkeypatch.setattr(rendering.importlib.metadata, "files", missing)
    assert find_dot() == []
    with pytest.raises(MissingExtra, match=r"django-rpc\[viz\]"):
        orders.visualize(None)
    assert orders.visualize(None, format="dot").data.startswith(b"digraph")


def test_failing_dot_falls_back(monkeypatch):
    good = find_dot()
    monkeypatch.setattr(rendering, "find_dot", lambda: ["/bin/false", "/does/not/exist", *good])
    assert render("digraph { a -> b }", "png").startswith(MAGIC["png"])
    assert render("digraph { a -> b }", "pdf").startswith(MAGIC["pdf"])


def test_a_page_holds_a_jpeg_and_nothing_else():
    with pytest.raises(ValueError, match="no JPEG"):
        pdf_page(b"GIF89a", 72)
    with pytest.raises(ValueError, match="no frame"):
        pdf_page(b"\xff\xd8\xff\xe0\x00\x04ab", 72)


def test_ipython_image_is_returned(orders, monkeypatch):
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: object()
    display.SVG = lambda data: ("SVG", data)
    display.Image = lambda data, format: ("Image", format)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert orders.visualize(None) == ("Image", "png")
    assert orders.visualize(None, format="svg")[0] == "SVG"
    assert isinstance(orders.visualize(None, format="dot"), Picture)
    ipython.get_ipython = lambda: None
    assert isinstance(orders.visualize(None), Picture)


@delayed
def half(number):
    return number // 2


def test_branches_of_many_boxes_are_drawn_once(orders):
    branches = [(orders.filter(pk__gt=n).count(), half(half(n))) for n in range(30)]
    found, edges = boxes(*[(count + half(number)) * count for (count, number) in branches])
    assert [box.count for box in found] == [30] * 5
    assert len(edges) == 4
    row = orders.first()
    for _ in range(100):
        row = half(row)
    found, edges = boxes(row)
    assert len(found) == 11  # both ends, and a label for the middle, which links to itself
    assert any(start == end for start, end in edges)


def test_a_plan_has_a_frame_for_each_stage(orders, products):
    count = orders.filter(a=1).count()
    d = half(count) + products.filter(size=half(count)).count()
    text = to_plan_dot(d)
    stages = plan([d]).stages
    for number, stage in enumerate(stages, 1):
        assert f'label="stage {number}: ' + (f"service {stage.service}" if stage.service else "here") in text
    assert [text.count(f"round trip {number}") for number in (1, 2, 3)] == [1, 1, 0]
    assert "round trip 2, size" in text
    assert text.count("peripheries=2") == 2  # the result, and the word "results"
    assert len(re.findall(r"cluster_\d+ {", text)) == len(stages)
    fills = re.findall(r'label="stage \d+: (service \w+|here).*fillcolor="(#\w+)"', text)
    assert len(set(fills)) == len({service for service, _ in fills}) == 3  # one colour a service


def to_plan_dot(d, **options):
    return d.visualize(None, format="dot", plan=True, **options).data.decode()


def test_edges_of_two_stages_stay_separate(orders, products):
    """A large plan has one edge from each stage and one edge to each stage."""
    sums = [orders.filter(pk=n).count() + products.filter(pk=n).count() for n in range(40)]
    drawn = to_plan_dot(delayed(max)(sums))
    assert "… and 39 more like this" in drawn
    for stage in (0, 1):
        assert re.search(rf"s{stage}b\d+ -> s2b\d+", drawn), stage


def test_large_plan_is_drawn(orders, products, tmp_path):
    parts = [
        products.filter(sku__in=orders.filter(n=half(orders.filter(n=i).count())).values("sku")) for i in range(50)
    ]
    d = delayed(sum)([part.count() for part in parts])
    text = to_plan_dot(d)
    assert text.count("49 more like this") == 4
    assert len(to_plan_dot(d, collapse=False)) > 10 * len(text)
    for format in MAGIC:
        assert d.visualize(tmp_path / f"plan.{format}", plan=True).data.startswith(MAGIC[format])


def test_a_query_of_another_service_is_carried_by_its_column(orders, products):
    text = to_plan_dot(products.filter(sku__in=orders.filter(a=1).values("sku")).count())
    assert "sku__in" in text
    assert text.count("subgraph") == 2


def test_a_graph_that_failed_shows_the_node_and_the_line(tmp_path):
    @delayed
    def fail(number):
        raise ValueError("too few")

    d = half(fail(delayed([1])) + half(8))
    with pytest.raises(ValueError, match="too few") as caught:
        d.compute()
    text = visualize_error(caught.value, format="dot").data.decode()
    red = [line for line in text.splitlines() if "#f8c9c9" in line]
    assert len(red) == 1
    assert "fail(…)" in red[0]
    assert "d = half(fail(delayed([1])) + half(8))" in red[0]
    assert "test_visualize.py:" in red[0]
    assert 'label="ValueError: too few"' in text
    assert "half(8)" in text  # all that was under way is there
    assert visualize_error(caught.value, tmp_path / "failed.png").data.startswith(MAGIC["png"])
    assert visualize_error(caught.value).format == "svg"


def test_error_without_graph():
    with pytest.raises(ValueError, match="KeyError has no graph"):
        visualize_error(KeyError("x"))


def test_failed_node_has_separate_box(orders):
    gets = [orders.get(pk=number).total for number in range(100)]
    failed = gets[40].__rpc_node__().parent
    text = to_dot(gets, failed=failed)
    assert "get(pk=40)" in text
    assert "98 more like this" in text


def test_a_notebook_shows_the_graph(orders, monkeypatch):
    shown = orders.count()._repr_mimebundle_()
    assert shown["text/plain"] == "<Delayed Order.objects.count()>"
    assert "Order.objects.count()" in shown["image/svg+xml"]
    total = 0
    for _ in range(5_001):
        total = total + orders.count()
    assert set(total._repr_mimebundle_()) == {"text/plain"}
    monkeypatch.setattr(rendering, "find_dot", lambda: [])
    assert set(orders.count()._repr_mimebundle_()) == {"text/plain"}


def test_containers_are_drawn(orders):
    found, _ = boxes(delayed([orders.count(), 1]))
    assert found[-1].colour == "value"
