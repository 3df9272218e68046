"""Who may energise, and for how long: the rules of org.voltry.PowerSupply1, apart from any output.

It is shared/service/src/lease.rs in Python; its own tests are `voltryctl conform`.
"""

from provider import now, refused

LEASE, TOO_OLD = 500_000, 100_000  # microseconds


class Lease:
    """A provider keeps its output on only while `live()`, and looks often."""

    def __init__(self):
        self.holder, self.epoch, self.sequence, self.ends = None, 0, 0, 0

    def live(self):
        return self.holder is not None and now() < self.ends

    def enable(self, caller, epoch):
        """Opens an epoch. What was on goes off."""
        if self.live() and caller != self.holder:
            raise refused("NotHolder", "another connection holds the lease")
        if epoch <= self.epoch:
            raise refused("StaleEpoch", f"the newest epoch is {self.epoch}")
        if epoch > now():
            raise refused("FromTheFuture", "it is stamped later than now")
        self.holder, self.epoch, self.sequence, self.ends = caller, epoch, 0, now() + LEASE

    def command(self, caller, epoch, sequence, sent_at):
        """Takes a message of the open epoch, or refuses it by name. It renews nothing."""
        if not self.live():
            raise refused("Lapsed", "no epoch is open; only a new epoch energises")
        if caller != self.holder:
            raise refused("NotHolder", "another connection holds the lease")
        if epoch != self.epoch:
            raise refused("StaleEpoch", f"the open epoch is {self.epoch}")
        if sent_at > now():
            raise refused("FromTheFuture", "it is stamped later than now")
        if now() - sent_at > TOO_OLD:
            raise refused("TooOld", "it is more than 100 ms old")
        if sequence <= self.sequence:
            raise refused("StaleSequence", f"the last was {self.sequence}")
        self.sequence = sequence

    def renew(self, caller, epoch, sequence, sent_at):
        self.command(caller, epoch, sequence, sent_at)
        self.ends = max(self.ends, sent_at + LEASE)

    def release(self):
        self.holder = None
