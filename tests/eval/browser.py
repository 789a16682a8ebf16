"""Headless Chromium by its DevTools protocol over a pipe: needs no package but the browser."""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
WHY_NOT = "there is no chromium (Debian's package chromium)"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--hide-scrollbars", "--disable-background-networking", "--remote-debugging-pipe"),
)
# Key -> code for keyboards, Windows' virtual key code, text that it types.
KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    " ": ("Space", 32, " "),
    "ArrowDown": ("ArrowDown", 40, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "Home": ("Home", 36, ""),
}
SHIFT = 8


class Browser:
    """One page. Use as a context; every call raises RuntimeError for what the browser refuses."""

    def __init__(self, seconds=60):
        self.seconds = seconds
        self.profile = tempfile.mkdtemp(prefix="elbeam-browser-")
        to_browser, self.requests = os.pipe()
        self.answers, from_browser = os.pipe()
        # The browser reads requests from descriptor 3 and writes answers to 4.
        redirect = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        command = ["sh", "-c", redirect, PROGRAM, *FLAGS, f"--user-data-dir={self.profile}"]
        self.process = subprocess.Popen(
            [*command, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.events = []
        self.number = 0
        self.session = None
        try:
            targets = self.call("Target.getTargets")["targetInfos"]
            page = next(one["targetId"] for one in targets if one["type"] == "page")
            attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
            self.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.requests)
        os.close(self.answers)
        shutil.rmtree(self.profile, ignore_errors=True)

    def receive(self):
        deadline = time.monotonic() + self.seconds
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                raise RuntimeError(f"no answer of the browser within {self.seconds} s")
            block = os.read(self.answers, 1 << 20)
            if not block:
                raise RuntimeError(f"the browser has ended: status {self.process.wait()}")
            self.buffer += block
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        block = json.dumps(request).encode() + b"\0"
        while block:
            block = block[os.write(self.requests, block) :]
        while True:
            message = self.receive()
            if message.get("id") == self.number:
                break
            self.events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def open(self, path):
        """Returns when the page has been loaded; the seconds are the page's own, by its clock."""
        self.call("Page.navigate", url=pathlib.Path(path).as_uri())
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.events.append(self.receive())
        timing = "performance.getEntriesByType('navigation')[0].loadEventStart / 1000"
        return self.evaluate(timing)

    def evaluate(self, script):
        """The value of a script's last expression, which JSON can hold."""
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def processor_seconds(self):
        """What the page's process has used so far."""
        metrics = self.call("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in metrics if one["name"] == "ProcessTime")

    def press(self, key, times=1, modifiers=0):
        code, number, text = KEYS[key]
        for _ in range(times):
            common = {"key": key, "code": code, "windowsVirtualKeyCode": number}
            common["modifiers"] = modifiers
            down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
            self.call("Input.dispatchKeyEvent", **common, **down)
            self.call("Input.dispatchKeyEvent", **common, type="keyUp")

    def type(self, text):
        self.call("Input.insertText", text=text)

    def resize(self, width, height, phone=False):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def prefer(self, scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path, full=False):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))

    def complaints(self):
        """Errors and warnings of the page's script and of the browser about the page."""
        self.evaluate("0")  # what was to be said has been said
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [one for one in self.events if one.get("method") in kinds]

    def requested(self):
        """The addresses that the page asked for."""
        requests = [one for one in self.events if one.get("method") == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in requests]
