"""The admin on mirrors, driven in a real Chromium: a site of its own, a worker, a broker, and the service's database.

Each step asserts what a person sees and what the database holds, read past Django.  Writes of other tests stay:
what is expected is asked of the database.
"""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from redis import Redis

from django_rpc.demo import admin_site
from django_rpc.demo.environment import parse_database
from django_rpc.demo.services import free_port

from .browser import available, chromium

ROWS = {"customers": 40, "products": 20, "orders": 80}


@pytest.fixture(scope="module")
def running(required):
    """The processes of ``make demo-admin``, with fewer rows."""
    required(available(), "No Chromium with its driver (Debian: apt-get install chromium chromium-driver)")
    with admin_site.running(port=free_port(), data=ROWS) as parts:
        yield parts


@pytest.fixture(scope="module")
def logged_in(running):
    with chromium() as browser:
        browser.open(running.url)
        browser.fill("username", admin_site.USER)
        browser.fill("password", admin_site.PASSWORD)
        browser.follow(browser.one("[type=submit]"))
        assert "Site administration" in browser.text("#content")
        yield browser


@pytest.fixture
def browser(logged_in):
    """A logged-in browser; the console is silent after each test."""
    yield logged_in
    assert logged_in.complaints() == []


@pytest.fixture
def go(browser, running):
    """``go("order/?p=2")``: open a page of the shop."""
    return lambda path: browser.open(f"{running.url}shop_client/{path}")


@pytest.fixture(scope="module")
def sql(running):
    """``sql(statement, *parameters)``: the rows, or where there is one column its values."""

    def ask(statement, *parameters):
        with contextlib.closing(sqlite3.connect(parse_database(running.database)["NAME"], timeout=20)) as connection:
            rows = connection.execute(statement, parameters).fetchall()
        return [row[0] for row in rows] if rows and len(rows[0]) == 1 else rows

    return ask


@pytest.fixture
def sent(running):
    """``with sent() as count: ...``; ``count()`` messages came to the broker, by its own account."""

    @contextlib.contextmanager
    def counting():
        with contextlib.closing(Redis.from_url(running.broker)) as redis:
            redis.config_resetstat()
            yield lambda: redis.info("commandstats").get("cmdstat_lpush", {"calls": 0})["calls"]

    return counting


NEWEST = "ORDER BY created DESC, id DESC"


# The change list


def test_rows_with_the_name_of_the_related_row(browser, go, sql):
    go("order/")
    found = sql(f"SELECT number FROM shop_order {NEWEST} LIMIT 20")
    names = sql(
        "SELECT c.name FROM shop_order o JOIN shop_customer c ON c.id = o.customer_id"
        " ORDER BY o.created DESC, o.id DESC LIMIT 20"
    )
    assert browser.column("number") == found
    assert browser.column("customer") == names
    (count,) = sql("SELECT count(*) FROM shop_order")
    assert f"{count} orders" in browser.text(".paginator")


def test_filters(browser, go, sql):
    go("order/")
    browser.follow(browser.link("Paid", "#changelist-filter"))
    (paid,) = sql("SELECT count(*) FROM shop_order WHERE status = 'paid'")
    assert set(browser.column("status")) == {"Paid"}
    assert f"{paid} orders" in browser.text(".paginator")
    browser.follow(browser.link("VIP", "#changelist-filter"))  # of the customer, on top of the first
    both = sql(
        "SELECT o.number FROM shop_order o JOIN shop_customer c ON c.id = o.customer_id"
        " WHERE o.status = 'paid' AND c.tier = 'vip' ORDER BY o.created DESC, o.id DESC"
    )
    assert browser.column("number") == both
    assert 0 < len(both) < paid


def test_facet_counts(browser, go, sql):
    go("order/")
    browser.follow(browser.link("Show counts", "#changelist-filter"))
    (paid,) = sql("SELECT count(*) FROM shop_order WHERE status = 'paid'")
    assert f"Paid ({paid})" in browser.text("#changelist-filter")


def test_a_filter_by_the_rows_of_a_relation(browser, go, sql):
    go("product/")
    browser.follow(browser.link("Kitchen", "#changelist-filter"))
    kitchen = "SELECT sku FROM shop_product WHERE category_id = (SELECT id FROM shop_category WHERE title = 'Kitchen')"
    assert browser.column("sku") == sql(f"{kitchen} ORDER BY sku")
    assert set(browser.column("category")) == {"Kitchen"}


def test_search_through_relation(browser, go, sql):
    go("order/")
    browser.fill("q", "adler")
    browser.follow(browser.one("#changelist-search [type=submit]"))
    adlers = sql(
        "SELECT o.number FROM shop_order o JOIN shop_customer c ON c.id = o.customer_id"
        " WHERE c.name LIKE '%adler%' ORDER BY o.created DESC, o.id DESC"
    )
    assert browser.column("number") == adlers[:20]
    assert f"{len(adlers)} results" in browser.text("#changelist-search")


def test_the_date_hierarchy(browser, go, sql):
    links = ".change-list .toplinks a, .xfull .toplinks a"
    go("order/")
    assert browser.texts(links) == sql("SELECT DISTINCT strftime('%Y', created) FROM shop_order ORDER BY 1")
    browser.follow(browser.link("2024", ".toplinks"))
    months = sql("SELECT DISTINCT strftime('%m', created) FROM shop_order WHERE created LIKE '2024-%' ORDER BY 1")
    assert len(browser.texts(links)) == len(months) + 1  # and the way back
    browser.follow(browser.link("March 2024", ".toplinks"))
    march = sql(f"SELECT number FROM shop_order WHERE created LIKE '2024-03-%' {NEWEST}")
    assert browser.column("number") == march
    assert march


def test_ordering_by_a_click_on_a_column(browser, go, sql):
    go("order/")
    browser.follow(browser.link("TOTAL", "#result_list thead"))
    cheapest = sql("SELECT number FROM shop_order ORDER BY total, created DESC LIMIT 20")
    assert browser.column("number") == cheapest
    browser.follow(browser.link("TOTAL", "#result_list thead"))
    assert browser.column("number") == sql("SELECT number FROM shop_order ORDER BY total DESC, created DESC LIMIT 20")


def test_pages(browser, go, sql):
    go("order/")
    browser.follow(browser.link("2", ".paginator"))
    assert browser.column("number") == sql(f"SELECT number FROM shop_order {NEWEST} LIMIT 20 OFFSET 20")
    browser.follow(browser.link("Show all", ".paginator"))
    assert browser.column("number") == sql(f"SELECT number FROM shop_order {NEWEST}")


def test_an_action_on_the_rows_that_are_ticked(browser, go, sql):
    go("order/?status__exact=shipped")
    numbers = browser.column("number")[:3]
    for box in browser.all("#result_list .action-select")[:3]:
        box.click()
    assert "3 of" in browser.text(".action-counter")
    browser.select("action", "Mark selected orders as paid")
    browser.follow(browser.one("button[name=index]"))
    assert browser.text(".messagelist") == "3 orders are paid."
    assert not set(numbers) & set(browser.column("number"))
    marks = ", ".join("?" * len(numbers))
    assert sql(f"SELECT DISTINCT status FROM shop_order WHERE number IN ({marks})", *numbers) == ["paid"]


def test_an_action_on_all_rows_of_all_pages(browser, go, sql):
    go("customer/")
    (all_customers,) = sql("SELECT count(*) FROM shop_customer")
    (paid,) = sql("SELECT count(*) FROM shop_order WHERE status = 'paid'")
    go("order/?status__exact=paid")
    assert paid > 20  # more than a page
    browser.one("#action-toggle").click()
    browser.link(f"Select all {paid} orders", ".actions").click()
    browser.select("action", "Cancel selected orders")
    browser.follow(browser.one("button[name=index]"))
    assert browser.text(".messagelist") == f"{paid} orders are cancelled."
    assert sql("SELECT count(*) FROM shop_order WHERE status = 'paid'") == [0]
    assert sql("SELECT count(*) FROM shop_customer") == [all_customers]


def test_deleting_the_selected_rows_with_its_confirmation(browser, go, sql):
    go("order/")
    numbers = browser.column("number")[:2]
    keys = sql("SELECT id FROM shop_order WHERE number IN (?, ?)", *numbers)
    (lines,) = sql("SELECT count(*) FROM shop_line WHERE order_id IN (?, ?)", *keys)
    for box in browser.all("#result_list .action-select")[:2]:
        box.click()
    browser.select("action", "Delete selected orders")
    browser.follow(browser.one("button[name=index]"))
    assert "Are you sure you want to delete the selected orders?" in browser.text("#content")
    assert f"Lines: {lines}" in browser.text("#content")
    assert sql("SELECT count(*) FROM shop_order WHERE id IN (?, ?)", *keys) == [2]
    browser.follow(browser.one("#content [type=submit]"))
    assert browser.text(".messagelist") == "Successfully deleted 2 orders."
    assert sql("SELECT count(*) FROM shop_order WHERE id IN (?, ?)", *keys) == [0]
    assert sql("SELECT count(*) FROM shop_line WHERE order_id IN (?, ?)", *keys) == [0]


def test_a_column_that_is_edited_in_the_list(browser, go, sql):
    go("customer/")
    key = browser.one("[name=form-2-id]").get_attribute("value")
    (before,) = sql("SELECT tier FROM shop_customer WHERE id = ?", key)
    new = "Plus" if before != "plus" else "VIP"
    browser.select("form-2-tier", new)
    browser.save()
    assert browser.text(".messagelist") == "1 customer was changed successfully."
    assert sql("SELECT tier FROM shop_customer WHERE id = ?", key) == [new.lower()]


# One row


def test_add_with_autocompletion_and_inlines(browser, go, sql):
    go("order/add/")
    offered = browser.complete("customer", "adl")
    named = sql("SELECT name FROM shop_customer WHERE name LIKE '%adl%' ORDER BY name, id")
    assert offered == named[: len(offered)]
    browser.fill("total", "12.50")
    titles = sql("SELECT title FROM shop_product WHERE id IN (12, 13) ORDER BY id")
    browser.complete("lines-0-product", titles[0])
    browser.fill("lines-0-quantity", "4")
    browser.link("Add another Line").click()  # a row that a script makes
    browser.complete("lines-1-product", titles[1])
    browser.save()
    assert "was added successfully" in browser.text(".messagelist")
    ((key, number, total, name),) = sql(
        "SELECT o.id, o.number, o.total, c.name FROM shop_order o JOIN shop_customer c ON c.id = o.customer_id"
        " ORDER BY o.id DESC LIMIT 1"
    )
    assert number in browser.text(".messagelist")  # the service's save() set it
    assert (total, name) == (12.5, offered[0])
    lines = sql("SELECT product_id, quantity FROM shop_line WHERE order_id = ? ORDER BY id", key)
    assert lines == [(12, 4), (13, 1)]
    assert sql("SELECT action FROM shop_auditentry WHERE object_pk = ?", str(key)) == ["create"]


def test_change_with_inlines(browser, go, sql):
    (key,) = sql("SELECT order_id FROM shop_line GROUP BY order_id HAVING count(*) = 3 LIMIT 1")
    before = sql("SELECT id, product_id, quantity FROM shop_line WHERE order_id = ? ORDER BY id", key)
    go(f"order/{key}/change/")
    products = browser.texts("#lines-group tr.has_original .select2-selection__rendered")
    titles = "SELECT title FROM shop_line l JOIN shop_product p ON p.id = product_id WHERE order_id = ? ORDER BY l.id"
    assert [text.removeprefix("×").strip() for text in products] == sql(titles, key)
    browser.select("status", "Cancelled")
    browser.link("Today", ".field-created").click()  # a script fills the field
    browser.fill("lines-0-quantity", "77")
    browser.one("[name=lines-1-DELETE]").click()
    shown = browser.one("[name=created_0]").get_attribute("value")
    browser.save("_continue")
    assert "was changed successfully" in browser.text(".messagelist")
    assert browser.one("[name=lines-0-quantity]").get_attribute("value") == "77"
    assert sql("SELECT status, date(created) FROM shop_order WHERE id = ?", key) == [("cancelled", shown)]
    left = sql("SELECT id, product_id, quantity FROM shop_line WHERE order_id = ? ORDER BY id", key)
    assert left == [(*before[0][:2], 77), before[2]]


def test_a_form_that_is_wrong_is_shown_again_and_nothing_is_written(browser, go, sql):
    (taken,) = sql("SELECT number FROM shop_order LIMIT 1")
    before = sql("SELECT count(*) FROM shop_order")
    go("order/add/")
    browser.fill("number", taken)
    browser.fill("total", "1.234")
    browser.complete("customer", "adl")
    browser.save()
    assert "Please correct the errors below." in browser.text("#content")
    assert "Order with this Number already exists." in browser.text(".field-number")
    assert "no more than 2 decimal places" in browser.text(".field-total")
    assert sql("SELECT count(*) FROM shop_order") == before


def test_delete_with_its_confirmation(browser, go, sql):
    (key,) = sql("SELECT order_id FROM shop_line ORDER BY order_id LIMIT 1")
    (lines,) = sql("SELECT count(*) FROM shop_line WHERE order_id = ?", key)
    go(f"order/{key}/change/")
    browser.follow(browser.link("Delete", ".submit-row"))
    assert f"Lines: {lines}" in browser.text("#content")
    browser.follow(browser.link("No, take me back"))
    assert sql("SELECT count(*) FROM shop_order WHERE id = ?", key) == [1]
    browser.follow(browser.link("Delete", ".submit-row"))
    browser.follow(browser.one("#content [type=submit]"))
    assert "was deleted successfully" in browser.text(".messagelist")
    assert sql("SELECT count(*) FROM shop_order WHERE id = ?", key) == [0]
    assert sql("SELECT count(*) FROM shop_line WHERE order_id = ?", key) == [0]


def test_protected_row_is_not_deleted(browser, go, sql):
    (key,) = sql("SELECT product_id FROM shop_line LIMIT 1")
    go(f"product/{key}/delete/")
    assert "would require deleting the following protected related objects" in browser.text("#content")
    assert not browser.all("#content [type=submit]")
    assert sql("SELECT count(*) FROM shop_product WHERE id = ?", key) == [1]


def test_one_to_one_inline(browser, go, sql):
    (key,) = sql("SELECT id FROM shop_customer WHERE id NOT IN (SELECT customer_id FROM shop_profile) LIMIT 1")
    go(f"customer/{key}/change/")
    browser.fill("profile-0-bio", "Writes to us by post.")
    browser.save()
    assert "was changed successfully" in browser.text(".messagelist")
    assert sql("SELECT bio FROM shop_profile WHERE customer_id = ?", key) == ["Writes to us by post."]


def test_many_to_many_in_two_boxes(browser, go, sql):
    tags = "SELECT t.name FROM shop_product_tags pt JOIN shop_tag t ON t.id = pt.tag_id WHERE pt.product_id = 5"
    go("product/5/change/")
    assert sorted(browser.texts("#id_tags_to option")) == sorted(sql(tags))
    offered = browser.one("#id_tags_from option")
    added = offered.text
    offered.click()
    browser.one(".field-tags .selector-add").click()
    browser.wait(lambda: added in browser.texts("#id_tags_to option"))
    expected = sorted(browser.texts("#id_tags_to option"))
    browser.save()
    assert sorted(sql(tags)) == expected


def test_related_row_is_added_in_popup(browser, go, sql):
    go("product/6/change/")
    first = browser.driver.current_window_handle
    browser.one("#add_id_category").click()
    browser.wait(lambda: len(browser.driver.window_handles) == 2)
    browser.driver.switch_to.window(browser.driver.window_handles[-1])
    try:
        browser.wait(lambda: browser.all("[name=title]"))
        browser.fill("title", "Lighting")
        browser.one("[name=_save]").click()  # the window closes itself
        browser.wait(lambda: len(browser.driver.window_handles) == 1)
    finally:
        browser.driver.switch_to.window(first)
    browser.wait(lambda: browser.text("#id_category option:checked") == "Lighting")
    browser.save()
    assert "was changed successfully" in browser.text(".messagelist")
    (title,) = sql("SELECT title FROM shop_category WHERE id = (SELECT category_id FROM shop_product WHERE id = 6)")
    assert title == "Lighting"


def test_history(browser, go, sql):
    (key,) = sql("SELECT id FROM shop_tag LIMIT 1")
    go(f"tag/{key}/change/")
    browser.fill("name", "renamed")
    browser.save("_continue")
    browser.follow(browser.link("HISTORY"))
    assert "Changed Name." in browser.text("#change-history")
    assert sql("SELECT name FROM shop_tag WHERE id = ?", key) == ["renamed"]


# Messages, counted by the broker


@pytest.mark.parametrize("path", ["order/", "order/?p=2", "order/?created__year=2024", "order/?q=adler&o=4"])
def test_change_list_with_foreign_key_is_one_message(browser, go, sent, path):
    """The page with the names of the customers, both counts, and the dates of the hierarchy."""
    go("tag/")
    with sent() as count:
        go(path)
        assert browser.column("customer")
        assert count() == 1


@pytest.mark.parametrize(("path", "column", "filters"), [("product/", "category", 2), ("customer/", "city", 1)])
def test_list_filter_is_one_additional_message(browser, go, sent, path, column, filters):
    """Filters by the rows of a relation (``category``, ``tags``), and by the values of a field (``city``)."""
    with sent() as count:
        go(path)
        assert browser.column(column)
        assert count() == 1 + filters
