"""The page's API: ask, tell, undo and images of one session, and sentences for all that is refused."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from goodgrain.annotate.answers import OOD, SKIP, UNSURE, check_answer, check_text
from goodgrain.annotate.page import Backing
from goodgrain.annotate.page_job import Job, JobState
from goodgrain.annotate.page_replies import Json, Refusal, Refused, speak
from goodgrain.annotate.page_security import Guard
from goodgrain.annotate.session import Session
from goodgrain.errors import InputError

_STATIC = Path(__file__).parent / "static"
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

Name = Annotated[str, Field(max_length=200, description="who answers")]
Id = Annotated[str, Field(max_length=8000, description="an item of the session")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Asking(_Body):
    """Ask for images."""

    annotator: Name
    n: Annotated[int, Field(ge=1, le=500)]


class Telling(_Body):
    """Give an answer, or take back exactly this one."""

    annotator: Name
    id: Id
    answer: Annotated[str, Field(max_length=8000)]


class Advancing(_Body):
    """Train and ask again, after this round."""

    round: Annotated[int, Field(ge=0, le=2**31)]


def build(backing: Backing, token: str, host_names: Sequence[str]) -> FastAPI:
    """The application of `make_app`, which has checked what comes in."""
    app = FastAPI(title="goodgrain", openapi_url=None, docs_url=None, redoc_url=None, default_response_class=Json)
    app.add_middleware(Guard, token=token, host_names=host_names)
    app.include_router(_api(backing))
    app.include_router(_files())
    speak(app)
    return app


def _files() -> APIRouter:
    """The page itself, which knows nothing yet and so needs no token."""
    files = APIRouter(include_in_schema=False)

    def offer(address: str, path: Path) -> None:
        content = path.read_bytes()
        files.get(address)(lambda: Response(content, media_type=_KINDS[path.suffix]))

    for path in sorted(_STATIC.iterdir()):
        offer("/" if path.name == "index.html" else f"/{path.name}", path)
    return files


def _api(backing: Backing) -> APIRouter:
    session = backing.session
    job = Job(backing.advance) if backing.advance else None
    answering = threading.Lock()  # so that nothing comes between an undo and the look before it
    fixed = {
        "key": _key(session),
        "classes": session.classes,
        "answers": {"ood": OOD, "unsure": UNSURE, "skip": SKIP},
        "can_advance": job is not None,
    }
    codes = (400, 401, 403, 404, 409, 413, 422, 507)
    api = APIRouter(prefix="/api", responses={code: {"model": Refusal} for code in codes})

    def known(id: str) -> None:  # noqa: A002
        try:
            session.item(id)
        except InputError as reason:
            raise Refused(404, str(reason)) from reason

    @api.get("/session")
    def describe(annotator: Annotated[str, Query(max_length=200)] = "") -> Json:
        """What does not change, where the session stands, and the annotator's last answer."""
        return Json({**fixed, "state": _state(session, job), "last": _last(session, annotator)})

    @api.get("/state")
    def state() -> Json:
        """Where the session stands."""
        return Json(_state(session, job))

    @api.post("/ask")
    def ask(body: Asking) -> Json:
        """Images for one annotator; those that are held already come first."""
        now = session.round
        if now is not None and now.state == "closed":
            raise Refused(409, f"round {now.number} is closed. The next one is not there yet.")
        query = session.ask(body.n, annotator=body.annotator)
        return Json({"ids": query.ids, "short_of": query.short_of, "state": _state(session, job)})

    @api.post("/tell")
    def tell(body: Telling) -> Json:
        """Keep an answer: it is on disk when this returns, and may be sent again."""
        check_text("annotator", body.annotator, empty=True)
        check_answer(body.answer, session.classes)
        known(body.id)
        try:
            with answering:
                new = session.tell(body.id, body.answer, annotator=body.annotator)
        except InputError as reason:  # all else was checked: nobody asked for it
            raise Refused(409, str(reason)) from reason
        return Json({"new": new, "round": _money(session)})

    @api.post("/undo")
    def undo(body: Telling) -> Json:
        """Take back this very answer if it is the annotator's last; else say what the last one is."""
        check_answer(body.answer, session.classes)
        known(body.id)
        with answering:
            last = _last(session, body.annotator)
            undone = last is not None and (last["id"], last["answer"]) == (body.id, body.answer)
            if undone:
                session.undo(body.annotator)
        return Json({"undone": undone, "last": _last(session, body.annotator), "round": _money(session)})

    @api.get("/image", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    def image(id: Annotated[str, Query(max_length=8000)]) -> Response:  # noqa: A002
        """One image of the session."""
        known(id)
        try:
            return Response(backing.image(id), media_type="image/png")
        except OSError as reason:
            raise Refused(404, f"the image of {id!r} cannot be read: {reason.strerror or reason}.") from reason

    @api.get("/guess")
    def guess(id: Annotated[str, Query(max_length=8000)]) -> Json:  # noqa: A002
        """What the model takes it for."""
        known(id)
        return Json({"guess": backing.guess(id)})

    @api.get("/pictures")
    def pictures() -> Json:
        """What is shown between rounds."""
        return Json(dict(backing.pictures()))

    @api.post("/advance")
    def advance(body: Advancing) -> Json:
        """Close the round, train, and ask again; `state` says how far it is."""
        now = session.round
        if job is None:
            raise Refused(409, "nothing stands behind this page that could train. Start it with a pipeline.")
        if now is None or now.number != body.round:
            raise Refused(409, f"round {body.round} is not the last one any more. Look at where the session stands.")
        if not job.start():
            raise Refused(409, "the next round is being prepared already.")
        return Json(_state(session, job))

    return api


def _key(session: Session) -> str:
    """Tells this session from others that a browser may hold answers for."""
    return hashlib.sha256(session.key.encode()).hexdigest()[:16]


def _last(session: Session, annotator: str) -> dict[str, Any] | None:
    """The last answer of an annotator that stands."""
    for row in reversed(session.history()):
        if row.annotator == annotator and not row.undone:
            return {"id": row.id, "answer": row.answer, "round": row.round}
    return None


def _money(session: Session) -> dict[str, Any] | None:
    now = session.round
    if now is None:
        return None
    return {"number": now.number, "state": now.state, "spent": session.spent, "left": session.left}


def _state(session: Session, job: Job | None) -> dict[str, Any]:
    status = session.status()
    last = asdict(status.rounds[-1]) if status.rounds else None
    job_state = asdict(job.state if job else JobState())
    return {"items": status.items, "unseen": status.unseen, "held": status.held, "round": last, "job": job_state}
