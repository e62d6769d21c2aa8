"""A real browser, headless, driven over the WebDriver protocol (W3C) without a library."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--disable-dev-shm-usage"),
)
#: What tests/setup/axe installed.
_AXE = Path(__file__).resolve().parents[2] / ".cache/axe/node_modules/axe-core/axe.min.js"
#: The rules of WCAG 2.2, levels A and AA, as axe-core names them.
_WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

#: Why there is none, or nothing where there is one.
missing = "" if shutil.which("chromedriver") and shutil.which("chromium") else "chromium and chromium-driver are needed"


class Browser:
    """A browser with a profile of its own; use it as a context."""

    def __enter__(self) -> Browser:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        for line in self._driver.stdout or ():
            if found := re.search(r"started successfully on port (\d+)", line):
                self._base = f"http://127.0.0.1:{found[1]}"
                break
        options = {"args": [*ARGUMENTS, f"--user-data-dir={self._profile.name}"], "binary": shutil.which("chromium")}
        try:
            wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
            self._base += f"/session/{self._ask('POST', '/session', wanted)['sessionId']}"
        except BaseException:
            self._driver.kill()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._ask("DELETE", "")
        finally:
            self._driver.kill()
            self._driver.wait()
            self._profile.cleanup()

    def go(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self._ask("POST", "/url", {"url": url})

    def type(self, selector: str, text: str) -> None:
        """Type into the first element that matches."""
        self._ask("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        """Click on the first element that matches."""
        self._ask("POST", f"/element/{self._find(selector)}/click", {})

    def press(self, key: str) -> None:
        """Press and release a key, by the character that WebDriver has for it."""
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def barriers(self) -> list[str]:
        """What axe-core finds on the page against WCAG 2.2 AA: the rule, and the first element."""
        look = (
            "return axe.run(document, {runOnly: {type: 'tag', values: arguments[0]}, resultTypes: ['violations']})"
            ".then(found => found.violations.map(({id, nodes: [one]}) => `${id}: ${one.html}: ${one.failureSummary}`))"
        )
        return list(self.run(f"{_AXE.read_text(encoding='utf-8')}\n;{look}", list(_WCAG)))

    @property
    def text(self) -> str:
        """The words a person sees."""
        return str(self.run("return document.body.innerText"))

    def screen(self, width: int, dark: bool = False, media: str = "") -> None:
        """Show pages as wide as a device, in its colours, or as they are printed."""
        phone = width < 600
        size = {"width": width, "height": 844 if phone else 900, "deviceScaleFactor": 1, "mobile": phone}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        wanted = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wanted.items()]
        self._devtools("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def picture(self, path: Path) -> None:
        """The whole page as a PNG file."""
        # The browser takes the page's size from the last frame: one that shows what a script has just folded.
        self.run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        taken = self._devtools("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(taken["data"]))

    def paper(self, path: Path) -> None:
        """The page as it is printed, as a PDF file."""
        path.write_bytes(base64.b64decode(self._devtools("Page.printToPDF", {"printBackground": False})["data"]))

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _find(self, selector: str) -> str:
        return str(self._ask("POST", "/element", {"using": "css selector", "value": selector})[_ELEMENT])

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"].splitlines()[0]) from None
