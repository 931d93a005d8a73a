"""Ask people for labels and keep every answer: sessions on disk, with several annotators or a simulated one."""

from goodgrain.annotate.answers import OOD, SKIP, UNRESOLVED, UNSURE, Answer, Costs, verdict
from goodgrain.annotate.exchange import Imported
from goodgrain.annotate.label_studio import export_tasks, import_annotations, labeling_config
from goodgrain.annotate.oracle import SimulatedOracle, drive
from goodgrain.annotate.records import Item, Query, Round, RoundStatus, Status
from goodgrain.annotate.session import Session
from goodgrain.annotate.tables import export_history, export_labels, import_labels
from goodgrain.annotate.view import SessionView

__all__ = [
    "OOD",
    "SKIP",
    "UNRESOLVED",
    "UNSURE",
    "Answer",
    "Costs",
    "Imported",
    "Item",
    "Query",
    "Round",
    "RoundStatus",
    "Session",
    "SessionView",
    "SimulatedOracle",
    "Status",
    "drive",
    "export_history",
    "export_labels",
    "export_tasks",
    "import_annotations",
    "import_labels",
    "labeling_config",
    "verdict",
]
