"""hibana: a high-throughput first-principles workflow engine."""

__version__ = "0.1.0"
