"""``python -m django_rpc demo-admin``: it starts, a user logs in and works, and Ctrl-C ends all processes."""

from __future__ import annotations

import http.cookiejar
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import psutil
import pytest

from django_rpc.demo.services import free_port


@pytest.fixture
def running():
    """The process, and the lines that it printed until it was ready."""
    command = [sys.executable, "-m", "django_rpc", "demo-admin", "--port", str(free_port())]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "Ctrl-C" in line:
                break
        else:
            pytest.fail("It ended before it was ready:\n" + "\n".join(lines))
        yield process, lines
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


class Browser:
    """Cookies, and forms with their token."""

    def __init__(self):
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def get(self, url):
        with self.opener.open(url, timeout=20) as page:
            return page.read().decode()

    def post(self, url, **data):
        (token, *_) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(url))
        body = urllib.parse.urlencode({**data, "csrfmiddlewaretoken": token}).encode()
        with self.opener.open(urllib.request.Request(url, body, {"Referer": url}), timeout=20) as page:
            return page.url, page.read().decode()


def test_demo_admin_starts_serves_and_stops(running):
    process, lines = running
    text = "\n".join(lines)
    (address,) = re.findall(r"^The admin is at (\S+)$", text, re.MULTILINE)
    ((user, password),) = re.findall(r"^Log in as '(\w+)' with the password '(\w+)'\.$", text, re.MULTILINE)
    browser = Browser()
    assert "Log in" in browser.get(address)
    url, page = browser.post(f"{address}login/?next=/admin/", username=user, password=password)
    assert url == address
    assert "Site administration" in page
    assert "1500 orders" in browser.get(f"{address}shop_client/order/")
    browser.post(f"{address}shop_client/tag/add/", name="made-in-the-admin")
    assert "made-in-the-admin" in browser.get(f"{address}shop_client/tag/")
    assert "{" in browser.get(urllib.parse.urljoin(address, "/static/admin/css/base.css"))

    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 3  # Redis, the worker and the site, next to their guards
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    deadline = time.monotonic() + 10
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in started):
        assert time.monotonic() < deadline, started
        time.sleep(0.05)
