"""Ctrl-C and SIGTERM (which SLURM sends): say one line and leave at once.

A run may be killed at any moment without loss: finished tiles are marked after their data, and a file under its final
name is always whole. So nothing is tidied up. Raising an exception in the main thread instead is not safe: imports
and libraries swallow it or turn it into their own. The signal arrives at a thread of its own, because Python's
handlers wait for the main thread, which GDAL may hold for minutes.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_advice = ""

_sender: socket.socket
"""The end signals are written to; kept, or it would be closed."""


def leave_on_signals() -> None:
    """From now on both signals end the process with exit code 130 or 143. Only in the main thread."""
    global _sender
    receiver, _sender = socket.socketpair()
    _sender.setblocking(False)
    for signum in _SIGNALS:
        signal.signal(signum, lambda _signum, _frame: None)  # makes Python's C handler write to the socket
    signal.set_wakeup_fd(_sender.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_wait, args=(receiver,), name="geoseg-signals", daemon=True).start()


def advise_on_stop(advice: str) -> None:
    """What to say after "stopped by …" from now on."""
    global _advice
    _advice = f"; {advice}"


def default_signals() -> None:
    """Takes :func:`leave_on_signals` back, for a command with handlers of its own."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _wait(receiver: socket.socket) -> None:
    while True:
        for signum in receiver.recv(16):
            if signum in _SIGNALS:
                _leave(signum)


def _leave(signum: int) -> None:
    show_cursor = "\r\x1b[K\x1b[?25h" if sys.stderr.isatty() else ""  # the progress bar hides it
    line = f"{show_cursor}stopped by {signal.Signals(signum).name}{_advice}\n"
    os.write(2, line.encode())
    os._exit(128 + signum)
