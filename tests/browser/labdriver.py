"""A real JupyterLab and a real headless Chromium, and what the tests ask of them.

Everything started here is ended here, by its own process id. The lab has the flags and settings of ``adasoft lab``,
keeps what it writes in a folder of the test, and listens on 127.0.0.1 only. It and its kernels are guarded: what they
ask of other machines fails, and is written down.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from unittest.mock import patch

from offline import GUARD

from adasoft.cli.lab import LAB_FLAGS, lab_environment

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
_CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_FLAGS = [
    *LAB_FLAGS,
    "--no-browser",
    "--ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--LabApp.expose_app_in_browser=True",
]


def _free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def jupyter_lab(root_dir, state_dir, env_extra=None, timeout=90):
    """Yield (address, token) of a lab that serves root_dir."""
    root_dir, state_dir = Path(root_dir).resolve(), Path(state_dir).resolve()
    port, token = _free_port(), secrets.token_hex(16)
    guard = state_dir / "network"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    with patch.dict(os.environ, {"ADASOFT_CACHE": str(state_dir / "settings of the lab")}):
        env = {**lab_environment(), **(env_extra or {}), "IPYTHONDIR": str(state_dir / "ipython")}
    env["NETWORK_LOG"] = str(guard)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(guard), env.get("PYTHONPATH")]))
    for kind in ("CONFIG", "DATA", "RUNTIME"):
        env[f"JUPYTER_{kind}_DIR"] = str(state_dir / kind.lower())
    env["JUPYTERLAB_SETTINGS_DIR"] = str(state_dir / "settings")
    env["JUPYTERLAB_WORKSPACES_DIR"] = str(state_dir / "workspaces")
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        *_FLAGS,
        f"--port={port}",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root_dir}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    address, log = f"http://127.0.0.1:{port}", state_dir / "lab.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT, cwd=root_dir)
        try:
            started = time.monotonic()
            while True:
                if process.poll() is not None:
                    raise RuntimeError("the lab died:\n" + log.read_text()[-3000:])
                try:
                    urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=2).close()
                    break
                except OSError:
                    if time.monotonic() - started > timeout:
                        raise
                    time.sleep(0.1)
            yield address, token
        finally:
            process.send_signal(signal.SIGTERM)  # the lab ends its kernels on SIGTERM
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def browser_page(width=1180, height=1000):
    """Yield a page that remembers its requests and its console."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_CHROMIUM_ARGS)
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        page.set_default_timeout(120_000)
        page.requests_seen, page.console_seen = [], []
        page.on("request", lambda r: page.requests_seen.append(r.url))
        page.on("console", lambda m: page.console_seen.append((m.type, m.text)))
        page.on("pageerror", lambda e: page.console_seen.append(("pageerror", str(e))))
        try:
            yield page
        finally:
            browser.close()


class Notebook:
    """One notebook open in the lab, with its kernel idle."""

    def __init__(self, page, address, token, name, timeout=60_000):
        self.page = page
        page.goto(f"{address}/lab/workspaces/auto-{secrets.token_hex(4)}/tree/{name}?token={token}")
        page.wait_for_function("() => window.jupyterapp", timeout=timeout)
        page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=timeout)
        page.wait_for_function(
            """(name) => { const w = window.jupyterapp.shell.currentWidget;
            return !!(w && w.context && w.context.path === name && w.context.isReady && w.sessionContext
              && w.sessionContext.isReady && w.sessionContext.session && w.sessionContext.session.kernel
              && w.sessionContext.session.kernel.status === 'idle'); }""",
            arg=name,
            timeout=timeout,
        )
        # A failing widget callback shows up nowhere but among the kernel's messages.
        page.evaluate(
            """() => { window.__io = [];
            window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.iopubMessage.connect((_, m) => {
              const t = m.header.msg_type;
              if (t === 'error' || (t === 'stream' && m.content.name === 'stderr'))
                window.__io.push(m.content.text ?? m.content.traceback.join('\\n')); }); }"""
        )

    def run_all(self):
        """Run every cell; True if none failed."""
        return self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def run_cell(self, source):
        """Run the code cell that holds this text, alone; True if it did not fail."""
        self.select(source)
        return self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")

    def errors(self):
        """Error outputs of cells, and what the kernel complained of."""
        found = self.page.evaluate(
            """() => { const out = [...window.__io];
            for (const c of window.jupyterapp.shell.currentWidget.content.model.cells)
              if (c.type === 'code') for (const o of c.sharedModel.outputs ?? [])
                if (o.output_type === 'error') out.push(o.ename + ': ' + o.evalue);
            return out; }"""
        )
        # A lab that opens a notebook asks for widgets; a kernel that has not imported ipywidgets yet complains of that.
        # And a page may have something to say to a widget that its cell, run again, has just replaced.
        found = [line for line in found if not re.match(r"No such comm|.*jupyter\.widget\.control", line)]
        # what the debugger of a restarted kernel says of Python's own frozen modules
        return [line for line in found if not re.match(r"\d+\.\d+s - ", line)]

    def evaluate(self, expression):
        """The repr of an expression in the notebook's kernel."""
        reply = self.page.evaluate(
            """async (expr) => { const k = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const f = k.requestExecute({code: '', store_history: false, user_expressions: {v: expr}});
            return (await f.done).content; }""",
            expression,
        )
        answer = reply.get("user_expressions", {}).get("v", {})
        if answer.get("status") != "ok":
            raise RuntimeError(str(reply))
        return answer["data"]["text/plain"]

    def select(self, source):
        """Scroll to the code cell that holds this text and make it the active one, as a reader in command mode does."""
        found = self.page.evaluate(
            """async (source) => { const nb = window.jupyterapp.shell.currentWidget.content;
            const i = nb.widgets.findIndex(w => w.model.type === 'code' && w.model.sharedModel.source.includes(source));
            if (i >= 0) { nb.activeCellIndex = i; nb.mode = 'command'; await nb.scrollToItem(i, 'start'); }
            return i; }""",
            source,
        )
        assert found >= 0, f"no code cell holds {source!r}"

    def show_cell(self, source):
        """Scroll to the code cell that holds this text, and return the locator of its output."""
        self.select(source)
        return self.page.locator(".jp-CodeCell", has=self.page.locator(".jp-InputArea", has_text=source)).locator(
            ".jp-Cell-outputArea"
        )

    def dark(self, on=True):
        """Change the theme."""
        theme = "JupyterLab Dark" if on else "JupyterLab Light"
        self.page.evaluate("(t) => window.jupyterapp.commands.execute('apputils:change-theme', {theme: t})", theme)
        self.page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{'false' if on else 'true'}'")

    def close(self):
        """End the kernel."""
        self.page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.shutdown(); }")
