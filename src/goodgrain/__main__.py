"""`python -m goodgrain`."""

from goodgrain.cli.main import run

if __name__ == "__main__":
    run()
