"""Firefox over WebDriver BiDi: a browser that its own remote agent drives, so that no geckodriver is needed. Standard library only."""

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time

# Nothing that calls home, and no page of its own.
PREFERENCES = {
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
}


def program():
    """The path of Firefox, or None. FIREFOX in the environment names another one."""
    return os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")


class WebSocket:
    """A client's end: whole text messages, none of ours above 64 KiB."""

    def __init__(self, port, path):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        self.file = self.sock.makefile("rb")
        status = self.file.readline()
        assert b" 101 " in status, status
        while self.file.readline().strip():
            pass

    def send(self, text, opcode=1):
        data, mask = text.encode(), os.urandom(4)
        assert len(data) < 65536
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
        self.sock.sendall(bytes([0x80 | opcode]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        text = b""
        while True:
            first, length = self.file.read(2)
            if length >= 126:
                length = int.from_bytes(self.file.read(2 if length == 126 else 8), "big")
            data, opcode = self.file.read(length), first & 0x0F
            if opcode in (0, 1):
                text += data
                if first & 0x80:
                    return text.decode()
            elif opcode == 9:
                self.send(data.decode(), 10)

    def close(self):
        self.file.close()
        self.sock.close()


class Firefox:
    """One headless Firefox with a profile of its own in @directory, and one page."""

    def __init__(self, directory):
        profile = directory / "profile"
        profile.mkdir()
        (profile / "user.js").write_text("".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in PREFERENCES.items()))
        argv = [program(), "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        env = os.environ | {"HOME": str(directory), "MOZ_CRASHREPORTER_DISABLE": "1"}
        self.said, self.socket, self.last = directory / "firefox.log", None, 0
        with open(self.said, "wb") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True)
        try:
            self.socket = WebSocket(self._port(), "/session")
            capabilities = {"alwaysMatch": {"acceptInsecureCerts": True}}
            self.version = self.call("session.new", capabilities=capabilities)["capabilities"]["browserVersion"]
            self.page = self.call("browsingContext.getTree")["contexts"][0]["context"]
        except BaseException:
            self.close()
            raise

    def _port(self):
        until = time.monotonic() + 120
        while time.monotonic() < until and self.process.poll() is None:
            if found := re.search(r"WebDriver BiDi listening on ws://127\.0\.0\.1:(\d+)", self.said.read_text(errors="replace")):
                return int(found[1])
            time.sleep(0.1)
        raise RuntimeError(f"Firefox did not start: {self.said.read_text(errors='replace')[-2000:]}")

    def call(self, method, **params):
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.receive())
            if answer.get("id") == self.last:
                assert answer["type"] == "success", answer
                return answer["result"]

    def open(self, url):
        self.call("browsingContext.navigate", context=self.page, url=url, wait="complete")

    def script(self, source):
        """The value of a JavaScript expression in the page, by way of JSON; None for undefined."""
        how = {"expression": f"JSON.stringify({source})", "awaitPromise": True, "target": {"context": self.page}}
        answer = self.call("script.evaluate", **how)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"].get("value", "null"))

    def close(self):
        """Ends it in its own way; what is left of its processes is killed as the group that they are."""
        if self.socket:
            with contextlib.suppress(OSError, AssertionError, ValueError):
                self.call("browser.close")
            self.socket.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait()
