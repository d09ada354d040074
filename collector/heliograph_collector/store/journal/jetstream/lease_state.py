"""Decide who may hold the lease of a journal, without servers or clocks.

Theory of operation. The leader writes the key of the lease again and again, each time over the
revision that it wrote last. The other processes read it. No process uses a wall clock, its own
machine's or a server's: the holder counts from the moment at which it began a renewal, a waiting
process from the moment at which it saw the newest one, each by its clock since boot. The second
moment is the later one, so that the holder has stopped when the next one begins, however the clocks
of servers jump. States:
- *free*: nobody has written the key, or its holder gave it back. A process that sees that takes it.
- *held*: a renewal began HELD_S ago or later. Only now may its holder work.
- *doubtful*: the last renewal is older. The holder does no work until one is answered. Others take
  the lease when they have seen the same revision for TTL_S.
- *lost*: another process wrote the key, or may have. It is final: the process ends.

A renewal that nobody answers may be stored once the servers have a quorum again, with the time at
which it was sent. Its holder reads the key then, and finds itself, if the servers remember the key
for longer than they had no quorum (FORGET_S). Else it cannot know whose the last one was.

Nobody can renew while the servers have no quorum. A waiting process would find the lease old enough
as soon as they have one, and a holder that lives would lose it by chance to one that has to start.
So after a time without answers a waiting process leaves the holder RENEWED_S, once for each
revision.

A process that crashed leaves a lease that nobody renews. Its successor in the same directory of the
same machine knows that it is dead, by the lock of the directory, and takes over at once. A copy of
the directory has the same name and another place: it waits as any other. (Both would else take the
lease from each other for ever.)

A clock since boot stands still while a virtual machine does, and a process may be stopped between
reading the lease and its work. The writes of such a holder to the servers are refused, because
each write names the revision or the term that it follows.
"""

from dataclasses import dataclass

TTL_S = 10.0  # assumed; takeovers were measured at TTL to TTL + 0.3 s
FORGET_S = 60.0  # of the servers; three that were killed and started again led after 31 s at most
HELD_S = 9.5  # shorter, because of two clocks one may be slower
UNANSWERED_S = 5.0  # between two looks at the lease: one request to the servers is given up then
RENEWED_S = 5.0  # a holder tries each 2 s, for 2 s, and leaves a server that is silent in 2 s
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of the lease, as written in its key."""

    owner: bytes  # the name of the data directory, which copies of it have too
    run: bytes  # of this process alone
    place: bytes = b""  # machine since its boot, and file; b"" if unknown
    host: bytes = b""  # what people call the machine

    def encode(self) -> bytes:
        """Return the content of the key; earlier versions read its first two fields."""
        return b":".join((self.owner, self.run, self.place, self.host))

    @classmethod
    def parse(cls, content: bytes) -> "Holder":
        """Parse the content of a key, of an earlier version too."""
        parts = content.split(b":", 3)
        parts += [b""] * (4 - len(parts))
        return cls(*parts)

    def is_same_directory(self, other: "Holder") -> bool:
        """Return whether both are processes of the same data directory.

        Only one of these is alive at a time.
        """
        return self.owner == other.owner and bool(self.place) and self.place == other.place


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """The lease's key on the servers.

    If it has no holder and is not free, the servers forgot it.
    """

    revision: int  # the last that they counted
    holder: Holder | None
    is_free: bool = False  # never written, or given back


class LeaseWatch:
    """The lease as a waiting process has observed it."""

    def __init__(self, own: Holder, *, trusts_servers: bool) -> None:
        """Begin with nothing seen.

        Args:
            trusts_servers: Whether a key that the servers forgot has no holder any more. So one
                that does not wait starts at once, where it has no other beside it.
        """
        self._own = own
        self._trusts_servers = trusts_servers
        self._seen: int | None = None  # the newest revision
        self._due_us = 0  # when it is old enough
        self._looked_us = 0  # when the servers answered last
        self._has_waited = False  # for a holder that the servers did not answer

    def choose_revision(self, key: LeaseKey, now_us: int) -> int | None:
        """Return the revision over which to take the lease; None: wait."""
        if key.is_free or self._is_ours(key.holder):
            return key.revision
        self._note_look(key.revision, now_us)
        is_forgotten = key.holder is None and self._trusts_servers
        return key.revision if is_forgotten or now_us >= self._due_us else None

    def _note_look(self, revision: int, now_us: int) -> None:
        is_unanswered = now_us - self._looked_us >= UNANSWERED_S * _SECOND_US
        self._looked_us = now_us
        if revision != self._seen:
            self._seen = revision
            self._due_us = now_us + int(TTL_S * _SECOND_US)
            self._has_waited = False
        elif is_unanswered and not self._has_waited:
            self._due_us = max(self._due_us, now_us + int(RENEWED_S * _SECOND_US))
            self._has_waited = True

    def _is_ours(self, holder: Holder | None) -> bool:
        """Return whether an earlier try or an earlier process of ours has it."""
        if holder is None:
            return False
        return holder.run == self._own.run or holder.is_same_directory(self._own)


class HeldLease:
    """The lease as its holder knows it."""

    def __init__(self, own: Holder, revision: int, began_us: int) -> None:
        """Begin with the written lease.

        Args:
            began_us: When the write began that the servers have answered.
        """
        self.own = own
        self.term = revision  # greater than that of any lease before
        self.revision = revision
        self.is_lost = False
        self._renewed_us = began_us

    def is_held(self, now_us: int) -> bool:
        """Return whether the holder may work at this moment."""
        return not self.is_lost and now_us - self._renewed_us <= HELD_S * _SECOND_US

    def note_renewed(self, revision: int, began_us: int) -> None:
        """Note that a write was answered."""
        self.revision = revision
        self._renewed_us = began_us

    def choose_revision(self, key: LeaseKey) -> int | None:
        """Return the revision over which to repeat a refused renewal.

        None: the lease is lost.
        """
        is_forgotten = key.holder is None and not key.is_free
        if is_forgotten and key.revision <= self.revision:  # nobody wrote it since we did
            return key.revision
        if key.holder is not None and key.holder.run == self.own.run:
            return key.revision
        self.is_lost = True
        return None
