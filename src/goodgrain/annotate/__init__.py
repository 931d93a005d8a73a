"""Ask people for labels and keep every answer: sessions on disk, with several annotators or a simulated one."""

from goodgrain.annotate.answers import OOD, SKIP, UNRESOLVED, UNSURE, Answer, Costs, verdict
from goodgrain.annotate.oracle import SimulatedOracle, drive
from goodgrain.annotate.records import Item, Query, Round, RoundStatus, Status
from goodgrain.annotate.session import Session
from goodgrain.annotate.view import SessionView

__all__ = [
    "OOD",
    "SKIP",
    "UNRESOLVED",
    "UNSURE",
    "Answer",
    "Costs",
    "Item",
    "Query",
    "Round",
    "RoundStatus",
    "Session",
    "SessionView",
    "SimulatedOracle",
    "Status",
    "drive",
    "verdict",
]
