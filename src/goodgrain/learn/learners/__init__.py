"""One file per way of learning; the loop knows none of them by name."""
