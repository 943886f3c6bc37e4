"""What a setting of the whole process is now: as it was set, or as the latest open ``with`` block asks."""

import contextlib
import os
import threading


class Block(contextlib.ContextDecorator):
    """A value to go by inside ``with`` blocks, one after another or one inside another, or while a function runs."""

    def __init__(self, setting, value, why):
        self._setting, self._asked = setting, (value, why)

    def __enter__(self):
        self._setting.enter(self, *self._asked)

    def __exit__(self, *error):
        self._setting.leave(self)


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
        self._entries = [[None, value, why, None]]  # what was set, then what blocks ask: whose it is, the value, the reason, the block
        self._apply(value)

    def set(self, value, why):
        """Go by this from now on, inside a block of this Python thread until it is left."""
        with self._lock:
            own = [entry for entry in self._entries if entry[0] in (None, threading.get_ident())][-1]
            own[1:3] = value, why
            self._apply(self.value)

    def block(self, value, why):
        """Go by this inside a ``with`` block, or inside each of several."""
        return Block(self, value, why)

    def enter(self, block, value, why):
        """Go by this until the block is left."""
        with self._lock:
            self._apply(value)
            self._entries.append([threading.get_ident(), value, why, block])

    def leave(self, block):
        """Go by what the latest of the blocks still open asks; of several entries of a block this Python thread's last one goes."""
        with self._lock:
            asked = [k for k, entry in enumerate(self._entries) if entry[3] is block]
            own = [k for k in asked if self._entries[k][0] == threading.get_ident()]
            if asked:  # a fork may have dropped them
                del self._entries[(own or asked)[-1]]
            self._apply(self.value)

    def _after_fork(self):
        """The child has one Python thread: locks and blocks of others do not live on."""
        self._lock = threading.RLock()
        self._entries = [entry for entry in self._entries if entry[0] in (None, threading.get_ident())]
        self._apply(self.value)
