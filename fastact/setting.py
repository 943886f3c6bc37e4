"""What a setting of the whole process is now: as it was set, or as the latest open ``with`` block asks."""

import contextlib
import os
import threading


class Setting:
    """A value and the reason for it; `apply` puts a value into force.

    Blocks of several Python threads may overlap: of those that are open the one entered last decides, and when all are left the value
    is what was set outside of blocks.
    """

    def __init__(self, apply, value, why):
        self._apply = apply
        self.restart(value, why)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    @property
    def value(self):
        return self._entries[-1][1]

    @property
    def why(self):
        return self._entries[-1][2]

    def restart(self, value, why):
        """Forget what was set and asked, and go by this."""
        self._lock = threading.RLock()
        self._entries = [[None, value, why]]  # what was set, then a block each: whose it is, its value, the reason
        self._apply(value)

    def set(self, value, why):
        """Go by this from now on, inside a block of this Python thread until it is left."""
        with self._lock:
            own = [entry for entry in self._entries if entry[0] in (None, threading.get_ident())][-1]
            own[1:] = value, why
            self._apply(self.value)

    @contextlib.contextmanager
    def block(self, value, why):
        """Go by this inside a ``with`` block."""
        entry = [threading.get_ident(), value, why]
        with self._lock:
            self._apply(value)
            self._entries.append(entry)
        try:
            yield
        finally:
            with self._lock:
                self._entries = [other for other in self._entries if other is not entry]
                self._apply(self.value)

    def _after_fork(self):
        """The child has one Python thread: locks and blocks of others do not live on."""
        self._lock = threading.RLock()
        self._entries = [entry for entry in self._entries if entry[0] in (None, threading.get_ident())]
        self._apply(self.value)
