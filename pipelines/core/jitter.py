"""Waits that differ, so that processes which failed together do not all try again at the same moment."""

from random import SystemRandom

# It has no state: forked processes would share it, and a wait would move what a seed elsewhere has set.
_random = SystemRandom()


def jitter(wait_s: float, low: float = 0.5, high: float = 1.5) -> float:
    """Returns the wait, in seconds, times a number drawn evenly from `low` to `high`."""
    return wait_s * _random.uniform(low, high)
