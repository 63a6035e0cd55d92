"""Months of samples are made and dropped by functions: the service owns no table (PostgreSQL).

Policies and rights are not here: `isolation.wall` makes them after every migration, for all
tables that there are.

Revision ID: 0015
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# With the owner's rights, since only the owner of a table may give it a partition. They take a
# year and a month, check these, and make every name and number in them themselves.
_BOUNDS = """
  IF year IS NULL OR month IS NULL OR year NOT BETWEEN 1 AND 9999 OR month NOT BETWEEN 1 AND 12 THEN
    RAISE EXCEPTION 'no month: %-%', year, month USING ERRCODE = 'invalid_parameter_value';
  END IF;
  name := 'sample_' || lpad(year::text, 4, '0') || '_' || lpad(month::text, 2, '0');
  lo := extract(epoch FROM make_timestamptz(year, month, 1, 0, 0, 0, 'UTC'))::bigint * 1000000;
  hi := extract(epoch FROM make_timestamptz(year, month, 1, 0, 0, 0, 'UTC')
                + interval '1 month')::bigint * 1000000;
"""
_ADD = """
CREATE FUNCTION plantroom_add_month(year int, month int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  name text; lo bigint; hi bigint;
BEGIN
  -- what it is
  LOCK TABLE sample_default IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('CREATE TABLE %I (LIKE sample INCLUDING ALL)', name);
  -- Saves PostgreSQL the look at every row while it attaches.
  EXECUTE format('ALTER TABLE %I ADD CONSTRAINT bounds CHECK (ts_us >= %s AND ts_us < %s)',
                 name, lo, hi);
  EXECUTE format('WITH moved AS (DELETE FROM sample_default WHERE ts_us >= %s AND ts_us < %s'
                 ' RETURNING *) INSERT INTO %I SELECT * FROM moved', lo, hi, name);
  EXECUTE format('ALTER TABLE sample ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                 name, lo, hi);
  EXECUTE format('ALTER TABLE %I DROP CONSTRAINT bounds', name);
END $$
"""
_DROP = """
CREATE FUNCTION plantroom_drop_month(year int, month int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
  name text; lo bigint; hi bigint;
BEGIN
  -- what it is
  EXECUTE format('DROP TABLE %I', name);
END $$
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for function in (_ADD, _DROP):
            op.execute(function.replace("-- what it is", _BOUNDS))
