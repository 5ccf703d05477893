"""Starts the program, stands beside it, and ends as it ended.

The supervisor blocks every signal that it passes on and takes them one by one from `sigtimedwait`, together
with SIGCHLD: no handler runs, so nothing can interrupt anything. Who sent a signal decides what happens with
it:

* the terminal (``SI_KERNEL``) sends to the whole foreground process group, so the program has it already;
* a `kill` of the group reaches the program too, and the witness (:mod:`.witness`) says so;
* a `kill` of the supervisor alone is passed on;
* SIGCONT from the waker (:mod:`.waker`) says that the program has been continued already.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from heapwright import _native
from heapwright.cli.waker import stop_until_woken
from heapwright.cli.witness import Witness

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource import struct_rusage
    from typing import Protocol

    class Observer(Protocol):
        """Whoever looks at the program while it runs."""

        def look(self, elapsed_s: float) -> None:
            """Look in passing."""

        def last_look(self) -> None:
            """Look for the last time, and let the program go."""


PASSED_ON = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGCONT, signal.SIGTSTP, signal.SIGWINCH, signal.SIGALRM, signal.SIGIO, signal.SIGPWR),
)
SI_KERNEL = 0x80
LOOK_EVERY_S = 0.05
FIRST_LOOK_EVERY_S = 0.02
"""In the first second, since most programs reach the size of their imports there."""


class Ending:
    """How the program ended and what the kernel says about it."""

    __slots__ = ("elapsed_s", "rusage", "signal", "status")

    def __init__(self, status: int, rusage: struct_rusage, elapsed_s: float) -> None:
        self.status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        self.signal = None if os.WIFEXITED(status) else os.WTERMSIG(status)
        self.rusage = rusage
        self.elapsed_s = elapsed_s


class Supervisor:
    """One program, from its start to its end.

    Parameters
    ----------
    command, environment
        What is executed.
    knock
        Offset from SIGRTMIN of the program's last call before its interpreter ends.
    """

    def __init__(self, command: list[str], environment: dict[str, str], knock: int) -> None:
        self._knock = signal.SIGRTMIN + knock
        self._waited = {*PASSED_ON, signal.SIGCHLD, self._knock}
        self._original_mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._waited)
        # A child that is ignored is reaped by the kernel and its figures are lost.
        self._original_child = signal.signal(signal.SIGCHLD, signal.SIG_DFL) or signal.SIG_DFL
        self._witness = Witness(PASSED_ON)
        self._waker = -1  # the process that woke us last
        self.started_s = time.monotonic()
        self.pid = self._spawn(command, environment)

    def _spawn(self, command: list[str], environment: dict[str, str]) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid != 0:
            return pid
        try:
            # kill -9 of the supervisor must not leave the program behind.
            _native.die_with_parent(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(128 + signal.SIGKILL)
            # As a shell would have left them: Python ignores these two, and an ignored signal survives exec.
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, self._original_child)
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # not a KeyboardInterrupt of ours, in the last step
            signal.pthread_sigmask(signal.SIG_SETMASK, self._original_mask)
            os.execve(command[0], command, environment)
        except BaseException as error:
            os.write(2, f"heapwright: cannot start {command[0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def wait(self, observer: Observer | None = None) -> Ending:
        """Wait for the end of the program.

        Parameters
        ----------
        observer
            Its `look` is called about twenty times a second, with the seconds since the start; its `last_look` once,
            while the program holds still right before its interpreter ends, and not if it ends in any other way
            (`os._exit`, a signal). Neither may raise.
        """
        while True:
            event = signal.sigtimedwait(self._waited, self._pause(observer))
            if event is None:
                if observer is not None:
                    observer.look(time.monotonic() - self.started_s)
            elif event.si_signo == self._knock:
                if event.si_pid == self.pid and observer is not None:
                    observer.last_look()
            elif event.si_signo != signal.SIGCHLD:
                self._pass_on(event)
            elif (ending := self._child_event()) is not None:
                return ending

    def _pause(self, observer: Observer | None) -> float:
        if observer is None:
            return 3600
        return FIRST_LOOK_EVERY_S if time.monotonic() - self.started_s < 1 else LOOK_EVERY_S

    def _pass_on(self, event: signal.struct_siginfo) -> None:
        if event.si_code == SI_KERNEL or self._witness.saw(event.si_signo) or event.si_pid == self._waker:
            return
        self._send(event.si_signo)

    def _send(self, number: int) -> None:
        try:
            os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it is a zombie that SIGCHLD will tell us about, or it became somebody else (setuid)

    def _child_event(self) -> Ending | None:
        """Stop when the program stopped, so that the shell sees a stopped job; reap it when it ended."""
        while (event := os.waitid(os.P_ALL, 0, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)) is not None:
            if event.si_pid != self.pid:
                os.waitpid(event.si_pid, os.WUNTRACED)
            elif event.si_code == os.CLD_STOPPED:
                if os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG) is None:
                    continue  # it was continued meanwhile
                self._waker = stop_until_woken(self.pid)  # a SIGCONT to us is then passed on
            else:
                _, status, rusage = os.wait4(self.pid, 0)
                return Ending(status, rusage, time.monotonic() - self.started_s)
        return None

    def close(self) -> None:
        """Send the witness home; signals do what they did before."""
        self._witness.close()
        signal.signal(signal.SIGCHLD, self._original_child)
        # What arrived after the program's end was meant for the program.
        while signal.sigtimedwait(self._waited, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self._original_mask)


def end_like(ending: Ending) -> None:
    """End this process the way the program ended: same exit code, or dead by the same signal."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # None: it was closed when we started
                stream.flush()
        except OSError:
            pass
    if ending.signal is not None:
        _native.leave_no_core()  # the program has left one, if it was to
        try:
            signal.signal(ending.signal, signal.SIG_DFL)
        except OSError:
            pass  # SIGKILL and SIGSTOP have no disposition to set
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {ending.signal})
        os.kill(os.getpid(), ending.signal)
    os._exit(ending.status & 0xFF if ending.signal is None else 128 + ending.signal)
