"""``./plantroom demo``: a living site, the agent, a broker, the cloud and EnOS, on one machine.

Every part is a process of its own; all files are in one folder under ``.plantroom``. It ends on
Ctrl-C or after ``--seconds``, in order, so that the account can be closed to the last sample.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))

from demo import commission  # noqa: E402  found through the line above
from demo.account import Account, summary_of  # noqa: E402  found through the line above
from demo.assembly import Demo  # noqa: E402
from demo.processes import ProcessFailedError  # noqa: E402
from demo.screen import screen  # noqa: E402

CALM_SECONDS = 8.0
"""How long it watches a sound plant before the fault."""
SHORTEST_WITH_FAULT = 45.0


class _Ended(Exception):
    """Somebody pressed Ctrl-C or sent SIGTERM."""


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    def end(_number: int, _frame: Any) -> None:
        raise _Ended

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./plantroom demo", description=__doc__)
    parser.add_argument("--seconds", type=float, help="end after so many seconds of samples")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument("--seed", type=int, default=7, help="of the simulated site (default 7)")
    parser.add_argument(
        "--broker",
        choices=("auto", "mosquitto", "embedded"),
        default="auto",
        help="auto takes Mosquitto where it is installed (default)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / ".plantroom",
        help="where this run's own folder is made (default .plantroom)",
    )
    parser.add_argument(
        "--commission",
        action="store_true",
        help="go an installer's way instead: init, scan, preview, apply, with the times",
    )
    parser.add_argument("--keep", action="store_true", help="keep databases and logs at the end")
    return parser.parse_args(argv)


def _fresh_folder(base: Path) -> Path:
    """Return an empty folder for this run."""
    base.mkdir(parents=True, exist_ok=True)
    folder = base / f"demo-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10_000:04d}"
    folder.mkdir(mode=0o700)
    return folder


def _run(demo: Demo, seconds: float | None) -> None:
    """Watch until the end; plant the fault once the detector has watched a sound plant."""
    started = time.monotonic()
    with_fault = seconds is None or seconds >= SHORTEST_WITH_FAULT
    watching_since: float | None = None
    with screen(demo) as show:
        while seconds is None or time.monotonic() < started + seconds:
            demo.check_processes()
            status = demo.look()
            show(status)
            now = time.monotonic()
            if watching_since is None and demo.detector_watches(status):
                watching_since = now
            calm = watching_since is not None and now - watching_since >= CALM_SECONDS
            if with_fault and calm and demo.fault_us is None:
                demo.plant_fault()
            time.sleep(0.5)


def _close(demo: Demo) -> Account:
    """End in order: the agent first, then what is on its way, then the rest."""
    demo.stop_agent()
    demo.drain()
    return demo.account()


def main(argv: list[str]) -> int:
    """Run the demo; 0 if every process lived and the account closes, 1 otherwise."""
    options = _arguments(argv)
    folder = _fresh_folder(options.folder.resolve())
    if options.commission:
        with _ending_on_signals():
            return commission.run(folder)
    demo = Demo(folder, seed=options.seed, engine=options.broker)
    account, failure = None, ""
    try:
        with _ending_on_signals():
            try:
                demo.start()
                _run(demo, options.seconds)
            except _Ended:
                print("plantroom: ending in order ...", file=sys.stderr)
        account = _close(demo)
    except ProcessFailedError as error:
        failure = str(error)
    finally:
        demo.stop()
    if account is None:
        print(f"plantroom: the demo failed: {failure}\nlogs: {folder}", file=sys.stderr)
        return 1
    _print(account, as_json=options.json)
    if options.keep or not account.healthy:
        print(f"plantroom: databases and logs are in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return 0 if account.healthy else 1


def _print(account: Account, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary_of(account)))
        return
    width = max(len(name) for name in summary_of(account))
    for name, value in summary_of(account).items():
        print(f"  {name:<{width}}  {value}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
