"""sqlite3: a database in a file, an index, sorting, a backup, a crash in the middle of a transaction."""
from harness.suite import program

SQL = """
pragma journal_mode = wal;
create table t(a integer primary key, b text, c real);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
insert into t select i, printf('%08x', (i * 2654435761) % 4294967296), i / 7.0 from n;
commit;
create index t_b on t(b);
select count(*), max(b), round(sum(c), 3) from t where b > '8';
select substr(b, 1, 1), count(*), group_concat(a) is not null from t group by 1 order by 2, 1;
update t set b = b || '-' || a where a % 3 = 0;
delete from t where a % 5 = 0;
vacuum;
pragma integrity_check;
.backup copy.db
.dump t
"""


@program("sqlite3", limit_seconds=120)
def sqlite(run):
    run.command(["sqlite3", "-version"])
    run.command(["sqlite3", "test.db"], input=SQL)
    run.command(["sqlite3", "copy.db", "pragma integrity_check; select count(*) from t;"])
    run.command(["sqlite3", ":memory:", "select nonsense"])
