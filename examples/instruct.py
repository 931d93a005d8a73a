"""Keep the best instruction of each cluster, with a teacher of your own: anything that answers chat requests.

python examples/instruct.py
"""

import json
import re
import tempfile
from pathlib import Path

import goodgrain
from goodgrain.teacher import Answer

FACTS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo"}


def rows():
    """Four questions, each with a right, a wrong and a rude answer."""
    for country, city in FACTS.items():
        question = f"What is the capital of {country}?"
        for answer in (f"It is {city}.", "It is Atlantis.", f"{city}. Everybody knows that!"):
            yield {"instruction": question, "output": answer}


class Teacher:
    """Knows geography and likes good manners; a server behind `teacher="http://..."` is asked the same prompts."""

    def ask(self, requests, on_answer=None):  # noqa: ARG002  (a server would tell of each answer as it comes)
        """One answer per request."""
        return [Answer(self.rank(request.messages[-1].content)) for request in requests]

    def rank(self, prompt):
        """Right answers in their order, the polite ones first."""
        shown = re.findall(r"^\[(\d+)\] ASSISTANT <\w+>\n(.*)$", prompt, re.MULTILINE)
        right = [(("!" in text), number) for number, text in shown if any(city in text for city in FACTS.values())]
        return " > ".join(f"[{number}]" for _, number in sorted(right)) or "none"


def main():
    """Select, and print what was kept."""
    folder = Path(tempfile.mkdtemp())
    (folder / "set.json").write_text(json.dumps(list(rows())))
    result = goodgrain.instruct(
        folder / "set.json", output=folder / "run", teacher=Teacher(), keep=len(FACTS), max_size=3, embedder="tfidf"
    )
    for row in json.loads(result.kept.read_text()):
        print(f"{row['instruction']} {row['output']}")
    print(f"report: {result.report}")


if __name__ == "__main__":
    main()
