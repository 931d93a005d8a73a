"""Reports: one self-contained HTML page per run, made from plain values and arrays."""
