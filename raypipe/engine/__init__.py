"""The only shared Ray code: connecting, and the two shapes of work that the steps have.

*Shards* stream through Ray Data: a light task reads and decodes one shard, an actor that holds
the network works on it and commits its tables, and only a summary row comes back. *Tasks* fan
out over classes with Ray Core, a bounded number in flight.

A row is a whole shard, so Ray never splits the unit of commit, and a retried row writes the same
files again. Nothing heavy passes through the driver.
"""

from raypipe.engine.connect import connected
from raypipe.engine.engine import Engine, Failed, Needs
from raypipe.engine.workers import ShardWorker

__all__ = ["Engine", "Failed", "Needs", "ShardWorker", "connected"]
