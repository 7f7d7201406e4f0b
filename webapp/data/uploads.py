"""Uploads and datasets over HTTP: what the Data page's own script and other programs call."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from pipeline.data.formats import Mapping
from pipeline.errors import DiskFull, HoneError
from store import datasets
from store.database import reading, writing
from store.datasets import NoSuchDataset
from store.schema import DatasetVersion
from webapp.data.upload_folders import (
    ImportStatus,
    NoSuchUpload,
    Upload,
    as_error,
    discard,
    find_upload,
    imports,
    inspect,
    receive,
)
from webapp.people import person_of_cookies


class ApiRoute(APIRoute):
    """Turns an error for a person into JSON with the status that programs expect."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_refuse(request: Request) -> Response:
            try:
                return await handle(request)
            except HoneError as error:
                return refusal_of(error)

        return handle_or_refuse


router = APIRouter(prefix="/api", route_class=ApiRoute)


@router.post("/uploads", status_code=201)
async def upload_file(request: Request, name: str = Query(min_length=1, max_length=4096)) -> Any:
    """Receive one file as the raw body of the request, straight to disk."""
    length = request.headers.get("content-length", "")
    try:
        return await receive(request.stream(), name=name, size_bytes=int(length) if length.isdecimal() else None)
    except HoneError as error:
        # The rest of the body is not read: the browser must not send 60 GB to learn that there is no room.
        refusal = refusal_of(error)
        refusal.headers["connection"] = "close"
        return refusal
    except ClientDisconnect:
        return JSONResponse({"error": "The upload broke off."}, status_code=400)


@router.get("/uploads/{upload_id}")
def show_upload(upload_id: str) -> Any:
    """The upload and where its import stands."""
    upload = find_upload(upload_id)
    return {"upload": upload, "import": imports().status(upload)}


@router.get("/uploads/{upload_id}/inspection")
def show_inspection(upload_id: str) -> Any:
    """What the first rows of the upload tell."""
    return inspect(find_upload(upload_id))


@router.post("/uploads/{upload_id}/import", status_code=202)
def start_import(upload_id: str, mapping: Annotated[Mapping | None, Body(embed=True)] = None) -> Any:
    """Begin to import the upload; the mapping says which column holds what where that is not plain."""
    upload = find_upload(upload_id)
    imports().start(upload, mapping)
    return imports().status(upload)


@router.delete("/uploads/{upload_id}")
def discard_upload(upload_id: str) -> Any:
    discard(find_upload(upload_id))
    return {"discarded": upload_id}


@router.get("/uploads/{upload_id}/rejected")
def download_rejected_of_upload(upload_id: str) -> Any:
    """The rejected rows of an import that is not kept yet."""
    upload = find_upload(upload_id)
    _imported(imports().status(upload))
    return _download(upload.import_folder / "rejected.jsonl", f"{upload.name}.rejected.jsonl")


@router.get("/uploads/{upload_id}/report")
def download_account_of_upload(upload_id: str) -> Any:
    """What became of every row of an import that is not kept yet."""
    upload = find_upload(upload_id)
    _imported(imports().status(upload))
    return _account(upload.import_folder, f"{upload.name}.report.jsonl")


@router.post("/datasets", status_code=201)
def keep(request: Request, upload_id: str = Body(), name: str = Body()) -> Any:
    """Keep the import of an upload as a dataset version."""
    added = keep_upload(find_upload(upload_id), name=name, person_id=person_of_cookies(request.cookies).id)
    return {"is_new": added.is_new} | _described(added.version)


def keep_upload(upload: Upload, *, name: str, person_id: int | None) -> datasets.Added:
    """Make a dataset version of an upload's import, and clear the upload away.

    Raises:
        BadData: if the import is not done, or the name cannot be used.
    """
    _imported(imports().status(upload))
    provenance: dict[str, Any] = {
        "made_by": "upload",
        "file_name": upload.name,
        "file_sha256": upload.sha256,
        "file_size_bytes": upload.size_bytes,
    }
    if upload.hub is not None:
        provenance |= {"made_by": "hub"} | upload.hub.model_dump(mode="json")
    with writing() as session:
        added = datasets.add_version(
            session, upload.import_folder, name=name, provenance=provenance, created_by_id=person_id
        )
    discard(upload)
    return added


@router.get("/datasets")
def list_datasets() -> Any:
    with reading() as session:
        return [_described(version) for version in datasets.list_datasets(session)]


@router.get("/datasets/{version_id}")
def show_dataset(version_id: int) -> Any:
    with reading() as session:
        return _described(datasets.get_version(session, version_id))


@router.get("/datasets/{version_id}/rows")
def show_rows(version_id: int, offset: int = Query(0, ge=0), limit: int = Query(20, ge=1, le=200)) -> Any:
    """A page of canonical rows."""
    with reading() as session:
        version = datasets.get_version(session, version_id)
    return {"num_rows": version.num_rows, "rows": datasets.rows_of(version).read(offset, limit)}


@router.get("/datasets/{version_id}/download")
def download_rows(version_id: int) -> Any:
    """All canonical rows, as JSON lines."""
    return _download_of(version_id, "rows.jsonl", "jsonl")


@router.get("/datasets/{version_id}/rejected")
def download_rejected(version_id: int) -> Any:
    """The rejected rows with number and reason, as JSON lines."""
    return _download_of(version_id, "rejected.jsonl", "rejected.jsonl")


@router.get("/datasets/{version_id}/report")
def download_account(version_id: int) -> Any:
    """What became of every row of the file: taken, repaired (how), rejected (why); as JSON lines."""
    with reading() as session:
        version = datasets.get_version(session, version_id)
    return _account(datasets.folder_of(version), f"{version.dataset.name}-v{version.number}.report.jsonl")


def refusal_of(error: HoneError) -> JSONResponse:
    status = 507 if isinstance(error, DiskFull) else 404 if isinstance(error, NoSuchDataset | NoSuchUpload) else 422
    return JSONResponse({"error": error.message, "advice": error.advice, "kind": error.kind}, status_code=status)


def _imported(status: ImportStatus) -> None:
    if status.error is not None:
        raise as_error(status.error)
    if status.state != "imported":
        raise HoneError("The import is not done yet.", "Wait until it is, or begin it.")


def _described(version: DatasetVersion) -> dict[str, Any]:
    return {
        "id": version.id,
        "dataset_id": version.dataset_id,
        "name": version.dataset.name,
        "version": version.number,
        "sha256": version.sha256,
        "kind": version.kind,
        "format": version.format,
        "num_rows": version.num_rows,
        "num_repaired": version.num_repaired,
        "num_rejected": version.num_rejected,
        "size_bytes": version.size_bytes,
        "source_name": version.source_name,
        "provenance": version.provenance,
        "created_at": version.created_at,
    }


def _download_of(version_id: int, file_name: str, ending: str) -> Any:
    with reading() as session:
        version = datasets.get_version(session, version_id)
    return _download(datasets.folder_of(version) / file_name, f"{version.dataset.name}-v{version.number}.{ending}")


def _account(folder: Path, shown_name: str) -> StreamingResponse:
    lines = (orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in datasets.account_of(folder))
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=_as_file(shown_name))


def _download(path: Path, shown_name: str) -> FileResponse:
    return FileResponse(path, media_type="application/x-ndjson", headers=_as_file(shown_name))


def _as_file(shown_name: str) -> dict[str, str]:
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(shown_name, safe='')}"}
