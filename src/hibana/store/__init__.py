"""The store: connection, collections, indexes, leases, packed arrays, queries, and the embedded server as a process."""
