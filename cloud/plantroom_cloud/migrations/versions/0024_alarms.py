"""Alarms: rules, states, occurrences, history, and who is told.

Revision ID: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

# As in the other revisions.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSED = "alarm_event is append-only"
# Only what was entered before the company's history begins may go.
_KEPT = (
    "NOT EXISTS (SELECT 1 FROM alarm_keep WHERE alarm_keep.company_id = OLD.company_id "
    "AND alarm_keep.kept_from_us > OLD.entered_us)"
)


def upgrade() -> None:
    _alarm_rule()
    _alarm()
    _alarm_watch()
    _alarm_occurrence()
    _alarm_event()
    _alarm_due()
    _alarm_receiver()
    _alarm_notice()
    _alarm_keep()
    _append_only()


def _append_only() -> None:
    """What happened is never changed, and deleted only when it is kept no longer."""
    if op.get_bind().dialect.name == "sqlite":
        for act, when in (("UPDATE", ""), ("DELETE", f"WHEN {_KEPT} ")):
            op.execute(
                f"CREATE TRIGGER alarm_event_no_{act.lower()} BEFORE {act} ON alarm_event "
                f"{when}BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
            )
        return
    refuse = f"RAISE EXCEPTION '{_REFUSED}' USING ERRCODE = 'integrity_constraint_violation'"
    op.execute(
        "CREATE FUNCTION alarm_event_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {refuse}; END $$"
    )
    op.execute(
        "CREATE FUNCTION alarm_event_kept() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF {_KEPT} THEN {refuse}; END IF; RETURN OLD; END $$"
    )
    for name, when, function in (
        ("no_update", "BEFORE UPDATE OR TRUNCATE", "STATEMENT EXECUTE FUNCTION alarm_event_refuse"),
        ("no_delete", "BEFORE DELETE", "ROW EXECUTE FUNCTION alarm_event_kept"),
    ):
        op.execute(f"CREATE TRIGGER alarm_event_{name} {when} ON alarm_event FOR EACH {function}()")


def _alarm_keep() -> None:
    op.create_table(
        "alarm_keep",
        sa.Column("company_id", BIG, nullable=False),
        sa.Column("days", sa.Integer(), nullable=True),
        sa.Column("kept_from_us", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_alarm_keep_company_id"),
        sa.PrimaryKeyConstraint("company_id", name="pk_alarm_keep"),
    )


def _alarm_rule() -> None:
    op.create_table(
        "alarm_rule",
        sa.Column("id", BIG, nullable=False),
        sa.Column("site_id", BIG, nullable=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("latching", sa.Boolean(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("changed_us", BIG, nullable=False),
        sa.Column("deleted_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_alarm_rule_site_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_alarm_rule_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_rule"),
    )
    op.create_index("ix_alarm_rule_company_id", "alarm_rule", ["company_id"])
    op.create_index("ix_alarm_rule_company_number", "alarm_rule", ["company_id", "id"])


def _alarm() -> None:
    op.create_table(
        "alarm",
        sa.Column("id", BIG, nullable=False),
        sa.Column("rule_id", BIG, nullable=False),
        sa.Column("site_id", BIG, nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("point_id", BIG, nullable=True),
        sa.Column("subject", sa.String(500), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("latching", sa.Boolean(), nullable=False),
        sa.Column("standing", sa.String(32), nullable=False),
        sa.Column("base", sa.String(32), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("latched", sa.Boolean(), nullable=False),
        sa.Column("shelved_until_us", BIG, nullable=True),
        sa.Column("suppressed", sa.Boolean(), nullable=False),
        sa.Column("out_of_service", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("guard_point_id", BIG, nullable=True),
        sa.Column("release_us", BIG, nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("raised_us", BIG, nullable=True),
        sa.Column("changed_us", BIG, nullable=False),
        sa.Column("calls", BIG, nullable=False),
        sa.Column("assignee", sa.String(200), nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["rule_id"], ["alarm_rule.id"], name="fk_alarm_rule_id"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="fk_alarm_site_id"),
        sa.ForeignKeyConstraint(["gateway_id"], ["gateway.id"], name="fk_alarm_gateway_id"),
        sa.ForeignKeyConstraint(["point_id"], ["point.id"], name="fk_alarm_point_id"),
        sa.ForeignKeyConstraint(["guard_point_id"], ["point.id"], name="fk_alarm_guard_point_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_alarm_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alarm"),
        sa.UniqueConstraint("rule_id", "subject", name="uq_alarm_rule_id_subject"),
    )
    op.create_index("ix_alarm_company_id", "alarm", ["company_id"])
    op.create_index(
        "ix_alarm_company_urgency", "alarm", ["company_id", "priority", "changed_us", "id"]
    )
    op.create_index("ix_alarm_company_standing", "alarm", ["company_id", "standing"])
    op.create_index("ix_alarm_guard_point_id", "alarm", ["guard_point_id"])


def _alarm_watch() -> None:
    op.create_table(
        "alarm_watch",
        sa.Column("alarm_id", BIG, nullable=False),
        sa.Column("point_id", BIG, nullable=False),
        sa.Column("folds", sa.JSON(), nullable=False),
        sa.Column("timer_us", BIG, nullable=True),
        sa.Column("again_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.id"], name="fk_alarm_watch_alarm_id"),
        sa.ForeignKeyConstraint(["point_id"], ["point.id"], name="fk_alarm_watch_point_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_alarm_watch_company_id"),
        sa.PrimaryKeyConstraint("alarm_id", name="pk_alarm_watch"),
    )
    op.create_index("ix_alarm_watch_company_again", "alarm_watch", ["company_id", "again_us"])
    op.create_index("ix_alarm_watch_company_id", "alarm_watch", ["company_id"])
    op.create_index("ix_alarm_watch_company_timer", "alarm_watch", ["company_id", "timer_us"])
    op.create_index("ix_alarm_watch_point_id", "alarm_watch", ["point_id"])


def _alarm_occurrence() -> None:
    op.create_table(
        "alarm_occurrence",
        sa.Column("id", BIG, nullable=False),
        sa.Column("alarm_id", BIG, nullable=False),
        sa.Column("key", sa.String(500), nullable=True),
        sa.Column("started_us", BIG, nullable=False),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("entered_us", BIG, nullable=False),
        sa.Column("gone_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.id"], name="fk_alarm_occurrence_alarm_id"),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_alarm_occurrence_company_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_occurrence"),
        sa.UniqueConstraint("alarm_id", "key", name="uq_alarm_occurrence_alarm_id_key"),
    )
    op.create_index(
        "ix_alarm_occurrence_alarm_started", "alarm_occurrence", ["alarm_id", "started_us"]
    )
    op.create_index("ix_alarm_occurrence_company_id", "alarm_occurrence", ["company_id"])


def _alarm_event() -> None:
    op.create_table(
        "alarm_event",
        sa.Column("id", BIG, nullable=False),
        sa.Column("alarm_id", BIG, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("entered_us", BIG, nullable=False),
        sa.Column("before", sa.String(32), nullable=False),
        sa.Column("after", sa.String(32), nullable=False),
        sa.Column("called", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("doc", sa.JSON(), nullable=False),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.id"], name="fk_alarm_event_alarm_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_alarm_event_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_event"),
    )
    op.create_index("ix_alarm_event_alarm_id", "alarm_event", ["alarm_id", "id"])
    op.create_index("ix_alarm_event_company_entered", "alarm_event", ["company_id", "entered_us"])
    op.create_index("ix_alarm_event_company_id", "alarm_event", ["company_id"])


def _alarm_due() -> None:
    op.create_table(
        "alarm_due",
        sa.Column("id", BIG, nullable=False),
        sa.Column("due_us", BIG, nullable=False),
        sa.Column("lo_us", BIG, nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
        sa.Column("gateway_id", sa.String(40), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("rule_id", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_alarm_due_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_due"),
    )
    op.create_index("ix_alarm_due_company_due", "alarm_due", ["company_id", "due_us"])
    op.create_index("ix_alarm_due_company_id", "alarm_due", ["company_id"])


def _alarm_receiver() -> None:
    op.create_table(
        "alarm_receiver",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("target", sa.String(2000), nullable=False),
        sa.Column("secret", sa.String(100), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("changed_us", BIG, nullable=False),
        sa.Column("deleted_us", BIG, nullable=True),
        sa.Column("failures", BIG, nullable=False),
        sa.Column("next_us", BIG, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("told_us", BIG, nullable=True),
        sa.Column("digest_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["company.id"], name="fk_alarm_receiver_company_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_receiver"),
    )
    op.create_index("ix_alarm_receiver_company_id", "alarm_receiver", ["company_id"])
    op.create_index("ix_alarm_receiver_company_number", "alarm_receiver", ["company_id", "id"])


def _alarm_notice() -> None:
    op.create_table(
        "alarm_notice",
        sa.Column("id", BIG, nullable=False),
        sa.Column("receiver_id", BIG, nullable=False),
        sa.Column("event_id", BIG, nullable=False),
        sa.Column("alarm_id", BIG, nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("due_us", BIG, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("done_us", BIG, nullable=True),
        sa.Column("company_id", BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["receiver_id"], ["alarm_receiver.id"], name="fk_alarm_notice_receiver_id"
        ),
        sa.ForeignKeyConstraint(["event_id"], ["alarm_event.id"], name="fk_alarm_notice_event_id"),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarm.id"], name="fk_alarm_notice_alarm_id"),
        sa.ForeignKeyConstraint(["company_id"], ["company.id"], name="fk_alarm_notice_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_notice"),
        sa.UniqueConstraint("receiver_id", "event_id", name="uq_alarm_notice_receiver_id_event_id"),
    )
    op.create_index("ix_alarm_notice_company_id", "alarm_notice", ["company_id"])
    op.create_index("ix_alarm_notice_receiver_number", "alarm_notice", ["receiver_id", "id"])
    op.create_index(
        "ix_alarm_notice_receiver_created", "alarm_notice", ["receiver_id", "created_us"]
    )
    op.create_index("ix_alarm_notice_state_due", "alarm_notice", ["state", "due_us"])
