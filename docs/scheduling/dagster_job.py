"""Dagster: translates what is new in the lake every night, and retries only what may pass by itself."""

import json
import shlex
import subprocess
from pathlib import Path

from dagster import Definitions, Failure, OpExecutionContext, RetryRequested, ScheduleDefinition, job, op

LAKE = Path("/srv/lake")
COMMAND = """
babelake translate fr/ --to fr_as_en/1ecc2d9a/ --translator translators/1ecc2d9a.parquet
    --job fr_as_en --log json --report reports/fr_as_en.json
"""
# The store failed within its retries; somebody else stopped the process.
PASSING = (75, 143)


@op
def translate(context: OpExecutionContext) -> None:
    with subprocess.Popen(shlex.split(COMMAND), cwd=LAKE) as process:
        try:
            code = process.wait()
        finally:
            # Where the run is terminated: the command leaves a whole lake and its report within 5 seconds.
            process.terminate()
    if code in PASSING:
        raise RetryRequested(max_retries=4, seconds_to_wait=600)
    if code != 0:
        raise Failure(f"exit code {code}: would fail again, see the log", allow_retries=False)
    report = json.loads((LAKE / "reports/fr_as_en.json").read_text())
    context.log.info(report["last_words"])
    context.add_output_metadata({"rows": report["rows"]["written"], "files": report["files"]["written"]})


@job
def fr_as_en() -> None:
    translate()


defs = Definitions(jobs=[fr_as_en], schedules=[ScheduleDefinition(job=fr_as_en, cron_schedule="0 2 * * *")])
