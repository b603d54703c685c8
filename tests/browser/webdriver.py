"""A small WebDriver client: just enough of the protocol to drive Chromium through chromedriver.

Standard library only, so that the browser tests need no package beside chromium and chromium-driver.
"""

import base64
import contextlib
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key under which the protocol wraps an element
ENTER, BACKSPACE, CONTROL, DOWN = "\ue007", "\ue003", "\ue009", "\ue015"

ARGUMENTS = [
    "--headless=new", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
]


# Straight to loopback, whatever proxy the environment names.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class WebDriverError(Exception):
    """chromedriver's error; `code` is the protocol's, such as "no such element"."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class Chromedriver:
    """One chromedriver process on a port of its own choosing, with @directory for its home and its log."""

    def __init__(self, directory):
        home = {name: str(directory) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
        with open(directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=os.environ | home)
        said = b""
        for line in self.process.stdout:
            said += line
            found = re.search(rb"started successfully on port (\d+)", line)
            if found:
                self.url = f"http://127.0.0.1:{int(found[1])}"
                return
        raise RuntimeError(f"chromedriver did not start: {said.decode(errors='replace')}")

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode())
        try:
            with OPENER.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise WebDriverError(value["error"], value["message"]) from None

    def stop(self):
        """Ends it in its own way, which ends the browsers that are left; a signal would leave them running."""
        with contextlib.suppress(OSError):
            OPENER.open(self.url + "/shutdown", timeout=30).close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Browser:
    """One browser with a profile of its own. Elements are named by CSS selector at each use, never held."""

    def __init__(self, driver, profile, any_certificate=False):
        arguments = ARGUMENTS + [f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium's sandbox refuses root
        value = driver.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": any_certificate,
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}})
        self.driver = driver
        self.path = f"/session/{value['sessionId']}"

    def call(self, method, path, body=None):
        return self.driver.call(method, self.path + path, body)

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def find(self, selector):
        return self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.call("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self.call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def fill(self, selector, text):
        self.call("POST", f"/element/{self.find(selector)}/clear", {})
        self.type(selector, text)

    def press(self, *keys):
        """Presses keys where the focus is; they are held down together, then released."""
        actions = [{"type": "keyDown", "value": key} for key in keys]
        actions += [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def text(self, selector):
        return self.script("return document.querySelector(arguments[0]).textContent", selector)

    def script(self, source, *arguments):
        return self.call("POST", "/execute/sync", {"script": source, "args": list(arguments)})

    def wait(self, source, *arguments, seconds=20):
        """Runs @source until it returns something true, and returns that."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.script(source, *arguments)
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"in {seconds} s it never came true: {source} {arguments}\n{self.summary()}")
            time.sleep(0.05)

    def summary(self):
        return self.script("return document.body.innerText")

    def log(self):
        """What the page's console said since the last call, as (level, message)."""
        return [(line["level"], line["message"]) for line in self.call("POST", "/se/log", {"type": "browser"})]

    def devtools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def resize(self, width, height, scale=1, mobile=False):
        self.devtools("Emulation.setDeviceMetricsOverride",
                      width=width, height=height, deviceScaleFactor=scale, mobile=mobile)

    def colour_scheme(self, scheme):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, selector=None):
        path = f"/element/{self.find(selector)}/screenshot" if selector else "/screenshot"
        return base64.b64decode(self.call("GET", path))

    def close(self):
        self.call("DELETE", "")
