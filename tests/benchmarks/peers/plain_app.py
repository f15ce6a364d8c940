"""A plain FastAPI app with the engine of `jobs.serve` that predicts each image as it arrives, without batches.

    python tests/benchmarks/peers/plain_app.py PORT [KEY=VALUE of jobs.serve ...]

uvicorn runs it in one process, with uvloop and httptools. Images are predicted one at a time, in a thread, so that the
next bodies are read in the meantime.
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from actors.predictor import Predictor
from jobs.config import to_job
from jobs.schemas import compose_verb


def main() -> None:
    port, *overrides = sys.argv[1:]
    job = to_job(compose_verb("serve", overrides))
    predictor = Predictor(job.job.recipe)
    app, turn = FastAPI(), asyncio.Lock()

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        body = await request.body()
        async with turn:
            table = await asyncio.to_thread(predictor.predict, [body])
        (row,) = table.select([field.name for field in predictor.fields]).to_pylist()
        return JSONResponse(row)

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False)


if __name__ == "__main__":
    main()
