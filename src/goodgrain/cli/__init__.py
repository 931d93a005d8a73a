"""The command line: it parses, calls a pipeline, and prints."""
