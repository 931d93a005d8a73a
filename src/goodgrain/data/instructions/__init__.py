"""Instruction sets: requests and responses, in any usual layout, read without holding them in memory."""

from goodgrain.data.instructions.copies import Copies, find_copies
from goodgrain.data.instructions.instructions import Instructions, Problem, read_instructions
from goodgrain.data.instructions.layouts import normal

__all__ = ["Copies", "Instructions", "Problem", "find_copies", "normal", "read_instructions"]
