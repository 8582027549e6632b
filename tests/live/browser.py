"""A headless Chromium on a Django admin: the actions of a person, and the visible results."""

from __future__ import annotations

import contextlib
import shutil

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

__all__ = ["Browser", "available", "chromium"]

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: ``--no-sandbox`` because CI is root in a container, which permits nothing else; the pages are trusted.
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,1000")
SECONDS = 15


def available():
    """Return True if this machine has a Chromium and its driver."""
    return bool(_program() and shutil.which("chromedriver"))


def _program():
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def chromium():
    """A ``Browser`` with an empty profile, closed at the end."""
    options = webdriver.ChromeOptions()
    options.binary_location = _program()
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Both programs are named: Selenium looks for none, and fetches none.
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """Selectors are CSS; every step that leads to another page returns when that is loaded."""

    def __init__(self, driver):
        self.driver = driver

    def complaints(self):
        """Return the messages of the console since the last call: errors of scripts, and files that did not load."""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] in {"WARNING", "SEVERE"}]

    def wait(self, condition):
        """Wait until ``condition()`` is true; returns its value."""
        waiting = WebDriverWait(self.driver, SECONDS, 0.02, ignored_exceptions=[StaleElementReferenceException])
        return waiting.until(lambda _: condition())

    def open(self, url):
        self.driver.get(url)

    # Visible content

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector="body"):
        return self.one(selector).text

    def texts(self, selector):
        return [element.text for element in self.all(selector)]

    def column(self, name):
        """The cells of a column of the change list."""
        return self.texts(f"#result_list .field-{name}")

    def link(self, text, within="body"):
        """The link with this text."""
        return self.one(within).find_element(By.LINK_TEXT, text)

    # Actions

    def follow(self, element):
        """Click on a link to another page."""
        page = self.one("html")
        element.click()
        self.wait(lambda: self._left(page) and self.driver.execute_script("return document.readyState") == "complete")

    def _left(self, page):
        try:
            page.is_enabled()
        except StaleElementReferenceException:
            return True
        return False

    def fill(self, name, text):
        field = self.one(f"[name={name}]")
        field.clear()
        field.send_keys(text)

    def select(self, name, text):
        Select(self.one(f"[name={name}]")).select_by_visible_text(text)

    def save(self, name="_save"):
        self.follow(self.one(f"[name={name}]"))

    def complete(self, name, typed):
        """Type into the autocompletion of the field, take the first suggestion, and return all suggestions."""
        self.one(f"[name={name}] + .select2 .select2-selection").click()
        offered = ".select2-results__option[aria-selected]"  # not the line "Searching..."
        search = self.wait(lambda: self.one(".select2-search__field"))
        search.send_keys(typed)
        self.wait(
            lambda: (
                (found := self.texts(offered))
                and not self.all(".loading-results")
                and all(typed.lower() in text.lower() for text in found)
            )
        )
        found = self.texts(offered)
        search.send_keys(Keys.ENTER)
        self.wait(lambda: self.text(f"[name={name}] + .select2 .select2-selection__rendered").endswith(found[0]))
        return found
