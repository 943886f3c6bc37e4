"""What a setting of the whole process is now: as it was set, or as the latest open ``with`` block asks."""

import contextlib
import os
import threading


class Setting:
    """A value and the reason for it; `apply` puts a value into force.

    Blocks of several Python threads may overlap: of those that are open the one entered last decides, and when all are left the value
    is as before the first.
    """

    def __init__(self, apply, value, why):
        self._apply = apply
        self._unlock()
        self.restart(value, why)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._unlock)  # whoever held the lock does not live on there

    def _unlock(self):
        self._lock = threading.RLock()

    @property
    def value(self):
        return self._entries[-1][0]

    @property
    def why(self):
        return self._entries[-1][1]

    def restart(self, value, why):
        """Forget what was set and asked, and go by this."""
        self._apply(value)
        self._entries = [[value, why]]

    def set(self, value, why):
        """Go by this from now on, inside a block until it is left."""
        with self._lock:
            self._apply(value)
            self._entries[-1][:] = value, why

    @contextlib.contextmanager
    def block(self, value, why):
        """Go by this inside a ``with`` block."""
        entry = [value, why]
        with self._lock:
            self._apply(value)
            self._entries.append(entry)
        try:
            yield
        finally:
            with self._lock:
                self._leave(entry)

    def _leave(self, entry):
        left = [other for other in self._entries if other is not entry]
        if self._entries[-1] is entry:
            self._apply(left[-1][0])
        self._entries = left
