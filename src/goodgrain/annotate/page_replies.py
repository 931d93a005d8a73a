"""What the page's server says: plain values as JSON, and a sentence for all that is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from goodgrain.errors import DiskFull, GoodgrainError


class Refusal(BaseModel):
    """Why not."""

    error: str


class Json(Response):
    """JSON in ASCII, so that no string can fail to be encoded."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Bytes of a plain value."""
        return json.dumps(plain(content), allow_nan=False).encode()


class Refused(Exception):
    """A request that the page would not make."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def plain(value: Any) -> Any:
    """A value as JSON can hold it: arrays as lists, and None for what is no number.

    Example:
        >>> plain({"accuracy": float("nan"), "purity": np.array([0.5, 1.0])})
        {'accuracy': None, 'purity': [0.5, 1.0]}
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def speak(app: FastAPI) -> None:
    """Every refusal as {"error": sentence}."""

    @app.exception_handler(Refused)
    def refused(_: Request, reason: Refused) -> Json:
        return Json({"error": str(reason)}, reason.status)

    @app.exception_handler(DiskFull)
    def full(_: Request, reason: DiskFull) -> Json:
        return Json({"error": str(reason)}, 507)

    @app.exception_handler(GoodgrainError)
    def wrong(_: Request, reason: GoodgrainError) -> Json:
        return Json({"error": str(reason)}, 422)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, reason: RequestValidationError) -> Json:
        first = reason.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return Json({"error": f"the request is not as the page sends it: {where}: {first['msg']}."}, 422)

    @app.exception_handler(HTTPException)
    def unknown(request: Request, reason: HTTPException) -> Json:
        sentence = f"{request.method} {request.url.path}: {reason.detail}."
        return Json({"error": sentence}, reason.status_code, reason.headers)

    @app.exception_handler(Exception)
    def fault(_: Request, reason: Exception) -> Json:
        return Json({"error": f"an unexpected {type(reason).__name__}. The server's log says more."}, 500)
