"""The jobs, each one short pipeline over the rooms below."""
