"""Airflow: translates what is new in the lake every night, and retries only what may pass by itself."""

import shlex
from datetime import datetime, timedelta

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

LAKE = "/srv/lake"
COMMAND = """
babelake translate fr/ --to fr_as_en/1ecc2d9a/ --translator translators/1ecc2d9a.parquet
    --job fr_as_en --log json --report reports/fr_as_en.json
"""
# The store failed within its retries; somebody else stopped the process.
PASSING = (75, 143)


class Babelake(BaseOperator):
    """Runs a command of babelake. An exit code in PASSING is retried, any other but 0 fails the task for good."""

    template_fields = ("command",)

    def __init__(self, *, command, cwd, **kwargs):
        super().__init__(**kwargs)
        self.command = command
        self.cwd = cwd
        self.hook = None

    def execute(self, context):
        self.hook = SubprocessHook()
        result = self.hook.run_command(shlex.split(self.command), cwd=self.cwd)
        if result.exit_code in PASSING:
            raise AirflowException(f"exit code {result.exit_code}: may pass, the same command goes on")
        if result.exit_code != 0:
            raise AirflowFailException(f"exit code {result.exit_code}: would fail again, see the log")

    def on_kill(self):
        # SIGTERM: it leaves a whole lake and its report within 5 seconds.
        if self.hook:
            self.hook.send_sigterm()


with DAG(
    "fr_as_en",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
) as dag:
    Babelake(
        task_id="translate",
        command=COMMAND,
        cwd=LAKE,
        retries=4,
        retry_delay=timedelta(minutes=10),
        retry_exponential_backoff=True,
    )
