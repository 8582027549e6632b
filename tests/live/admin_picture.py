"""``python -m tests.live.admin_picture FILE``: the picture of docs/howto/admin.md, of what demo-admin starts."""

from __future__ import annotations

import sys

from django_rpc.demo import admin_site
from django_rpc.demo.services import free_port
from tests.live.browser import chromium


def main(path: str) -> None:
    rows = {"customers": 40, "products": 20, "orders": 400}
    with admin_site.running(port=free_port(), data=rows) as parts, chromium() as browser:
        browser.driver.set_window_size(1300, 900)
        browser.open(f"{parts.url}login/?next=/admin/shop_client/order/")
        browser.fill("username", admin_site.USER)
        browser.fill("password", admin_site.PASSWORD)
        browser.follow(browser.one("[type=submit]"))
        browser.driver.save_screenshot(path)


if __name__ == "__main__":
    main(sys.argv[1])
