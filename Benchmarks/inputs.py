"""What the real programs are given, the same in every run: C++ to compile, SQL, a Git repository."""
import os
import subprocess
from pathlib import Path

COMPILED_UNIT = """
struct Record{0} {{ std::string name; long values[{1}]; std::vector<std::string> tags; }};
std::map<std::string, std::unique_ptr<Record{0}>> index{0};
long add{0}(const std::string &name, long value) {{
    auto &record = index{0}[name];
    if (!record) record = std::make_unique<Record{0}>();
    record->name = name + std::to_string(value);
    record->values[value % {1}] += value;
    record->tags.push_back(record->name.substr(1));
    std::sort(record->tags.begin(), record->tags.end(),
              [](const auto &a, const auto &b) {{ return a.size() < b.size(); }});
    long sum = 0;
    for (auto &entry : index{0}) for (long each : entry.second->values) sum += each * {0};
    return sum;
}}
"""

SQL = """
create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
insert into t select i, hex(i * 2654435761 % 4294967296) || hex(i) from n;
create index t_b on t(b);
select count(*), max(b) from t where b > '8';
"""


def preprocessed(scratch, name, text):
    source = Path(scratch, f"{name}.cpp")
    source.write_text(text)
    subprocess.run(["g++", "-E", str(source), "-o", f"{scratch}/{name}.ii"], check=True)
    return f"{scratch}/{name}.ii"


def large_source(scratch):
    """Twenty classes, each with templates of its own."""
    headers = ("algorithm", "map", "memory", "string", "vector")
    return preprocessed(scratch, "large",
                        "".join(f"#include <{header}>\n" for header in headers) +
                        "".join(COMPILED_UNIT.format(i, i % 7 + 1) for i in range(20)))


def small_source(scratch):
    return preprocessed(
        scratch, "small",
        "#include <vector>\nvoid add(std::vector<int> &numbers) { numbers.push_back(3); }\n")


def sql(scratch, rows):
    script = Path(scratch, "rows.sql")
    script.write_text(SQL.format(rows=rows))
    return str(script)


def commits(number, files):
    """A history in the words of git fast-import: every commit changes three of the files."""
    for i in range(number):
        message = f"Change {i}"
        yield (f"commit refs/heads/main\ncommitter A <a@example.org> {1_700_000_000 + i * 60} +0000\n"
               f"data {len(message)}\n{message}\n")
        for j in range(3):
            path = (i * 7 + j * 13) % files
            text = "".join(f"line {line} of {path}, {i if line % 9 == j else path * line}\n"
                           for line in range(200))
            yield f"M 100644 inline directory{path % 10}/file{path}\ndata {len(text)}\n{text}\n"


def repository(scratch, number):
    directory = f"{scratch}/repository"
    if not os.path.exists(directory):
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", directory], check=True)
        subprocess.run(["git", "-C", directory, "fast-import", "--quiet"],
                       input="".join(commits(number, 60)), text=True, check=True)
    return directory
