"""The labelling page as somebody at a keyboard has it: open it, look, press keys."""

import time

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from goodgrain.annotate import OOD, SKIP, UNSURE, SessionView
from page_server import CLASSES

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
KEYS = {**{name: str(k + 1) for k, name in enumerate(CLASSES)}, OOD: "0", UNSURE: "u", SKIP: "s"}


def open_browser(program, chromedriver, profile):
    """A browser of its own profile that keeps what its console says."""
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(chromedriver))


def script(browser, code, *arguments):
    return browser.execute_script(code, *arguments)


def text(browser, css):
    return script(browser, "return document.querySelector(arguments[0])?.textContent ?? ''", css)


def seen(browser, css):
    return script(browser, "return document.querySelector(arguments[0])?.checkVisibility() ?? false", css)


def until(browser, condition):
    return WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda _: condition())


def press(browser, *keys):
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def current(browser):
    """The id of the image that keys answer, once it can be seen."""
    until(browser, lambda: script(browser, "return Boolean(document.querySelector('.tile.current .picture img'))"))
    return text(browser, ".tile.current .id")


def sit_down(browser, address, name="ann", *, width=1280):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(address)
    until(browser, lambda: seen(browser, "#name"))
    press(browser, name, Keys.ENTER)
    return current(browser)


def give(browser, answer):
    """Answer the current image by its key; returns the image's id."""
    item = current(browser)
    press(browser, KEYS[answer])
    until(browser, lambda: seen(browser, "#between") or text(browser, ".tile.current .id") != item)
    return item


def delivered(browser):
    """Wait until nothing is left in the browser that the server has not acknowledged."""
    code = "return Object.keys(localStorage).filter((key) => /^goodgrain \\w+ (send|refused) /.test(key)).length"
    until(browser, lambda: script(browser, code) == 0)


def refilled(browser):
    """Have the page ask for images, as it does when it comes back into view, and take them in."""
    asked = "return performance.getEntriesByType('resource').filter((r) => r.name.endsWith('/api/ask')).length"
    before = script(browser, asked)
    script(browser, "document.dispatchEvent(new Event('visibilitychange'))")
    until(browser, lambda: script(browser, asked) > before)
    time.sleep(0.2)  # the reply is read after it has come


def kept(server):
    """What the session holds, seen while the server has it open."""
    with SessionView.open(server.folder) as view:
        return view.answers()


def complaints(browser):
    return [row["message"] for row in browser.get_log("browser") if "ERR_" not in row["message"]]
