"""``./plantroom demo --commission``: an installer's way through the demo site, with its times.

An empty folder, a building that nobody has configured, and a cloud that knows no sample of it:
init, run, scan, preview, apply, until the cloud has acknowledged the first sample. What is printed
is what the commands say.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.processes import Child, python, wait_for
from demo.stack import COMPANY, GATEWAY, SITE, Stack
from demo.terminal import Terminal

PATIENCE = 120.0
"""Seconds that a command may take."""


@dataclass
class Transcript:
    """The commands of one commissioning, what they said, and when.

    Args:
        folder: where the installer works.
        edge: the program that is plantroom-edge.
        quiet: print nothing.
    """

    folder: Path
    edge: Sequence[str] = field(default_factory=lambda: python("-m", "plantroom_edge"))
    quiet: bool = False
    started: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list)
    """(Command, seconds since the start when it had ended)."""

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def say(self, text: str) -> None:
        """Print a line of the transcript."""
        if not self.quiet:
            print(text, flush=True)

    def run(
        self, *arguments: str, shown: str = "", lines: int = 14, codes: Sequence[int] = (0,)
    ) -> str:
        """Run a command to its end; return what it has printed.

        Args:
            arguments: of plantroom-edge.
            shown: what the transcript says was typed, where the arguments are long.
            lines: how many lines of its words are shown.
            codes: with which it may end.

        Raises:
            subprocess.CalledProcessError: it ended otherwise.
        """
        self.say(f"\n[{self.seconds:6.1f} s] $ plantroom-edge {shown or ' '.join(arguments)}")
        done = subprocess.run(
            [*self.edge, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self._show(done.stdout, lines)
        self._show(done.stderr, lines)
        self.steps.append((arguments[0], self.seconds))
        if done.returncode not in codes:
            print(done.stdout, done.stderr, file=sys.stderr)
            raise subprocess.CalledProcessError(
                done.returncode, arguments[0], done.stdout, done.stderr
            )
        return done.stdout

    def look(self, *arguments: str, keys: Sequence[tuple[str, str]]) -> None:
        """Run a command on a terminal, pressing keys when words have appeared.

        Args:
            arguments: of plantroom-edge.
            keys: words to wait for, and what to press then.
        """
        self.say(f"\n[{self.seconds:6.1f} s] $ plantroom-edge {' '.join(arguments)}")
        terminal = Terminal([*self.edge, *arguments], self.folder)
        try:
            for words, key in keys:
                text = terminal.until(words, seconds=PATIENCE)
                if key:
                    terminal.press(key)
            terminal.end(PATIENCE)
        finally:
            terminal.close()
        screen = text[text.rindex(" plantroom ") :] if " plantroom " in text else text
        self._show(screen.replace("\r", "\n"), 14)
        self.steps.append((arguments[0], self.seconds))

    def _show(self, text: str, lines: int) -> None:
        told = [line for line in text.splitlines() if line.strip()]
        for line in told[:lines]:
            self.say(f"    {line[:150]}")
        if len(told) > lines:
            self.say(f"    ... {len(told) - lines} lines more")


def targets(manifest: dict[str, Any]) -> list[str]:
    """Return what an installer tells `scan`: where the site is. On loopback no broadcast helps."""
    out = [word for one in manifest["bacnet"] for word in ("--bacnet", one["address"])]
    for bus in manifest["modbus"]:
        out += ["--modbus", f"{bus['host']}:{bus['port']}"]
    units = sorted({one["unit"] for bus in manifest["modbus"] for one in bus["devices"]})
    return [*out, "--units", ",".join(map(str, units))]


def commission(stack: Stack, manifest: dict[str, Any], transcript: Transcript) -> dict[str, Any]:
    """Go the whole way; return the agent's status when the first sample was acknowledged."""
    file = "plantroom-edge.yaml"
    where = str(stack.certificates)
    cloud = ("--cloud", f"127.0.0.1:{stack.broker_port}", "--certificates", where)
    transcript.run("init", file, "--gateway", GATEWAY, "--site", SITE, *cloud)
    # The card, as an installer names it; here loopback, and a port that nobody else has.
    transcript.run(
        "add", file, "--bacnet", "127.0.0.1:0", "--who-is", manifest["bacnet"][0]["address"]
    )
    transcript.say(f"\n[{transcript.seconds:6.1f} s] $ plantroom-edge run {file} &")
    _run_agent(stack, transcript, file)
    looking = ("--rate", "200", "--seconds", "60", "--add")
    transcript.run(
        "scan",
        file,
        *targets(manifest),
        *looking,
        shown=f"scan {file} --bacnet ... --modbus ... --add",
    )
    transcript.look("preview", file, keys=[("from the running agent", ""), (" good ", "q")])
    transcript.run("apply", file)
    transcript.run("preview", file, "--filter", "temp", lines=8)
    status: dict[str, Any] = {}

    def acknowledged() -> bool:
        nonlocal status
        done = [*transcript.edge, "status", file, "--json"]
        out = subprocess.run(
            done, cwd=transcript.folder, capture_output=True, timeout=PATIENCE, check=True
        )
        status = json.loads(out.stdout)
        return bool(status["accepted"] > status["on_edge"])

    wait_for(acknowledged, what="the first acknowledged sample", seconds=PATIENCE)
    transcript.steps.append(("acknowledged", transcript.seconds))
    transcript.say(f"\n[{transcript.seconds:6.1f} s] the cloud has acknowledged samples")
    transcript.run("doctor", file, lines=40, codes=(0, 1))  # a young site may miss a device yet
    return status


def _run_agent(stack: Stack, transcript: Transcript, file: str) -> None:
    ready = transcript.folder / "data" / "control.sock"
    command = [*transcript.edge, "run", str(transcript.folder / file)]
    agent = Child("agent", command, transcript.folder, ready=ready)
    stack.children["agent"] = agent.start()
    agent.wait_ready()


def start(folder: Path, *, seed: int = 7, engine: str = "embedded") -> tuple[Stack, dict[str, Any]]:
    """Start the site, the broker and the cloud; return them and the site's manifest."""
    stack = Stack(folder, engine=engine)
    manifest = stack.start_site("--seed", str(seed), "--speed", "600")
    stack.write_cloud_config()
    stack.provision(companies=(COMPANY,))
    stack.start_broker()
    stack.child("cloud", *stack.cloud("serve"))
    return stack, manifest


def run(folder: Path) -> int:
    """Print the transcript of a whole way; 0 if the first sample was acknowledged."""
    desk = folder / "gateway"
    desk.mkdir(parents=True)
    stack, manifest = start(folder)
    try:
        transcript = Transcript(desk)
        commission(stack, manifest, transcript)
        took = dict(transcript.steps)["acknowledged"]
        print(f"\nfrom init to the first acknowledged sample: {took:.0f} s")
    finally:
        stack.stop()
    return 0
