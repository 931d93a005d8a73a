"""goodgrain."""
