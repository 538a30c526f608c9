"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = None


def upgrade() -> None:
    """Make every table, after those that it refers to."""
    _record_runs()
    _record_answers()
    _record_trainings()
    _record_the_rest()


def _record_runs() -> None:
    """Runs, and the components that took part."""
    op.create_table(
        "components",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("description", sa.Text, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("provenance", sa.Text, nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("opened", sa.Float, nullable=False),
        sa.Column("finished", sa.Float),
        sa.Column("process", sa.Text),
    )


def _record_answers() -> None:
    """Samples, completions, their scores, and which run they are rows of."""
    op.create_table(
        "samples",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("refs", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "completions",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("sample", sa.Text, sa.ForeignKey("samples.digest"), nullable=False),
        sa.Column("generator", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("finish", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("usage", sa.Text),
        sa.Column("latency_s", sa.Float),
        sa.Column("details", sa.Text),
        sa.Column("created", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_rows",
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("ordinal", sa.Integer, primary_key=True),
        sa.Column("sample_id", sa.Text, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("completion", sa.Text, sa.ForeignKey("completions.key"), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "scores",
        sa.Column("completion", sa.Text, sa.ForeignKey("completions.key"), primary_key=True),
        sa.Column("scorer", sa.Text, primary_key=True),
        sa.Column("value", sa.Float),
        sa.Column("parts", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("unscored", sa.Text),
        sa.Column("usage", sa.Text),
        sa.Column("credit", sa.Text),
        sa.Column("calls", sa.Text),
        sa.Column("created", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )


def _record_trainings() -> None:
    """Trainings and their steps."""
    op.create_table(
        "trainings",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("provenance", sa.Text, nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("opened", sa.Float, nullable=False),
        sa.Column("finished", sa.Float),
        sa.Column("process", sa.Text),
    )
    op.create_table(
        "training_steps",
        sa.Column("training", sa.Text, sa.ForeignKey("trainings.id"), primary_key=True),
        sa.Column("step", sa.Integer, primary_key=True),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("examples", sa.Text),
        sa.Column("created", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )


def _record_the_rest() -> None:
    """The store's own facts, calls of services, and measurements."""
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "calls",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("tokens", sa.Text),
        sa.Column("usage", sa.Text),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("latency_s", sa.Float, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_index("ix_calls_key", "calls", ["key"])
    op.create_table(
        "measurements",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("opened", sa.Float, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("figures", sa.Text, nullable=False),
    )
