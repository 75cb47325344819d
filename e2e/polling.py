"""Waiting for what becomes true within seconds; `Account::python` lets every script import it."""

import http.client
import time


def until(what, probe):
    """Polls for half a minute; a connection that is refused or broken means "not yet"."""
    for _ in range(120):
        try:
            observed = probe()
        except (OSError, http.client.HTTPException) as error:
            observed = error
        if observed is True:
            return
        time.sleep(0.25)
    raise AssertionError(f"waited for {what}: {observed}")
