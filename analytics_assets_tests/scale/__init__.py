"""Many workers over one object store, on loopback."""
